"""Whether what a changed value does depends on another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from cnnexp.report.effects import Effect
from cnnexp.report.factors import Factor
from cnnexp.report.model import AGAIN, Model
from cnnexp.report.statistics import Fit, Vector

_Combinations = dict[tuple[str, str], Vector]


@dataclass(frozen=True)
class Cell:
    """A value of one factor together with a value of another.

    Arguments:
        a, b: the values.
        n: how many runs with both have a number.
        mean: what they reached, in balance over the other factors; None for a combination without a run.
        departure: the mean minus what the two main effects would add up to; None where a combination is missing.
        low, high: the 95 % interval of the departure; None where the noise is not known.
    """

    a: str
    b: str
    n: int
    mean: float | None = None
    departure: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Interaction:
    """Whether the effect of one factor depends on the value of another.

    Arguments:
        a, b: the factors.
        cells: every combination, the values of `a` outside, those of `b` inside.
        f, df, p: the F test that the effects add up, its degrees of freedom (interaction, residual), within seeds
            where runs share them; None where there are too few runs.
        share: how much of the variance of all runs it explains, 0 to 1.
        size: the largest departure from additivity, without its sign; None where a combination is missing.
        note: a sentence that says why there is no test; else empty.
    """

    a: Factor
    b: Factor
    cells: tuple[Cell, ...]
    f: float | None = None
    df: tuple[int, int] | None = None
    p: float | None = None
    share: float | None = None
    size: float | None = None
    note: str = ""


def interactions(told: Sequence[Effect], model: Model) -> list[Interaction]:
    """The interaction of every two factors whose levels have means, each added to the additive model by itself.

    Arguments:
        told: the main effects.
        model: the model that they come from.
    """
    return [_interaction(a, b, model) for a, b in combinations([e.factor for e in told if e.levels], 2)]


def _interaction(a: Factor, b: Factor, model: Model) -> Interaction:
    of_runs = [(a.of_rows[o.row], b.of_rows[o.row]) for o in model.observations]
    counts = Counter(of_runs)
    place = {cell: i for i, cell in enumerate(counts)}
    # A column for every combination that was run stands for both main effects, the interaction and the mean.
    fit = Fit(np.hstack([np.eye(len(place))[[place[cell] for cell in of_runs]], model.design(a, b)[:, 1:]]), model.y)
    means = {cell: np.eye(1, fit.columns, i)[0] for cell, i in place.items()}
    departures = _departures(model.tried(a), model.tried(b), means)
    cells = tuple(_cell(x, y, counts[x, y], fit, means, departures) for x in a.values for y in b.values)
    test = fit.beyond(model.fit)
    if not test.df[0]:
        return Interaction(a, b, cells, note=f"No two values of {a.name} were both run with two values of {b.name}.")
    note = model.no_noise(fit)
    if not fit.df and set(counts.values()) == {1}:
        note = (
            f"One run for each combination of {a.name} and {b.name}: an interaction cannot be told from noise; {AGAIN}."
        )
    size = max((abs(cell.departure) for cell in cells if cell.departure is not None), default=None)
    return Interaction(a, b, cells, test.f, test.df, test.p, test.share, size, note)


def _departures(a: Sequence[str], b: Sequence[str], means: Mapping[tuple[str, str], Vector]) -> _Combinations:
    """Every cell minus what the margins add up to, as combinations; none where a cell is empty."""
    if len(means) < len(a) * len(b):
        return {}
    table = np.array([[means[x, y] for y in b] for x in a])
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean(axis=(0, 1))
    return {(x, y): rest[i, j] for i, x in enumerate(a) for j, y in enumerate(b)}


def _cell(a: str, b: str, n: int, fit: Fit, means: _Combinations, departures: _Combinations) -> Cell:
    at = (a, b)
    mean = fit.estimate(means[at]).value if at in means and fit.can_tell(means[at]) else None
    if at not in departures or not fit.can_tell(departures[at]):
        return Cell(a, b, n, mean)
    departure = fit.estimate(departures[at])
    return Cell(a, b, n, mean, departure.value, departure.low, departure.high)
