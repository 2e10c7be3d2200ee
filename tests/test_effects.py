"""Main effects and interactions against sums of squares by hand, published analyses and plain least squares."""

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

from cnnexp.records import Run
from cnnexp.report.analysis import Comparison, Effect, Interaction, analyse
from tests.test_ranking import job

# Crampton (1947), R's ToothGrowth: the length of teeth by supplement and dose, ten animals each.
TEETH = {
    ("VC", 0.5): [4.2, 11.5, 7.3, 5.8, 6.4, 10.0, 11.2, 11.2, 5.2, 7.0],
    ("VC", 1.0): [16.5, 16.5, 15.2, 17.3, 22.5, 17.3, 13.6, 14.5, 18.8, 15.5],
    ("VC", 2.0): [23.6, 18.5, 33.9, 25.5, 26.4, 32.5, 26.7, 21.5, 23.3, 29.5],
    ("OJ", 0.5): [15.2, 21.5, 17.6, 9.7, 14.5, 10.0, 8.2, 9.4, 16.5, 9.7],
    ("OJ", 1.0): [19.7, 23.3, 23.6, 26.4, 20.0, 25.2, 25.8, 21.2, 14.5, 27.3],
    ("OJ", 2.0): [25.5, 26.4, 22.4, 24.5, 24.8, 30.9, 26.4, 27.3, 29.4, 23.0],
}


def table(
    names: Sequence[str], cells: Mapping[tuple[Any, ...], Sequence[Any]], mode: str = "max", shared: bool = True
) -> list[Run]:
    """A sweep: for every combination the values of its seeds; a text is how a run ended that has none.

    Every combination has the same seeds, or else every run has one of its own.
    """
    jobs = []
    for combination, values in cells.items():
        for seed, value in enumerate(values):
            changed = {**dict(zip(names, combination, strict=True)), "seed": seed if shared else len(jobs)}
            status = value if isinstance(value, str) and value.isalpha() else "completed"
            jobs.append(job(len(jobs), value, status, changed=changed, mode=mode))
    return jobs


def compared(
    names: Sequence[str], cells: Mapping[tuple[Any, ...], Sequence[Any]], mode: str = "max", shared: bool = True
) -> Comparison:
    (found,) = analyse(table(names, cells, mode, shared)).comparisons
    return found


def means(effect: Effect) -> dict[str, float | None]:
    return {level.value: level.mean for level in effect.levels}


def marginal(names: Sequence[str], cells: Mapping[tuple[Any, ...], Sequence[float]], name: str) -> dict[str, Any]:
    """Marginal means, their standard errors and the residual degrees of freedom, by dummies and normal equations."""
    values = {n: sorted({str(c[i]) for c in cells}) for i, n in enumerate(names)}
    terms = [(n, v) for n in names for v in values[n][1:]]

    def line(combination: Sequence[Any]) -> list[float]:
        at = dict(zip(names, map(str, combination), strict=True))
        return [1.0, *(float(at[n] == v) for n, v in terms)]

    x = np.array([line(c) for c, of in cells.items() for _ in of])
    y = np.array([value for of in cells.values() for value in of])
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ x.T @ y
    df = len(y) - x.shape[1]
    variance = float(((y - x @ beta) ** 2).sum()) / df
    grid = list(itertools.product(*values.values()))
    found = {}
    for value in values[name]:
        mean = np.mean([line(c) for c in grid if c[list(names).index(name)] == value], axis=0)
        found[value] = (float(mean @ beta), math.sqrt(variance * float(mean @ inverse @ mean)), mean)
    return {"levels": found, "df": df, "inverse": inverse, "beta": beta, "variance": variance}


