"""Tests, intervals and corrections against scipy.stats, textbook formulas and published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cnnexp.report.statistics import Fit, holm, paired, spearman, welch

# Student's sleep data (1908): hours gained by ten patients with two drugs; R prints these results for them.
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

ACCURACIES = st.lists(st.integers(0, 360).map(lambda k: k / 360), min_size=2, max_size=8)


def test_students_own_data_paired() -> None:
    found = paired(FIRST, SECOND)
    assert (found.value, found.low, found.high) == pytest.approx((-1.58, -2.4598858, -0.7001142), abs=5e-8)
    assert found.p == pytest.approx(0.002833, abs=5e-7)


def test_students_own_data_by_welch() -> None:
    found = welch(FIRST, SECOND)
    assert (found.value, found.low, found.high) == pytest.approx((-1.58, -3.3654832, 0.2054832), abs=5e-8)
    assert found.p == pytest.approx(0.07939, abs=5e-6)


@given(ACCURACIES, st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_t_tests_are_those_of_scipy(values: list[float], seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.01, (2, len(values)))
    a, b = (np.array(values) + noise).tolist()
    interval = scipy.stats.ttest_rel(a, b).confidence_interval(0.95)
    found = paired(a, b)
    assert (found.low, found.high, found.p) == pytest.approx(
        (interval.low, interval.high, scipy.stats.ttest_rel(a, b).pvalue), rel=1e-7, abs=1e-12
    )
    other = b[:-1] if len(b) > 2 else b
    told = scipy.stats.ttest_ind(a, other, equal_var=False)
    interval = told.confidence_interval(0.95)
    found = welch(a, other)
    assert (found.low, found.high, found.p) == pytest.approx(
        (interval.low, interval.high, told.pvalue), rel=1e-7, abs=1e-12
    )


@pytest.mark.parametrize(
    ("a", "b", "difference"),
    [
        ([0.5], [0.25], 0.25),
        ([0.9, 0.7], [0.8, 0.6], 0.1),  # the same difference but for rounding
        ([1 / 3, 0.7, 0.1], [1 / 3, 0.7, 0.1], 0.0),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([1e9 + 0.25, 2e9], [1e9, 2e9 - 0.25], 0.25),
    ],
)
def test_the_same_difference_every_time_proves_nothing(a: list[float], b: list[float], difference: float) -> None:
    found = paired(a, b)
    assert found.value == pytest.approx(difference)
    assert (found.low, found.high, found.p) == (None, None, None)


@pytest.mark.parametrize(("a", "b"), [([0.5], [0.25, 0.75]), ([0.5, 0.5], [0.25, 0.25]), ([0.1 + 0.2, 0.3], [0.3] * 3)])
def test_welch_without_a_spread_proves_nothing(a: list[float], b: list[float]) -> None:
    found = welch(a, b)
    assert found.value == pytest.approx(np.mean(a) - np.mean(b))
    assert (found.low, found.high, found.p) == (None, None, None)


def test_welch_with_a_spread_on_one_side() -> None:
    found, told = welch([0.5, 0.5, 0.5], [0.1, 0.2]), scipy.stats.ttest_1samp([0.1, 0.2], 0.5)
    assert found.p == pytest.approx(told.pvalue)


def single(*counts: int) -> list[float]:
    """Accuracies on 360 samples as torch computes them, with 24 bits."""
    return [float(np.float32(count / 360)) for count in counts]


def test_the_rounding_of_metrics_is_no_spread() -> None:
    """One sample more at every seed is 1/360 more but for the rounding, which is no noise between seeds."""
    a, b = single(342, 331, 349, 347), single(341, 330, 348, 346)
    assert len({x - y for x, y in zip(a, b, strict=True)}) > 1
    assert paired(a, b).low is None
    assert paired(a, single(341, 330, 348, 345)).low is not None
    y = np.array([*a, *b])
    seeds = np.vstack([np.eye(4), np.eye(4)])
    assert not Fit(np.hstack([seeds, np.repeat([[0.0], [1.0]], 4, axis=0)]), y).noise
    third = [1 / 3, *single(120)]
    assert third[0] != third[1]
    assert welch(third, [0.25, 0.25]).low is None


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_no_number_is_too_large(drawn: list[tuple[float, float]]) -> None:
    a, b = (list(values) for values in zip(*drawn, strict=True))
    fit = Fit(np.ones((len(a), 1)), np.array(a))
    for found in (paired(a, b), welch(a, b), fit.estimate(np.ones(1))):
        numbers = [found.value, *(x for x in (found.low, found.high, found.p) if x is not None)]
        assert all(map(math.isfinite, numbers))


class TestHolm:
    def test_the_steps_by_hand(self) -> None:
        # 0.01 * 4, 0.02 * 3, 0.03 * 2 (not below the one before), 0.04 * 1 (not below either)
        assert holm([0.04, 0.01, None, 0.03, 0.02]) == pytest.approx([0.06, 0.04, None, 0.06, 0.06])
        assert holm([0.5, 0.9]) == [1.0, 1.0]
        assert holm([]) == []
        assert holm([None]) == [None]

    @given(st.lists(st.floats(0, 1), max_size=20))
    def test_it_is_between_p_and_bonferroni_and_keeps_the_order(self, ps: list[float]) -> None:
        adjusted = [p for p in holm(ps) if p is not None]
        for p, q in zip(ps, adjusted, strict=True):
            assert p <= q <= min(1.0, p * len(ps) if p else 0.0) or q == pytest.approx(p)
        order = np.argsort(ps, kind="stable")
        assert (np.diff(np.array(adjusted)[order]) >= 0).all()


class TestSpearman:
    @given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=4, max_size=30))
    @settings(max_examples=60, deadline=None)
    def test_it_is_that_of_scipy(self, drawn: list[tuple[int, int]]) -> None:
        a, b = (np.array(values, dtype=float) for values in zip(*drawn, strict=True))
        assume(len(set(a)) > 1 and len(set(b)) > 1)
        told, found = scipy.stats.spearmanr(a, b), spearman(a.tolist(), b.tolist())
        assert found is not None
        assert found[0] == pytest.approx(told.statistic)
        assert found[1] == pytest.approx(told.pvalue, abs=1e-6)

    def test_what_is_constant_has_none(self) -> None:
        assert spearman([1, 1, 1], [1, 2, 3]) is None
        assert spearman([1, 2, 3], [0.5, 0.5, 0.5]) is None
        assert spearman([], []) is None

    def test_two_points_are_no_test(self) -> None:
        assert spearman([1, 2], [3, 1]) == (-1.0, None)


class TestFit:
    def test_a_straight_line_by_the_textbook(self) -> None:
        x, y = np.array([1.0, 2, 3, 4, 5]), np.array([2.1, 3.9, 6.2, 7.8, 10.1])
        told = scipy.stats.linregress(x, y)
        fit = Fit(np.stack([np.ones(5), x], 1), y)
        slope = fit.estimate(np.array([0.0, 1.0]))
        reach = scipy.stats.t.ppf(0.975, 3) * told.stderr
        assert (slope.value, slope.low, slope.high) == pytest.approx(
            (told.slope, told.slope - reach, told.slope + reach)
        )
        assert slope.p == pytest.approx(told.pvalue)
        test = fit.beyond(Fit(np.ones((5, 1)), y))
        assert (test.df, test.share) == ((1, 3), pytest.approx(told.rvalue**2))
        assert (test.f, test.p) == pytest.approx(((told.slope / told.stderr) ** 2, told.pvalue))

    def test_one_degree_of_freedom_is_enough(self) -> None:
        found, told = (
            Fit(np.ones((2, 1)), np.array([0.4, 0.6])).estimate(np.ones(1)),
            scipy.stats.ttest_1samp([0.4, 0.6], 0),
        )
        interval = told.confidence_interval(0.95)
        assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, told.pvalue))

    def test_what_columns_cannot_tell_apart_is_known(self) -> None:
        fit = Fit(np.array([[1.0, 1, 1], [1, 0, 0], [1, 1, 1]]), np.array([1.0, 2, 4]))
        assert (fit.rank, fit.df) == (2, 1)
        assert fit.can_tell(np.array([1.0, 1, 1]))
        assert fit.can_tell(np.array([0.0, 1, 1]))
        assert not fit.can_tell(np.array([0.0, 1, 0]))

    @pytest.mark.parametrize("y", [[0.5, 0.5, 0.5], [0.1 + 0.2, 0.3, 0.3], [0, 0, 0], [1e300] * 3, [5e-324] * 3])
    def test_a_constant_has_neither_noise_nor_an_interval(self, y: list[float]) -> None:
        fit = Fit(np.ones((3, 1)), np.array(y))
        found = fit.estimate(np.ones(1))
        assert (fit.noise, fit.varies, found.low, found.high, found.p) == (False, False, None, None, None)
        assert found.value == pytest.approx(y[0])

    def test_a_large_mean_hides_no_difference(self) -> None:
        y = np.array([1.0, 2, 4])
        near, far = (Fit(np.ones((3, 1)), y + shift).estimate(np.ones(1)) for shift in (0.0, 1e5))
        assert near.high is not None
        assert far.high is not None
        assert far.high - far.value == pytest.approx(near.high - near.value, rel=1e-6)
