"""The statistics of small experiments: a linear model, random blocks, t tests, Holm's and Spearman's methods.

Where there is no noise to measure against there is no interval and no p, rather than one of width 0: an accuracy is a
count of samples, and two seeds that differ by the same count prove nothing.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Vector = NDArray[np.float64]

_CONFIDENCE = 0.95
_NOTHING = 1e-12  # of the largest value: what least squares make of 0
_ROUNDING = 1e-6  # of the largest value: metrics are computed with 24 bits, and what is spread less is their rounding


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Arguments:
        value: the number.
        low, high: the interval; None where there is no noise to measure against.
        p: two-sided, that the number is 0; None as above.
    """

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class FTest:
    """Whether a larger model explains more than a smaller one.

    Arguments:
        f, p: the statistic and its probability; None where there is no noise to measure against.
        df: the degrees of freedom, (between, residual).
        share: how much of the variance the larger model explains beyond the smaller, 0 to 1; None without variance.
    """

    f: float | None
    df: tuple[int, int]
    p: float | None
    share: float | None


class Fit:
    """A linear model by least squares; it may have more columns than it can tell apart.

    Arguments:
        x: the design, (runs, columns); some combination of its columns is constant.
        y: what the runs reached, (runs,).
    """

    def __init__(self, x: Vector, y: Vector) -> None:
        # Without its size and its mean, no metric is too large to be squared and none too close to its mean.
        self._scale = _scale(y.tolist())
        scaled = y / self._scale
        self._centre = float(scaled.mean())
        centred = scaled - self._centre
        u, s, vt = np.linalg.svd(x, full_matrices=False)
        kept = s > s[0] * 1e-10
        self._basis, self._rows, self._inverse = u[:, kept], vt[kept], vt[kept].T / s[kept]
        self._constant = self._inverse @ (self._basis.T @ np.ones(len(y)))
        explained = self._basis.T @ centred
        self._coefficients = self._inverse @ explained
        self.rank, self.columns = int(kept.sum()), x.shape[1]
        self.df = len(y) - self.rank
        self.rss = float(np.square(centred - self._basis @ explained).sum()) if self.df else 0.0
        self.tss = float(np.square(centred).sum())
        self.noise = self.df > 0 and math.sqrt(self.rss / len(y)) > _ROUNDING
        self.varies = math.sqrt(self.tss / len(y)) > _ROUNDING

    def can_tell(self, combination: Vector) -> bool:
        """Whether the runs determine a combination of the coefficients, (columns,)."""
        return bool(np.abs(combination - self._rows.T @ (self._rows @ combination)).max() < 1e-8)

    def estimate(self, combination: Vector) -> Estimate:
        """A combination of the coefficients, (columns,), that the runs determine."""
        variance = self.rss / self.df * self.weight(combination) if self.noise else 0.0
        return self.with_variance(combination, variance, self.df)

    def with_variance(self, combination: Vector, variance: float, df: float) -> Estimate:
        """A combination of the coefficients whose variance, in units of `rss`, is known from elsewhere."""
        value = float(combination @ self._coefficients + self._centre * (combination @ self._constant))
        value = value if abs(value) > _NOTHING else 0.0
        return _estimate(value, math.sqrt(variance), df, self._scale)

    def weight(self, combination: Vector) -> float:
        """The variance of a combination of the coefficients where that of a single run is 1."""
        return float(np.square(combination @ self._inverse).sum())

    def unexplained(self, columns: Vector) -> float:
        """The sum of squares of some columns, (runs, any), that those of the model leave over."""
        return float(np.square(columns - self._basis @ (self._basis.T @ columns)).sum())

    def beyond(self, smaller: Fit) -> FTest:
        """What this model explains beyond a smaller one of the same runs, whose columns are combinations of its own."""
        between, gained = self.rank - smaller.rank, max(smaller.rss - self.rss, 0.0)
        share = min(gained / self.tss, 1.0) if self.varies else None
        if not self.noise or not between:
            return FTest(None, (between, self.df), None, share)
        f = (gained / between) / (self.rss / self.df)
        return FTest(f, (between, self.df), float(special.fdtrc(between, self.df, f)), share)