class TestPublished:
    def test_the_growth_of_teeth(self) -> None:
        """R: `aov(len ~ supp + dose)` and `aov(len ~ supp * dose)` with dose as a factor."""
        found = compared(["supp", "dose"], TEETH, shared=False)
        supp, dose = found.effects
        assert (supp.factor.name, supp.df, dose.df) == ("supp", (1, 56), (2, 56))
        assert (supp.f, supp.p) == pytest.approx((14.02, 0.000429), rel=1e-3)
        assert dose.f == pytest.approx(82.81, rel=1e-4)
        assert dose.p is not None
        assert dose.p < 2e-16
        assert means(supp) == pytest.approx({"OJ": 20.66333, "VC": 16.96333}, abs=1e-5)
        assert means(dose) == pytest.approx({"0.5": 10.605, "1.0": 19.735, "2.0": 26.100}, abs=1e-9)
        total = 205.35 + 2426.43 + 108.32 + 712.11
        assert (supp.share, dose.share) == pytest.approx((205.35 / total, 2426.43 / total), rel=1e-4)
        (both,) = found.interactions
        assert (both.df, both.note) == ((2, 54), "")
        assert (both.f, both.p) == pytest.approx((4.107, 0.02186), rel=1e-3)
        assert both.share == pytest.approx(108.32 / total, rel=1e-4)

    def test_one_factor_is_the_analysis_of_variance(self) -> None:
        # R's PlantGrowth (Dobson 1983): F(2, 27) = 4.846, p = 0.01591
        plants = {
            ("ctrl",): [4.17, 5.58, 5.18, 6.11, 4.50, 4.61, 5.17, 4.53, 5.33, 5.14],
            ("trt1",): [4.81, 4.17, 4.41, 3.59, 5.87, 3.83, 6.03, 4.89, 4.32, 4.69],
            ("trt2",): [6.31, 5.12, 5.54, 5.50, 5.37, 5.29, 4.92, 6.15, 5.80, 5.26],
        }
        (effect,) = compared(["group"], plants, shared=False).effects
        assert effect.df == (2, 27)
        assert (effect.f, effect.p) == pytest.approx((4.846, 0.01591), rel=1e-3)
        assert means(effect) == pytest.approx({"ctrl": 5.032, "trt1": 4.661, "trt2": 5.526})


# 2 x 2, two runs each: cell means 1, 2, 4, 9; every run 0.5 off its cell; grand mean 4
SQUARE = {
    ("a", "x"): [0.5, 1.5],
    ("a", "y"): [1.5, 2.5],
    ("b", "x"): [3.5, 4.5],
    ("b", "y"): [8.5, 9.5],
}


class TestAdjusted:
    """Where runs are missing, the means are not those that the ranked table shows, and it is said."""

    SAID = "Runs or seeds are missing here and there, so the means below are those of the fitted model, not plain"

    @pytest.mark.parametrize("shared", [True, False])
    def test_a_balanced_sweep_has_plain_means(self, shared: bool) -> None:
        cells = {c: [v + 0.1 * math.sin(7 * v), v + 0.3] for c, v in zip(SQUARE, [0.1, 0.7, -1.3, 0.5], strict=True)}
        found = compared(["one", "two"], cells, shared=shared)
        assert not found.adjusted
        assert self.SAID not in found.method
        for effect, place in zip(found.effects, (0, 1), strict=True):
            for level in effect.levels:
                runs = [v for c, of in cells.items() if c[place] == level.value for v in of]
                assert level.mean == pytest.approx(np.mean(runs), rel=1e-12)

    def test_a_missing_run_makes_them_those_of_the_model(self) -> None:
        cells = {**SQUARE, ("b", "y"): [8.5, "failed"]}
        found = compared(["one", "two"], cells, shared=False)
        given = {c: [v for v in of if not isinstance(v, str)] for c, of in cells.items()}
        expected = marginal(["one", "two"], given, "one")["levels"]["b"][0]
        assert means(found.effects[0])["b"] == pytest.approx(expected)
        assert abs(expected - np.mean([3.5, 4.5, 8.5])) > 0.1
        assert found.adjusted
        assert found.method.endswith(f" {self.SAID} averages.")

    def test_it_is_said_without_noise_too(self) -> None:
        found = compared(["one", "two"], {("a", "x"): [1.0], ("a", "y"): [2.0], ("b", "x"): [4.0]})
        assert means(found.effects[0]) == pytest.approx({"a": 1.5, "b": 4.5})  # the one run of b reached 4
        assert found.method == f"{self.SAID} averages."


