"""Configurations against each other, seed by seed where they share seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

from cnnexp.report.conditions import Conditions, conditions, differences
from cnnexp.report.observations import Observation
from cnnexp.report.ranking import Figure, Ranking
from cnnexp.report.statistics import holm, paired, welch

MANY_ROWS = 30

_BySeed = Mapping[str, float]


@dataclass(frozen=True)
class Pair:
    """The difference between two configurations.

    Arguments:
        a, b: the indices of the ranking's rows; `a` has the better mean.
        difference: of the means, `a` minus `b`; over the shared seeds alone where two or more are shared.
        low, high: its 95 % interval; None where nothing can be said about noise.
        p: two-sided; None as above.
        p_adjusted: p after Holm's correction for all pairs of the comparison.
        test: "paired t", "Welch t", or "" where nothing was tested.
        n: how many seeds are shared for a paired test, else the runs of both.
        within_noise: whether the interval holds 0, or nothing can be said.
        reason: a sentence that says why there is no interval; else empty.
        notes: what else differs between the two: code, data, parameters, epochs, device; sentences.
        shares_seeds: whether the difference is over the shared seeds alone.
    """

    a: int
    b: int
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    test: str
    n: int
    within_noise: bool
    reason: str
    notes: tuple[str, ...]
    shares_seeds: bool


def order(values: Sequence[Figure | None], mode: str) -> list[int]:
    """The indices of the rows that have a mean, best first; equal ones in the order of the rows."""
    sign = -1 if mode == "max" else 1
    return [i for _, i in sorted((sign * figure.mean, i) for i, figure in enumerate(values) if figure is not None)]


def pairs(ranking: Ranking, best_first: Sequence[int], observations: Sequence[Observation]) -> tuple[Pair, ...]:
    """The differences between rows: all up to 30 rows, of more each against the best and against the next in rank.

    Where two rows share two seeds or more, the differences seed by seed are tested (paired t), because a seed decides
    the split, the weights and the order of the samples of both; otherwise the runs are taken as independent (Welch).

    Arguments:
        ranking: the configurations.
        best_first: the indices of the rows that have a mean, in order.
        observations: what their runs reached.
    """
    reached: dict[int, dict[str, float]] = {i: {} for i in best_first}
    for o in observations:
        reached[o.row][o.seed] = o.value
    made = {i: conditions(ranking.rows[i], [o.run for o in observations if o.row == i]) for i in best_first}
    chosen = list(combinations(best_first, 2))
    if len(best_first) > MANY_ROWS:
        chosen = list(dict.fromkeys([*((best_first[0], i) for i in best_first[1:]), *pairwise(best_first)]))
    found = [_pair(a, b, reached, made) for a, b in chosen]
    adjusted = holm([pair.p for pair in found])
    return tuple(replace(pair, p_adjusted=p) for pair, p in zip(found, adjusted, strict=True))


def _pair(a: int, b: int, reached: Mapping[int, _BySeed], made: Mapping[int, Conditions]) -> Pair:
    x, y = reached[a], reached[b]
    shared = [seed for seed in x if seed in y]
    if len(shared) > 1:
        test, n, estimate = "paired t", len(shared), paired([x[seed] for seed in shared], [y[seed] for seed in shared])
        reason = f"The same difference at each of {n} seeds: nothing can be said about noise."
    else:
        test, n, estimate = "Welch t", len(x) + len(y), welch(list(x.values()), list(y.values()))
        reason = "All runs of a row reached the same: nothing can be said about noise."
        if len(x) == len(y) == 1:
            reason = "One run each: nothing can be said about noise."
        elif min(len(x), len(y)) == 1:
            reason = "One of them has one run: nothing can be said about noise."
    known = estimate.low is not None and estimate.high is not None
    within = not known or (estimate.low or 0.0) <= 0 <= (estimate.high or 0.0)
    return Pair(
        a=a,
        b=b,
        difference=estimate.value,
        low=estimate.low,
        high=estimate.high,
        p=estimate.p,
        p_adjusted=None,
        test=test if known else "",
        n=n,
        within_noise=within,
        reason="" if known else reason,
        notes=differences(made[a], made[b]),
        shares_seeds=len(shared) > 1,
    )
