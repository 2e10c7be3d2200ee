"""What is compared: the number that each completed run reached, one for every seed of a configuration."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cnnexp.records import Run
from cnnexp.report.ranking import Figure, Ranking, counted, monitored, seed, tests


@dataclass(frozen=True)
class Observation:
    """What one run reached.

    Arguments:
        row: the index of its configuration in the ranking's rows.
        seed: its seed; the run's folder where the seed is not known, so that it is no other one's.
        value: the metric, a finite number.
        run: the run.
    """

    row: int
    seed: str
    value: float
    run: Run


def observe(ranking: Ranking, metric: str | None) -> tuple[Observation, ...]:
    """The completed runs that have a finite number, in the order of the rows and of the seeds.

    Arguments:
        ranking: the configurations.
        metric: the metric to take; a `test_…` metric is that of the test, any other that of the best epoch.
    """
    found = []
    for index, row in enumerate(ranking.rows):
        for run in sorted(counted(row.runs), key=lambda run: _order(seed(run))):
            value = tests(run).get(metric) if metric and metric.startswith("test_") else monitored(run, metric)
            if value is not None:
                found.append(Observation(index, seed(run), value, run))
    return tuple(found)


def without_number(ranking: Ranking, observations: Sequence[Observation]) -> list[Run]:
    """The completed runs that would count and have no finite number, in the order of the rows."""
    having = {o.run.path for o in observations}
    return [run for row in ranking.rows for run in counted(row.runs) if run.path not in having]


def figures(observations: Sequence[Observation], rows: int) -> tuple[Figure | None, ...]:
    """Mean and standard deviation of every row; None for a row without an observation."""
    found: list[Figure | None] = []
    for index in range(rows):
        values = [o.value for o in observations if o.row == index]
        sd = statistics.stdev(values) if len(values) > 1 else None
        found.append(Figure(statistics.mean(values), sd, len(values)) if values else None)
    return tuple(found)


def _order(text: str) -> tuple[int, float, str]:
    return (0, float(text), text) if text.isdecimal() and len(text) < 300 else (1, 0.0, text)