class TestByHand:
    def test_means_intervals_and_contrasts(self) -> None:
        one, _ = compared(["one", "two"], SQUARE, shared=False).effects
        # SS one = 8 * 2.5^2 = 50, two = 8 * 1.5^2 = 18, both = 8 * 1^2 = 8, error = 8 * 0.25 = 2; additive error 10 / 5
        assert (one.f, one.df) == (pytest.approx(25.0), (1, 5))
        assert one.p == pytest.approx(scipy.stats.f.sf(25, 1, 5))
        assert one.share == pytest.approx(50 / 78)
        t = scipy.stats.t.ppf(0.975, 5)
        low, best = one.levels
        assert (one.best, best.value, low.n, best.n) == (1, "b", 4, 4)
        assert (low.mean, low.low, low.high) == pytest.approx(
            (1.5, 1.5 - t * math.sqrt(2 / 4), 1.5 + t * math.sqrt(0.5))
        )
        reach = t * math.sqrt(2 * (1 / 4 + 1 / 4))
        assert (low.difference, low.difference_low, low.difference_high) == pytest.approx((-5, -5 - reach, -5 + reach))
        assert low.p == pytest.approx(one.p)
        assert (best.mean, best.difference, best.difference_low, best.p) == (pytest.approx(6.5), 0.0, None, None)

    def test_an_interaction(self) -> None:
        (both,) = compared(["one", "two"], SQUARE, shared=False).interactions
        assert (both.f, both.df) == (pytest.approx(8 / (2 / 4)), (1, 4))
        assert both.p == pytest.approx(scipy.stats.f.sf(16, 1, 4))
        assert (both.share, both.size) == pytest.approx((8 / 78, 1.0))
        assert [(c.a, c.b, c.n) for c in both.cells] == [("a", "x", 2), ("a", "y", 2), ("b", "x", 2), ("b", "y", 2)]
        assert [c.mean for c in both.cells] == pytest.approx([1, 2, 4, 9])
        assert [c.departure for c in both.cells] == pytest.approx([1, -1, -1, 1])
        reach = scipy.stats.t.ppf(0.975, 4) * math.sqrt(0.5 / 8)  # each departure is a sum of 8 runs with weight 1/8
        for cell in both.cells:
            assert cell.departure is not None
            assert (cell.low, cell.high) == pytest.approx((cell.departure - reach, cell.departure + reach))

    def test_less_is_better_where_the_mode_says_so(self) -> None:
        one, two = compared(["one", "two"], SQUARE, "min").effects
        assert (one.best, two.best) == (0, 0)
        assert one.levels[1].difference == pytest.approx(5)

    def test_two_levels_have_the_f_of_a_t_test(self) -> None:
        values = {("a",): [0.91, 0.93, 0.92], ("b",): [0.94, 0.95, 0.93, 0.97]}
        (effect,) = compared(["x"], values, shared=False).effects
        told = scipy.stats.ttest_ind(values["a",], values["b",])
        assert (effect.f, effect.p) == pytest.approx((told.statistic**2, told.pvalue))
        level, interval = effect.levels[0], told.confidence_interval(0.95)
        assert (level.difference_low, level.difference_high) == pytest.approx((interval.low, interval.high))


