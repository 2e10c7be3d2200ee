"""Seeds that rows share are blocks: against published block designs, plain matrices and simulated truth."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnexp.report.analysis import Comparison, Effect, Factor, Observation, analyse
from cnnexp.report.effects import effects
from cnnexp.report.model import model
from tests.test_effects import compared, of, table
from tests.test_ranking import job

# Yates (1937), R's npk: the yield of peas with and without nitrogen, phosphate and potassium, in six blocks of four.
PEAS = [
    {"011": 49.5, "110": 62.8, "000": 46.8, "101": 57.0},
    {"100": 59.8, "111": 58.5, "001": 55.5, "010": 56.0},
    {"010": 62.8, "111": 55.8, "100": 69.5, "001": 55.0},
    {"100": 62.0, "111": 48.8, "001": 45.5, "010": 44.2},
    {"110": 52.0, "000": 51.5, "101": 49.8, "011": 48.8},
    {"101": 57.2, "110": 59.0, "011": 53.2, "000": 56.0},
]

# Box, Hunter and Hunter (1978): the yield of penicillin by four processes, from the same five blends of corn liquor.
PENICILLIN = {
    ("A",): [89.0, 84.0, 81.0, 87.0, 79.0],
    ("B",): [88.0, 77.0, 87.0, 92.0, 81.0],
    ("C",): [97.0, 92.0, 87.0, 89.0, 80.0],
    ("D",): [94.0, 79.0, 85.0, 84.0, 88.0],
}


def runs_of(names: Sequence[str], reached: Mapping[tuple[Any, ...], float]) -> Comparison:
    """The comparison of runs, each by its values and its seed."""
    jobs = [
        job(i, value, changed={**dict(zip(names, at[:-1], strict=True)), "seed": at[-1]})
        for i, (at, value) in enumerate(reached.items())
    ]
    (found,) = analyse(jobs).comparisons
    return found


def intervals(effect: Effect) -> list[tuple[float | None, ...]]:
    return [(level.mean, level.low, level.high) for level in effect.levels]


class TestPublished:
    def test_peas_in_incomplete_blocks(self) -> None:
        """R: `aov(yield ~ block + N + P + K, npk)`, where no block has more than half of the combinations."""
        peas = {(*plot, block): y for block, plots in enumerate(PEAS) for plot, y in plots.items()}
        found = runs_of("NPK", peas)
        assert {e.df for e in found.effects} == {(1, 15)}
        assert [e.f for e in found.effects] == pytest.approx([11.821, 0.525, 5.946], rel=1e-3)
        assert [e.p for e in found.effects] == pytest.approx([0.00366, 0.47999, 0.02767], rel=1e-3)
        assert [e.levels[1].mean - e.levels[0].mean for e in found.effects] == pytest.approx(  # type: ignore[operator]
            [5.6166667, -1.1833333, -3.9833333]
        )
        # R: `aov(yield ~ block + N*P*K, npk)` has these sums of squares for N:P, N:K, P:K and what is left of 12
        squares = {"NP": 21.28, "NK": 33.14, "PK": 0.48}
        total = sum(squares.values()) + 185.29
        for one in found.interactions:
            square = squares[one.a.name + one.b.name]
            assert one.df == (1, 14)
            assert one.f == pytest.approx(square / ((total - square) / 14), rel=0.01)

    def test_penicillin_in_complete_blocks(self) -> None:
        """Sums of squares 70 (processes), 264 (blends), 226 (rest), so blends vary by (66 - 226/12) / 4 = 11.79."""
        found = compared(["process"], PENICILLIN)
        (effect,) = found.effects
        assert effect.df == (3, 12)
        assert (effect.f, effect.p) == pytest.approx((1.239, 0.3387), rel=1e-3)
        assert effect.share == pytest.approx(70 / 560)
        error = math.sqrt((11.7917 + 18.8333) / 5)
        assert error == pytest.approx(2.475, abs=1e-3)
        reach = scipy.stats.t.ppf(0.975, 4) * error
        assert intervals(effect) == [
            pytest.approx((mean, mean - reach, mean + reach), rel=1e-5) for mean in (84, 85, 89, 86)
        ]
        apart = scipy.stats.t.ppf(0.975, 12) * math.sqrt(2 * 18.8333 / 5)
        first = effect.levels[0]
        assert (first.difference, first.difference_low) == pytest.approx((-5, -5 - apart), rel=1e-5)


class TestByHand:
    def test_two_rows_are_a_paired_t_test(self) -> None:
        a, b = [0.91, 0.93, 0.95, 0.89], [0.90, 0.915, 0.945, 0.884]
        (effect,) = compared(["x"], {("a",): a, ("b",): b}).effects
        told = scipy.stats.ttest_rel(b, a)
        span = told.confidence_interval(0.95)
        level = effect.levels[1]
        assert (level.p, level.difference_low, level.difference_high) == pytest.approx(
            (told.pvalue, span.low, span.high)
        )
        assert (effect.f, effect.df) == (pytest.approx(told.statistic**2), (1, 3))

    def test_a_seed_that_changes_nothing_changes_nothing_of_the_means(self) -> None:
        """The seeds have equal means, so they vary less than noise does; then every run might have its own."""
        rng = np.random.default_rng(0)
        drawn = rng.normal(0.9, 0.01, (3, 4))
        drawn -= drawn.mean(axis=0)
        cells = {(x,): line.tolist() for x, line in zip("abc", drawn, strict=True)}
        (blocks,), (independent,) = (compared(["x"], cells, shared=s).effects for s in (True, False))
        assert (blocks.df, independent.df) == ((2, 6), (2, 9))
        for one, other in zip(intervals(blocks), intervals(independent), strict=True):
            assert one == pytest.approx(other)

    def test_means_of_balanced_runs_are_plain_means(self) -> None:
        rng = np.random.default_rng(1)
        y = rng.normal(0.9, 0.02, (2, 3, 4)) + rng.normal(0, 0.1, 4)
        found = compared(["a", "b"], {(i, j): y[i, j].tolist() for i in range(2) for j in range(3)})
        one, two = found.effects
        assert [level.mean for level in one.levels] == pytest.approx(list(y.mean(axis=(1, 2))))
        assert [level.mean for level in two.levels] == pytest.approx(list(y.mean(axis=(0, 2))))
        # the interaction by the textbook: cells less both margins, against what cells and seeds leave over
        mean = y.mean()
        departures = y.mean(axis=2) - y.mean(axis=(1, 2))[:, None] - y.mean(axis=(0, 2)) + mean
        rest = y - y.mean(axis=2, keepdims=True) - y.mean(axis=(0, 1)) + mean
        noise = float(np.square(rest).sum()) / (5 * 3)
        (both,) = found.interactions
        assert both.df == (2, 15)
        assert both.f == pytest.approx(4 * float(np.square(departures).sum()) / 2 / noise)
        assert [c.departure for c in both.cells] == pytest.approx(departures.ravel().tolist())
        reach = scipy.stats.t.ppf(0.975, 15) * math.sqrt(noise * 2 / 24)
        assert both.cells[0].departure is not None
        assert both.cells[0].high == pytest.approx(both.cells[0].departure + reach)


class TestUnbalanced:
    def test_missing_runs_of_a_seed_tilt_nothing(self) -> None:
        """Without noise the truth is found, and means are those over all seeds, whatever is missing."""
        seeds = [0.3, 0.0, -0.2]
        full = {(a, b, s): 0.1 * a + 0.01 * b + seeds[s] for a in range(3) for b in range(2) for s in range(3)}
        missing = {(2, 0, 0), (2, 1, 0), (0, 1, 2), (1, 0, 1)}
        one, two = runs_of("ab", {at: v for at, v in full.items() if at not in missing}).effects
        assert [level.mean for level in one.levels] == pytest.approx([0.1 * a + 0.005 + 0.1 / 3 for a in range(3)])
        assert [level.difference for level in two.levels] == [pytest.approx(-0.01), 0.0]
        assert one.levels[0].low is None
        assert one.note == "Every seed shows the same differences, so nothing measures the noise."

    @given(st.integers(0, 2**32), st.sets(st.integers(0, 23), max_size=6), st.sampled_from([0.0, 0.01, 0.1]))
    @settings(max_examples=25, deadline=None)
    def test_it_is_least_squares_with_a_variance_of_seeds(self, seed: int, gone: set[int], spread: float) -> None:
        rng = np.random.default_rng(seed)
        grid = [at for i, at in enumerate(itertools.product(range(3), range(2), range(4))) if i not in gone]
        seeds = rng.normal(0, spread, 4)
        reached = {at: 0.1 * at[0] + seeds[at[2]] + rng.normal(0, 0.02) for at in grid}
        y = np.array(list(reached.values()))
        # one column for each value, of which some follow from the others: pinv does not mind
        of_factors = np.array([[a == 0, a == 1, a == 2, b == 0, b == 1] for a, b, _ in grid], dtype=float)
        of_seeds = np.array([[s == i for i in range(4)] for *_, s in grid], dtype=float)
        x = np.hstack([of_factors, of_seeds])
        left, left_without = (np.eye(len(y)) - m @ np.linalg.pinv(m) for m in (x, of_factors))
        df = len(y) - 7
        noise = float(y @ left @ y) / df
        between = float(y @ (left_without - left) @ y) / 3
        per_block = float(np.trace(of_seeds.T @ left_without @ of_seeds)) / 3
        variance = (between - noise) / per_block
        effect, _ = runs_of("ab", reached).effects
        assert effect.df == (2, df)
        for i, level in enumerate(effect.levels):
            assert level.mean is not None
            mean = np.array([*np.eye(3)[i], 0.5, 0.5, *[0.25] * 4])
            weights = mean @ np.linalg.pinv(x)
            if variance > 0:
                v = noise * np.eye(len(y)) + variance * of_seeds @ of_seeds.T
                reach = scipy.stats.t.ppf(0.975, 3) * math.sqrt(weights @ v @ weights)
            else:
                pooled = float(y @ left_without @ y) / (df + 3)
                reach = scipy.stats.t.ppf(0.975, df + 3) * math.sqrt(pooled * weights @ weights)
            assert (level.mean, level.high) == pytest.approx((weights @ y, weights @ y + reach))
            if level.p is not None and effect.best is not None:
                apart = (np.eye(9)[i] - np.eye(9)[effect.best]) @ np.linalg.pinv(x)
                t = apart @ y / math.sqrt(noise * apart @ apart)
                assert level.difference == pytest.approx(apart @ y)
                assert level.p == pytest.approx(2 * scipy.stats.t.sf(abs(t), df), rel=1e-4)

    @given(st.integers(0, 2**32), st.randoms(use_true_random=False))
    @settings(max_examples=10, deadline=None)
    def test_the_order_of_runs_changes_nothing(self, seed: int, order: random.Random) -> None:
        rng = np.random.default_rng(seed)
        cells = {at: rng.normal(0.9, 0.1, 3).round(2).tolist() for at in itertools.product("ab", "xyz")}
        runs = table(["one", "two"], cells)[: -rng.integers(0, 4) or None]
        assert analyse(order.sample(runs, len(runs))) == analyse(runs)

    def test_values_that_changed_together_are_one_factor(self) -> None:
        cells = {("adam", 0.1): PENICILLIN[("A",)], ("sgd", 1): PENICILLIN[("B",)], ("sgd+m", 2): PENICILLIN[("C",)]}
        (effect,) = compared(["optimizer", "lr"], cells).effects
        assert (effect.factor.name, effect.df) == ("optimizer + lr", (2, 8))


TOO_LITTLE = "The runs share their seeds too little to take them out: intervals and tests take them as independent."


class TestNoBlocks:
    """Where seeds cannot be blocks, runs are independent: effects are those of runs with seeds of their own."""

    A, B = [0.91, 0.95, 0.90], [0.87, 0.89, 0.90]

    @pytest.mark.parametrize(
        ("seeds", "said"),
        [
            ([0, 1, 2, 3, 4, 5], "Every run has a seed of its own: intervals and tests take the runs as independent."),
            ([0, 1, 2, 0, 3, 4], TOO_LITTLE),
            ([0, 1, 2, 2, 3, 4], TOO_LITTLE),
        ],
    )
    def test_seeds_that_are_not_shared(self, seeds: list[int], said: str) -> None:
        values = [*zip("aaa", self.A, strict=True), *zip("bbb", self.B, strict=True)]
        found = runs_of(["x"], {(x, seed): v for seed, (x, v) in zip(seeds, values, strict=True)})
        told = scipy.stats.ttest_ind(self.A, self.B)
        assert found.effects[0].p == pytest.approx(told.pvalue)
        assert found.effects[0].df == (1, 4)
        assert found.method == said

    def test_two_pairs_that_share_a_seed_by_chance_do_not_undo_thirty_runs(self) -> None:
        rng = np.random.default_rng(0)
        reached = {("ab"[i % 2], {29: 0, 28: 1}.get(i, i)): v for i, v in enumerate(rng.normal(0.9, 0.02, 30))}
        (effect,) = runs_of(["x"], reached).effects
        assert effect.df == (1, 28)

    def test_islands_of_seeds_are_not_connected(self) -> None:
        rng = np.random.default_rng(0)
        reached = {(x, s): rng.normal() for x in "abcd" for s in range(3) if (x in "ab") == (s < 2)}
        reached |= {(x, 3): rng.normal() for x in "cd"}
        (effect,) = runs_of(["x"], reached).effects
        assert effect.df == (3, 4)

    def test_one_seed(self) -> None:
        rng = np.random.default_rng(0)
        found = compared(["a", "b"], {(a, b): [rng.normal()] for a in range(3) for b in range(2)})
        assert {e.df for e in found.effects} == {(2, 2), (1, 2)}
        assert found.method == "All runs have the same seed: intervals and tests say nothing about other seeds."

    def test_without_intervals_there_is_no_method(self) -> None:
        assert compared(["x"], {("a",): [0.5, 0.5], ("b",): [0.7, 0.7]}).method == ""
        assert compared(["x"], {("a",): ["failed"], ("b",): [0.7, 0.8]}).method == ""
        assert compared(["x"], {("a",): ["failed"], ("b",): ["failed"]}).method == ""
        assert compared(["lr"], {(i / 100,): [i / 50, i / 40 - 0.1] for i in range(14)}).method == ""

    def test_too_few_runs_to_take_the_seed_out(self) -> None:
        """Two seeds and three runs leave nothing when the seed is taken out."""
        (effect,) = runs_of(["x"], {("a", 0): 0.5, ("b", 0): 0.6, ("b", 1): 0.65}).effects
        assert effect.df == (1, 1)


def test_the_method_of_blocks() -> None:
    found = compared(["process"], PENICILLIN)
    assert found.method == (
        "Runs share their seeds, so the seed is a block of the model: differences and their tests are within seeds, "
        "and the intervals of means hold for other seeds too."
    )


def simulated(seeds: int, spread: float, noise: float, missing: int, repetitions: int) -> tuple[float, float]:
    """How often the intervals of means and those of differences hold the truth."""
    names = ("abc", "xy")
    rows = list(itertools.product(*names))
    found = [Factor(str(i), (str(i),), tuple(of), tuple(row[i] for row in rows)) for i, of in enumerate(names)]
    shifts = [dict(zip(of, 0.01 * np.arange(len(of)), strict=True)) for of in names]
    centre = [float(np.mean(list(shift.values()))) for shift in shifts]
    rng = np.random.default_rng(seeds)
    run = job(0)
    means, differences = [], []
    for _ in range(repetitions):
        by_seed = rng.normal(0, spread, seeds)
        cells = rng.permutation([(r, s) for r in range(len(rows)) for s in range(seeds)])[missing:]
        reached = [
            Observation(
                r, str(s), shifts[0][rows[r][0]] + shifts[1][rows[r][1]] + by_seed[s] + rng.normal(0, noise), run
            )
            for r, s in cells.tolist()
        ]
        for i, effect in enumerate(effects(found, model(found, reached), reached, "max")):
            assert effect.best is not None
            best = shifts[i][effect.levels[effect.best].value]
            for level in effect.levels:
                assert level.low is not None
                assert level.high is not None
                means.append(level.low <= shifts[i][level.value] + centre[1 - i] <= level.high)
                if level.difference_low is not None and level.difference_high is not None:
                    truth = shifts[i][level.value] - best
                    differences.append(level.difference_low <= truth <= level.difference_high)
    return float(np.mean(means)), float(np.mean(differences))


@pytest.mark.parametrize(
    ("seeds", "spread", "missing"), [(2, 0.0, 0), (2, 0.02, 0), (5, 0.02, 0), (5, 0.0, 2), (5, 0.02, 2)]
)
@pytest.mark.slow
def test_95_of_100_intervals_hold_the_truth(seeds: int, spread: float, missing: int) -> None:
    means, differences = simulated(seeds, spread, 0.003, missing, 600)
    assert 0.93 <= means <= 0.98
    assert 0.93 <= differences <= 0.97


def test_most_intervals_hold_the_truth() -> None:
    """The quick one of those above: without blocks, 6 of 10 intervals of means held it."""
    means, differences = simulated(2, 0.02, 0.003, 0, 150)
    assert means >= 0.9
    assert 0.9 <= differences <= 0.985


def test_a_factor_that_follows_from_another_is_counted_there_with_blocks_too() -> None:
    rng = np.random.default_rng(0)
    rates = {("adam", 0.001): 0.9, ("adam", 0.01): 0.8, ("sgd", 0.1): 0.7, ("sgd", 1): 0.5}
    cells = {at: (value + rng.normal(0, 0.01, 3)).tolist() for at, value in rates.items()}
    told = of(compared(["optimizer", "lr"], cells).effects)
    assert told["lr"].df == (3, 6)
    assert told["optimizer"].note == "It moved together with lr, and its effect is counted there."
