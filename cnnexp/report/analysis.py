"""Runs compared so that it can be believed: rankings with effects, differences, fronts, warnings and failures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from cnnexp.records import Run
from cnnexp.report.cautions import Caution, cautions
from cnnexp.report.effects import Effect, Level, Trend, effects
from cnnexp.report.factors import Factor, factors
from cnnexp.report.failures import Failure, failures
from cnnexp.report.interactions import Cell, Interaction, interactions
from cnnexp.report.model import model
from cnnexp.report.observations import Observation, figures, observe
from cnnexp.report.pairs import Pair, order, pairs
from cnnexp.report.pareto import Pareto, fronts
from cnnexp.report.planned import Sweep, sweeps
from cnnexp.report.ranking import Figure, Ranking, rankings

__all__ = [
    "Analysis",
    "Caution",
    "Cell",
    "Comparison",
    "Effect",
    "Factor",
    "Failure",
    "Interaction",
    "Level",
    "Observation",
    "Pair",
    "Pareto",
    "Trend",
    "analyse",
]


_ADJUSTED = (
    "Runs or seeds are missing here and there, so the means below are those of the fitted model, not plain averages."
)


@dataclass(frozen=True)
class Comparison:
    """A ranking, and what can be said about its differences.

    Arguments:
        ranking: the configurations; all indices of rows below are indices of `ranking.rows`.
        metric: what is compared: the ranking's metric, unless another one was asked for.
        mode: whether more of it is better (max) or less (min).
        values: the metric of every row, which is `row.value` unless another metric was asked for.
        best: the index of the best row; None where no row has a number.
        observations: the runs that the numbers come from, one for each seed of a row.
        factors: what was changed to at least two values.
        method: what the means, intervals and tests of effects and interactions rest on, in a sentence or two; often
            empty where there are none.
        adjusted: whether a mean of an effect or interaction is not the plain mean of its runs.
        effects: the main effect of each factor, in the order of `factors`.
        interactions: of every two factors whose levels have means.
        pairs: differences between rows that have numbers: all of them up to 30 rows; of more, each row against the
            best and against the next one in rank.
        pareto: the fronts of value against each cost that is known of at least one row.
        warnings: what a reader has to know.
        failures: the runs that failed or were interrupted.
    """

    ranking: Ranking
    metric: str | None
    mode: str
    values: tuple[Figure | None, ...]
    best: int | None
    observations: tuple[Observation, ...]
    factors: tuple[Factor, ...]
    method: str
    adjusted: bool
    effects: tuple[Effect, ...]
    interactions: tuple[Interaction, ...]
    pairs: tuple[Pair, ...]
    pareto: tuple[Pareto, ...]
    warnings: tuple[Caution, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Analysis:
    """Everything that is said about some runs.

    Arguments:
        comparisons: one for each metric that was monitored, that of the most runs first.
    """

    comparisons: tuple[Comparison, ...]

    @property
    def rankings(self) -> tuple[Ranking, ...]:
        """The rankings that are compared."""
        return tuple(comparison.ranking for comparison in self.comparisons)


def analyse(runs: Sequence[Run], metric: str | None = None) -> Analysis:
    """Compare runs; the order of the runs does not matter.

    Arguments:
        runs: the runs.
        metric: what to compare, such as `test_accuracy`; None for what was monitored. Rows stay in the order of what
            was monitored.
    """
    begun = sweeps(runs)  # what is missing of a sweep is told once
    return Analysis(
        tuple(
            _compared(ranking, metric or ranking.metric, () if i else begun) for i, ranking in enumerate(rankings(runs))
        )
    )


def _compared(ranking: Ranking, metric: str | None, begun: Sequence[Sweep]) -> Comparison:
    observations = observe(ranking, metric)
    mode = _mode(ranking, metric)
    values = figures(observations, len(ranking.rows))
    best_first = order(values, mode)
    found = factors(ranking)
    additive = model([f for f in found if not f.is_scale], observations) if observations else None
    told = effects(found, additive, observations, mode)
    together = interactions(told, additive) if additive else []
    adjusted = _adjusted(told, together, observations)
    method = additive.method if additive and any(effect.levels for effect in told) else ""
    different = pairs(ranking, best_first, observations)
    return Comparison(
        ranking=ranking,
        metric=metric,
        mode=mode,
        values=values,
        best=best_first[0] if best_first else None,
        observations=observations,
        factors=found,
        method=" ".join(filter(None, (method, _ADJUSTED if adjusted else ""))),
        adjusted=adjusted,
        effects=tuple(told),
        interactions=tuple(together),
        pairs=different,
        pareto=fronts(ranking.rows, values, mode),
        warnings=cautions(ranking, metric, best_first, observations, different, additive, begun),
        failures=failures(ranking),
    )


def _adjusted(told: Sequence[Effect], together: Sequence[Interaction], observations: Sequence[Observation]) -> bool:
    """Whether a mean of the model is another number than the plain mean of its runs."""
    shown: list[tuple[float | None, float | None]] = []
    for effect in told:
        plain = _plain(effect.factor.of_rows, observations) if effect.levels else {}
        shown += [(level.mean, plain.get(level.value)) for level in effect.levels]
    for one in together:
        plain = _plain(list(zip(one.a.of_rows, one.b.of_rows, strict=True)), observations)
        shown += [(cell.mean, plain.get((cell.a, cell.b))) for cell in one.cells]
    near = 1e-9 * max((abs(o.value) for o in observations), default=0.0)  # a mean of 0 is hardly ever hit exactly
    return any(
        mean is not None and own is not None and not math.isclose(mean, own, rel_tol=1e-9, abs_tol=near)
        for mean, own in shown
    )


def _plain(of_rows: Sequence[Hashable], observations: Sequence[Observation]) -> dict[Hashable, float]:
    """The mean of the runs of the rows that have the same value, by that value."""
    reached: dict[Hashable, list[float]] = {}
    for o in observations:
        reached.setdefault(of_rows[o.row], []).append(o.value)
    return {value: statistics.mean(of) for value, of in reached.items()}


def _mode(ranking: Ranking, metric: str | None) -> str:
    """The mode of the monitored metric, for the same one of another split too; else less is better of a loss alone."""
    own, other = ((name or "").removeprefix("val_").removeprefix("test_") for name in (ranking.metric, metric))
    return ranking.mode if own == other else "min" if other.endswith("loss") else "max"