class TestUnbalanced:
    def test_missing_runs_tilt_nothing(self) -> None:
        """Without noise the additive truth is found, whatever is missing; plain means would say that b is worse."""
        truth = {(a, x): 0.1 * a + 0.3 * x for a in range(3) for x in range(3)}
        cells = {at: [value] for at, value in truth.items() if at not in ((2, 2), (1, 2), (0, 0))}
        first, second = compared(["a", "x"], cells).effects
        assert means(first) == pytest.approx({str(a): 0.1 * a + 0.3 for a in range(3)})
        assert means(second) == pytest.approx({str(x): 0.1 + 0.3 * x for x in range(3)})
        assert np.mean(cells[0, 1] + cells[0, 2]) > np.mean(cells[2, 0] + cells[2, 1])
        assert (first.best, first.levels[0].difference) == (2, pytest.approx(-0.2))

    @given(st.integers(0, 2**32), st.lists(st.integers(0, 3), min_size=12, max_size=12))
    @settings(max_examples=25, deadline=None)
    def test_they_are_plain_least_squares(self, seed: int, counts: list[int]) -> None:
        rng = np.random.default_rng(seed)
        grid = list(itertools.product(["relu", "tanh"], ["zeros", "reflect", "circular"], [8, 16]))
        full = {
            ("relu", "zeros", 8),
            ("tanh", "zeros", 8),
            ("relu", "reflect", 8),
            ("relu", "circular", 16),
            ("relu", "zeros", 16),
        }
        many = [max(n, 2 * (at in full)) for at, n in zip(grid, counts, strict=True)]
        cells = {at: rng.normal(0.9, 0.02, n).tolist() for at, n in zip(grid, many, strict=True) if n}
        names = ["activation", "padding", "width"]
        for effect in compared(names, cells, shared=False).effects:
            told = marginal(names, cells, effect.factor.name)
            t = scipy.stats.t.ppf(0.975, told["df"])
            assert effect.best is not None
            best = told["levels"][effect.levels[effect.best].value]
            assert best[0] == max(mean for mean, _, _ in told["levels"].values())
            for level in effect.levels:
                mean, error, combination = told["levels"][level.value]
                assert (level.mean, level.low, level.high) == pytest.approx((mean, mean - t * error, mean + t * error))
                if level.p is not None:
                    less = combination - best[2]
                    error = math.sqrt(told["variance"] * float(less @ told["inverse"] @ less))
                    assert level.difference == pytest.approx(mean - best[0])
                    assert level.difference_high == pytest.approx(mean - best[0] + t * error)
                    assert level.p == pytest.approx(2 * scipy.stats.t.sf(abs(mean - best[0]) / error, told["df"]))

    def test_a_value_whose_runs_all_failed_is_shown_without_a_mean(self) -> None:
        (effect,) = compared(["x"], {("a",): [0.5, 0.6], ("b",): ["failed", "failed"], ("c",): [0.7, 0.8]}).effects
        assert [(level.value, level.n) for level in effect.levels] == [("a", 2), ("b", 0), ("c", 2)]
        assert (effect.levels[1].mean, effect.levels[1].difference, effect.best) == (None, None, 2)
        assert effect.df == (1, 4 - 2 - 1)

    def test_an_interaction_with_an_empty_cell_is_tested_on_the_others(self) -> None:
        rng = np.random.default_rng(0)
        cells = {(a, x): rng.normal(0, 1, 3).tolist() for a in range(3) for x in range(2) if (a, x) != (2, 1)}
        (both,) = compared(["a", "x"], cells, shared=False).interactions
        # within cells against additive: by hand from cell means and a least squares fit with dummies
        within = sum(float(np.square(np.array(v) - np.mean(v)).sum()) for v in cells.values())
        additive = marginal(["a", "x"], cells, "a")
        f = (additive["variance"] * additive["df"] - within) / (within / 10)
        assert (both.f, both.df, both.size) == (pytest.approx(f), (1, 10), None)
        empty = both.cells[-1]
        assert (empty.n, empty.mean, empty.departure) == (0, None, None)
        assert [c.mean for c in both.cells[:-1]] == pytest.approx([np.mean(v) for v in cells.values()])
        assert {c.departure for c in both.cells} == {None}


def of(effects: Sequence[Effect]) -> dict[str, Effect]:
    return {effect.factor.name: effect for effect in effects}