class RandomBlocks:
    """A linear model whose blocks are a sample of many: its means are those over all blocks, not over the tried ones.

    The variance of the blocks is that of Henderson's third method: what the blocks explain beyond the rest of the
    model, less what noise would. It is never negative: blocks that explain no more than noise would are no blocks.

    Arguments:
        fit: the model with a column for all blocks but one, which sum to 0 over the blocks.
        without: the same model without the blocks.
        of_runs: 1 where a run is of a block, else 0, (runs, blocks).
    """

    def __init__(self, fit: Fit, without: Fit, of_runs: Vector) -> None:
        self._fit, self._without = fit, without
        self._df = fit.rank - without.rank
        self._between = max(without.rss - fit.rss, 0.0) / self._df
        # The mean square of the blocks is expected to be noise + variance of the blocks * (unexplained / df).
        self._weight = self._df / without.unexplained(of_runs) / of_runs.shape[1]

    def estimate(self, combination: Vector) -> Estimate:
        """A combination of the coefficients, (columns,), that is 0 in those of the blocks.

        Its variance is that of the blocks over their number and that of the noise as in the model; where the blocks
        have none, that of the model without them. The degrees of freedom are those of the blocks: Satterthwaite's,
        computed from the same few blocks, grow just where these lie close to each other by chance, and then the
        interval of two blocks holds the mean 88 times in 100.
        """
        if not self._fit.noise:
            return self._fit.estimate(combination)
        weight, noise = self._fit.weight(combination), self._fit.rss / self._fit.df
        if self._between <= noise:
            pooled = self._without.rss / self._without.df
            return self._fit.with_variance(combination, weight * pooled, self._without.df)
        variance = weight * noise + self._weight * (self._between - noise)
        return self._fit.with_variance(combination, variance, self._df)


def paired(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """The mean of the differences `a` minus `b`, one by one, tested by a paired t test.

    Arguments:
        a, b: as many values each, at least one.
    """
    scale = _scale((*a, *b))
    differences = [x / scale - y / scale for x, y in zip(a, b, strict=True)]
    mean, n = statistics.mean(differences), len(differences)
    sd = statistics.stdev(differences) if n > 1 else 0.0
    return _estimate(mean, sd / math.sqrt(n) if sd > _ROUNDING else 0.0, n - 1, scale)


def welch(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """The difference of two means, `a` minus `b`, tested by Welch's t test.

    Arguments:
        a, b: at least one value each; there is no test where one has no more.
    """
    scale = _scale((*a, *b))
    x, y = ([value / scale for value in values] for values in (a, b))
    difference = statistics.mean(x) - statistics.mean(y)
    if min(len(x), len(y)) < 2:
        return _estimate(difference, 0.0, 0, scale)
    squares = [statistics.variance(values) / len(values) for values in (x, y)]
    error = math.sqrt(sum(squares))
    if error <= _ROUNDING:
        return _estimate(difference, 0.0, 0, scale)
    shares = [square / sum(squares) for square in squares]
    df = 1 / sum(share**2 / (len(values) - 1) for share, values in zip(shares, (x, y), strict=True))
    return _estimate(difference, error, df, scale)


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Every p after Holm's correction for all that are tested; None stays None."""
    tested = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    least = 0.0
    for rank, (p, i) in enumerate(tested):
        least = max(least, min(1.0, p * (len(tested) - rank)))
        adjusted[i] = least
    return adjusted


def spearman(a: Sequence[float], b: Sequence[float]) -> tuple[float, float | None] | None:
    """Spearman's rank correlation and its two-sided p by the t distribution; None where one of both is constant."""
    if not len(a):
        return None
    x, y = (_ranks(np.asarray(v, dtype=float)) for v in (a, b))
    spread = math.sqrt(float(x @ x) * float(y @ y))
    if not spread:
        return None
    r, df = max(-1.0, min(1.0, float(x @ y) / spread)), len(x) - 2
    if df < 1:
        return r, None
    t = abs(r) * math.sqrt(df / (1 - r * r)) if abs(r) < 1 else math.inf
    return r, float(2 * special.stdtr(df, -t))


def _ranks(values: Vector) -> Vector:
    """The ranks of values, ties sharing the mean of theirs, less the mean of all."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[place]
    return np.asarray(ranks - ranks.mean())


def _scale(values: Sequence[float]) -> float:
    """The largest size; without it no metric is too large to be squared."""
    return max(map(abs, values)) or 1.0


def _estimate(value: float, error: float, df: float, scale: float) -> Estimate:
    """An estimate by Student's t; without an interval where its standard error is 0, which is to say unknown."""
    if not error:
        return Estimate(_bounded(value * scale))
    reach = float(special.stdtrit(df, (1 + _CONFIDENCE) / 2)) * error
    p = float(2 * special.stdtr(df, -abs(value) / error))
    return Estimate(_bounded(value * scale), _bounded((value - reach) * scale), _bounded((value + reach) * scale), p)


def _bounded(value: float) -> float:
    """The value as a finite number."""
    return max(-sys.float_info.max, min(sys.float_info.max, value))
