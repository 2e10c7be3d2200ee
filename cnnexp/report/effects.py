"""What each changed value does by itself: its mean with everything else in balance, and its difference to the best."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cnnexp.report.factors import Factor
from cnnexp.report.model import Model
from cnnexp.report.observations import Observation
from cnnexp.report.ranking import as_number
from cnnexp.report.statistics import Estimate, Fit, spearman


@dataclass(frozen=True)
class Level:
    """One value of a factor, with everything else held in balance.

    Arguments:
        value: the value.
        n: how many runs with it have a number.
        mean: the estimated marginal mean: what a run with this value is expected to reach on average over all values
            of the other factors, each counted once, and over all seeds; None where nothing can be said.
        low, high: its 95 % interval, for other seeds too where runs share their seeds; None where the noise is not
            known.
        difference: its mean minus that of the factor's best level, 0 for the best level itself; within seeds where
            runs share them, so that the interval and p are free of what a seed does.
        difference_low, difference_high: the 95 % interval of the difference; None for the best level.
        p: of the difference, two-sided; None for the best level.
    """

    value: str
    n: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Trend:
    """How a factor with many numbers for values goes together with the metric.

    Arguments:
        correlation: Spearman's rank correlation between the factor and the means of the configurations, -1 to 1.
        n: how many configurations it is of.
        p: two-sided.
    """

    correlation: float
    n: int
    p: float | None


@dataclass(frozen=True)
class Effect:
    """The main effect of a factor.

    Arguments:
        factor: the factor.
        levels: its values in the factor's order; empty where there is a trend or where its effect cannot be told
            from that of other factors.
        best: the index of the best level; None where there are no means.
        f, df, p: the F test that all levels have the same mean, its degrees of freedom (between, residual); within
            seeds as above.
        share: how much of the variance of all runs it explains, 0 to 1.
        trend: in place of levels, for more than 12 numbers.
        note: a sentence about what cannot be said and why, or what must be known to read it; often empty.
    """

    factor: Factor
    levels: tuple[Level, ...] = ()
    best: int | None = None
    f: float | None = None
    df: tuple[int, int] | None = None
    p: float | None = None
    share: float | None = None
    trend: Trend | None = None
    note: str = ""


def effects(
    found: Sequence[Factor], model: Model | None, observations: Sequence[Observation], mode: str
) -> list[Effect]:
    """The main effect of each factor.

    Arguments:
        found: the factors.
        model: the model of those that are no scales; None where there are no observations.
        observations: what the runs reached.
        mode: whether more is better (max) or less (min).
    """
    told = []
    for factor in found:
        if model is None:
            told.append(Effect(factor, note="No completed run has a number."))
        elif factor.is_scale:
            told.append(_trend(factor, observations))
        elif factor.name in model.left_out:
            told.append(Effect(factor, note=model.left_out[factor.name]))
        else:
            told.append(_effect(factor, model, mode))
    return told


def _effect(factor: Factor, model: Model, mode: str) -> Effect:
    fit, marginal, tried = model.fit, model.marginal(factor), model.tried(factor)
    if not all(map(fit.can_tell, marginal)):
        return Effect(factor, note="Too few combinations were run to tell its effect from that of other factors.")
    means = [model.mean(row) for row in marginal]
    best = (max if mode == "max" else min)(range(len(tried)), key=lambda i: means[i].value)
    best = next(i for i in range(len(tried)) if not fit.estimate(marginal[i] - marginal[best]).value)  # of equal ones
    test = fit.beyond(Fit(model.design(factor), model.y))
    counts = Counter(factor.of_rows[o.row] for o in model.observations)
    levels = {value: Level(value, 0) for value in factor.values}
    for i, value in enumerate(tried):
        less = Estimate(0.0) if i == best else fit.estimate(marginal[i] - marginal[best])
        levels[value] = _level(value, counts[value], means[i], less)
    return Effect(
        factor,
        levels=tuple(levels.values()),
        best=factor.values.index(tried[best]),
        f=test.f,
        df=test.df,
        p=test.p,
        share=test.share,
        note=" ".join(filter(None, (_joined(model.joined.get(factor.name, ())), model.no_noise(fit)))),
    )


def _level(value: str, n: int, mean: Estimate, less: Estimate) -> Level:
    return Level(value, n, mean.value, mean.low, mean.high, less.value, less.low, less.high, less.p)


def _trend(factor: Factor, observations: Sequence[Observation]) -> Effect:
    """Rank correlation with the means of the rows: seeds of one row are no further values of the factor."""
    means: dict[int, list[float]] = {}
    for o in observations:
        means.setdefault(o.row, []).append(o.value)
    numbers = {row: number for row in means if (number := as_number(factor.of_rows[row])) is not None}
    found = spearman(list(numbers.values()), [statistics.mean(means[row]) for row in numbers])
    if found is None:
        return Effect(factor, note="There is nothing to correlate: its values or what they reached are all alike.")
    note = f"{len(factor.values)} values: a rank correlation in place of means."
    return Effect(factor, trend=Trend(found[0], len(numbers), found[1]), note=note)


def _joined(names: Sequence[str]) -> str:
    """`a, b and c moved together with it: …`; nothing for no names."""
    together = " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
    return f"{together} moved together with it: this is the effect of all of them." if names else ""