class TestTogether:
    def test_columns_that_always_changed_together_are_one_factor(self) -> None:
        cells = {("adam", 0.001, 8): [0.9, 0.91], ("sgd", 0.1, 8): [0.8, 0.82], ("sgd", 0.1, 16): [0.7, 0.74]}
        found = compared(["optimizer", "lr", "width"], cells)
        assert [(f.name, f.columns) for f in found.factors] == [
            ("optimizer + lr", ("optimizer", "lr")),
            ("width", ("width",)),
        ]
        assert found.factors[0].values == ("adam + 0.001", "sgd + 0.1")

    def test_what_follows_from_another_factor_is_counted_there(self) -> None:
        rates = {("adam", 0.001): 0.9, ("adam", 0.01): 0.8, ("sgd", 0.1): 0.7, ("sgd", 1): 0.5}
        rng = random.Random(0)
        cells = {
            (*at, width): [value + rng.gauss(0, 0.01) for _ in range(2)]
            for at, value in rates.items()
            for width in (8, 16)
        }
        found = compared(["optimizer", "lr", "width"], cells)
        told = of(found.effects)
        assert told["optimizer"].note == "It moved together with lr, and its effect is counted there."
        assert (told["optimizer"].levels, told["optimizer"].p) == ((), None)
        assert told["lr"].note == "optimizer moved together with it: this is the effect of all of them."
        assert told["lr"].df == (3, 16 - 1 - 3 - 1 - 1)
        assert [(i.a.name, i.b.name) for i in found.interactions] == [("lr", "width")]

    def test_factors_that_fell_together_because_runs_failed(self) -> None:
        cells = {("a", "x"): [0.5, 0.6], ("a", "y"): ["failed"], ("b", "x"): ["failed"], ("b", "y"): [0.7, 0.9]}
        told = of(compared(["one", "two"], cells).effects)
        assert "two moved together" in told["one"].note
        assert told["two"].note == "It moved together with one, and its effect is counted there."
        assert means(told["one"]) == pytest.approx({"a": 0.55, "b": 0.8})

    def test_what_only_several_others_explain_is_said(self) -> None:
        # a value of c for each combination of a and b: both follow from it
        cells = {(a, b, a * 2 + b): [0.1 * a + 0.2 * b, 0.11 * a + 0.2 * b] for a in range(2) for b in range(2)}
        told = of(compared(["a", "b", "c"], cells).effects)
        assert told["a"].note == "It moved together with c, and its effect is counted there."
        assert told["b"].note == "It moved together with c, and its effect is counted there."
        assert told["c"].note == "a and b moved together with it: this is the effect of all of them."
        # c = a or b, where both were never set at once, is a sum of both and follows from neither alone
        cells = {(a, b, a + b): [0.1 * a + 0.2 * b, 0.3] for a, b in [(0, 0), (0, 1), (1, 0)]}
        told = of(compared(["a", "b", "c"], cells).effects)
        assert told["c"].note == "The runs cannot tell its effect from that of the other factors together."
        assert [bool(told[name].levels) for name in "abc"] == [True, True, False]

    def test_runs_in_two_islands_are_not_compared(self) -> None:
        cells = {(a, b): [0.5, 0.6] for a, b in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (2, 3), (3, 2), (3, 3)]}
        found = compared(["a", "b"], cells)
        for effect in found.effects:
            assert effect.note == "Too few combinations were run to tell its effect from that of other factors."
            assert (effect.levels, effect.best, effect.p) == ((), None, None)
        assert found.interactions == ()


class TestNothingToMeasureWith:
    def test_one_run_for_each_combination(self) -> None:
        cells = {(a, x): [0.1 * a + 0.01 * x * a] for a in range(3) for x in range(2)}
        found = compared(["a", "x"], cells)
        assert found.effects[0].p is not None  # the interaction is the noise that effects are measured against
        (both,) = found.interactions
        assert (both.f, both.p, both.df) == (None, None, (2, 0))
        assert both.note == (
            "One run for each combination of a and x: an interaction cannot be told from noise; "
            "run each with other seeds as well (sweep.seeds=2)."
        )
        assert [c.mean for c in both.cells] == pytest.approx([value for (value,) in cells.values()])
        assert {c.low for c in both.cells} == {None}

    def test_as_many_levels_as_runs(self) -> None:
        (effect,) = compared(["x"], {(name,): [i / 10] for i, name in enumerate("abc")}).effects
        assert means(effect) == pytest.approx({"a": 0.0, "b": 0.1, "c": 0.2})
        assert (effect.f, effect.p, effect.levels[0].low, effect.levels[0].p) == (None, None, None, None)
        assert effect.note == (
            "There are no more runs than numbers to estimate, so nothing measures the noise: "
            "run each with other seeds as well (sweep.seeds=2)."
        )

    def test_what_rounding_makes_of_nothing_is_nothing(self) -> None:
        (effect,) = compared(["x"], {(name,): [0.1, 0.7] for name in "abcdefg"}).effects
        assert [level.difference for level in effect.levels] == [0.0] * 7
        assert effect.best == 0

    def test_one_at_a_time_has_no_interaction(self) -> None:
        cells = {("a", "x"): [0.5, 0.6], ("b", "x"): [0.6, 0.8], ("a", "y"): [0.4, 0.45]}
        found = compared(["one", "two"], cells)
        (both,) = found.interactions
        assert both.note == "No two values of one were both run with two values of two."
        assert (both.f, both.df, both.p) == (None, None, None)
        assert means(found.effects[0]) == pytest.approx({"a": 0.4875, "b": 0.6375})

    @pytest.mark.parametrize("value", [0.0, 0.5, 1.0, 1 / 3])
    def test_a_constant_metric(self, value: float) -> None:
        found = compared(["a", "x"], {(a, x): [value, value] for a in range(2) for x in range(2)})
        for effect in found.effects:
            assert (effect.f, effect.p, effect.share) == (None, None, None)
            assert [(e.mean, e.low, e.p) for e in effect.levels] == [(pytest.approx(value), None, None)] * 2
            assert effect.note == "All runs reached the same number."
        (both,) = found.interactions
        assert (both.f, both.size, both.note) == (
            None,
            pytest.approx(0, abs=1e-12),
            "All runs reached the same number.",
        )

    def test_seeds_that_reach_exactly_the_same(self) -> None:
        for shared, why in (
            (True, "Every seed shows the same differences"),
            (False, "Runs with the same values reached the same number"),
        ):
            (effect,) = compared(["x"], {("a",): [0.5, 0.5], ("b",): [0.75, 0.75]}, shared=shared).effects
            assert (effect.f, effect.p, effect.share) == (None, None, pytest.approx(1))
            assert effect.note == f"{why}, so nothing measures the noise."

    def test_no_run_with_a_number(self) -> None:
        found = compared(["x"], {("a",): ["failed"], ("b",): [math.nan, "inf"]})
        assert [(e.factor.values, e.levels, e.note) for e in found.effects] == [
            (("a", "b"), (), "No completed run has a number.")
        ]
        assert found.interactions == ()

    def test_one_value_alone_has_numbers(self) -> None:
        (effect,) = compared(["x"], {("a",): [0.5, 0.6], ("b",): ["failed"]}).effects
        assert effect.note == "Only one of its values has a run with a number."


class TestScales:
    def test_many_numbers_have_a_rank_correlation(self) -> None:
        rng = np.random.default_rng(3)
        rates = rng.uniform(1e-4, 1e-1, 20)
        reached = {(rate, "ab"[i % 2]): (0.9 - rate + rng.normal(0, 0.02, 2)).tolist() for i, rate in enumerate(rates)}
        lr, other = compared(["lr", "kind"], reached).effects
        told = scipy.stats.spearmanr(rates, [np.mean(v) for v in reached.values()])
        assert lr.trend is not None
        assert (lr.trend.correlation, lr.trend.p, lr.trend.n) == (
            pytest.approx(told.statistic),
            pytest.approx(told.pvalue),
            20,
        )
        assert (lr.levels, lr.f) == ((), None)
        assert [level.n for level in other.levels] == [20, 20]

    def test_two_of_them_are_two_factors(self) -> None:
        rng = random.Random(0)
        drawn = {(rng.random(), rng.random()): [rng.random()] for _ in range(15)}
        found = compared(["lr", "decay"], drawn)
        assert [(e.factor.name, e.trend is not None) for e in found.effects] == [("lr", True), ("decay", True)]

    def test_twelve_are_levels(self) -> None:
        (effect,) = compared(["lr"], {(i,): [i / 100, i / 90] for i in range(12)}).effects
        assert effect.trend is None
        assert [level.value for level in effect.levels] == [str(i) for i in range(12)]

    def test_a_constant_metric_has_none(self) -> None:
        (effect,) = compared(["lr"], {(i,): [0.5] for i in range(13)}).effects
        assert effect.trend is None
        assert effect.note == "There is nothing to correlate: its values or what they reached are all alike."


VALUES = st.lists(st.floats(0, 1).map(lambda v: round(v, 3)), min_size=12, max_size=12)
GRID = list(itertools.product("ab", "xyz"))


def numbers(found: Comparison) -> list[list[float | None]]:
    effects = [[x for e in found.effects for level in e.levels for x in (level.mean, level.low, level.high)]]
    return [*effects, [e.f for e in (*found.effects, *found.interactions)], [e.p for e in found.effects]]


@given(VALUES, st.floats(-2, 2), st.sampled_from([0.1, 0.5, 100.0]), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_units_and_the_order_of_runs_change_nothing(
    drawn: list[float], shift: float, scale: float, order: random.Random
) -> None:
    cells = {at: drawn[2 * i : 2 * i + 2] for i, at in enumerate(GRID)}
    runs = table(["one", "two"], cells)
    plain = analyse(runs)
    assert analyse(order.sample(runs, len(runs))) == plain
    (first,) = plain.comparisons
    if not all(e.f is not None and 1e-6 < e.f < 1e6 for e in (*first.effects, *first.interactions)):
        return
    moved = compared(["one", "two"], {at: [scale * v + shift for v in of] for at, of in cells.items()})
    (means, fs, ps), (moved_means, moved_fs, moved_ps) = numbers(first), numbers(moved)
    assert moved_means == pytest.approx([scale * m + shift for m in means if m is not None], rel=1e-6, abs=1e-6)
    assert moved_fs == pytest.approx(fs, rel=1e-4)
    assert moved_ps == pytest.approx(ps, rel=1e-4, abs=1e-9)


@given(VALUES)
@settings(max_examples=20, deadline=None)
def test_names_change_nothing_and_less_is_more_upside_down(drawn: list[float]) -> None:
    cells = {at: drawn[2 * i : 2 * i + 2] for i, at in enumerate(GRID)}
    plain = compared(["one", "two"], cells)
    names = {"a": "学", "b": "<b>", "x": "10", "y": "9", "z": "-1e3"}
    other = compared(["two", "one"], {(names[b], names[a]): of for (a, b), of in cells.items()})
    for effect in plain.effects:
        renamed = next(e for e in other.effects if len(e.levels) == len(effect.levels))
        assert {names[v]: m for v, m in means(effect).items()} == pytest.approx(means(renamed))
        assert (renamed.df, renamed.share) == (effect.df, pytest.approx(effect.share))
        assert renamed.p == pytest.approx(effect.p)
    (a,), (b,) = plain.interactions, other.interactions
    assert {(names[c.b], names[c.a]): c.departure for c in a.cells} == pytest.approx(
        {(c.a, c.b): c.departure for c in b.cells}, abs=1e-12
    )
    down = compared(["one", "two"], {at: [-v for v in of] for at, of in cells.items()}, "min")
    for effect, mirrored in zip(plain.effects, down.effects, strict=True):
        assert [level.mean for level in mirrored.levels] == pytest.approx([-(e.mean or 0.0) for e in effect.levels])
        assert mirrored.p == pytest.approx(effect.p)
        assert effect.best is not None
        assert mirrored.best is not None
        best = [e.levels[e.best].mean for e in (effect, mirrored) if e.best is not None]
        assert best[0] == pytest.approx(-(best[1] or 0.0))


def test_every_two_factors_interact_once() -> None:
    rng = random.Random(0)
    cells = {at: [rng.random()] for at in itertools.product("ab", "cd", "ef", "gh")}
    found: Sequence[Interaction] = compared(["one", "two", "three", "four"], cells).interactions
    assert [(i.a.name, i.b.name) for i in found] == list(itertools.combinations(["one", "two", "three", "four"], 2))
    assert {i.df for i in found} == {(1, 16 - 1 - 4 - 1)}
