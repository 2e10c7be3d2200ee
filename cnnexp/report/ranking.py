"""Runs as a ranking: one row for all that differ in nothing but the seed, best first."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cnnexp.records import Run
from cnnexp.report.changes import Known, is_sweep, points

STATUSES = ("completed", "failed", "interrupted", "running")
_Monitor = tuple[str, str]


@dataclass(frozen=True)
class Figure:
    """A number that several runs reached.

    Arguments:
        mean: their mean.
        sd: their sample standard deviation; None where there is one run.
        n: how many runs with different seeds reached a finite number.
    """

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class Row:
    """A configuration: the runs that differ in nothing but the seed.

    Arguments:
        changed: the value of each of the ranking's columns, as text.
        runs: its runs, in the order of their start.
        seeds: how many different seeds they have; of two completed runs with the same one the later counts.
        counts: how many of them ended how, by status.
        value: the monitored metric at the best epoch of its completed runs; None where no run has one.
        tested: the final `test_…` metrics of its completed runs.
        parameters: how many its network has, where it is known.
        multiply_adds: how many a sample costs, where it is known.
        seconds: how long its completed runs took.
    """

    changed: Mapping[str, str]
    runs: tuple[Run, ...]
    seeds: int
    counts: Mapping[str, int]
    value: Figure | None
    tested: Mapping[str, Figure]
    parameters: int | None
    multiply_adds: int | None
    seconds: Figure | None


@dataclass(frozen=True)
class Ranking:
    """Configurations, best first; those without a figure come after the others, those without a completed run last.

    Arguments:
        columns: the names of what was changed, in order.
        metric: the monitored metric; None where no run says which.
        mode: whether more of it is better (max) or less (min).
        rows: the configurations.
    """

    columns: tuple[str, ...]
    metric: str | None
    mode: str
    rows: tuple[Row, ...]

    @property
    def tested(self) -> list[str]:
        """The test metrics that some row has, by name."""
        return sorted({name for row in self.rows for name in row.tested})


def rank(runs: Sequence[Run]) -> Ranking:
    """Rank runs by the metric that they monitored, or most of them; `rankings` keeps several metrics apart."""
    known = [Known(run) for run in runs]
    return _ranked(known, _most(list(map(_monitor, known))))


def rankings(runs: Sequence[Run]) -> list[Ranking]:
    """One ranking for each metric and mode that was monitored, that of the most runs first.

    A run that does not say what it monitored is a row of the first one.
    """
    known = [Known(run) for run in runs]
    said = [_monitor(k) for k in known]
    first = _most(said)
    groups: dict[_Monitor | None, list[Known]] = {}
    for one, monitor in zip(known, said, strict=True):
        groups.setdefault(monitor or first, []).append(one)
    return [_ranked(groups[m], m) for m in sorted(groups, key=lambda m: (m != first, -len(groups[m]), m or ("", "")))]


def monitored(run: Run, metric: str | None) -> float | None:
    """What a run reached at its best epoch; None where it is no finite number."""
    best = run.fields.get("best")
    return as_number(best.get(metric)) if isinstance(best, Mapping) else None


def tests(run: Run) -> dict[str, float]:
    """The final test metrics of a run that are finite numbers."""
    found = ((name, as_number(value)) for name, value in Known(run).mapping("metrics").items())
    return {name: value for name, value in found if name.startswith("test_") and value is not None}


def seconds(run: Run) -> float | None:
    """How long a run took, where it is known; a clock that was set back says nothing."""
    found = as_number(run.fields.get("seconds"))
    return None if found is None or found < 0 else found


def seed(run: Run) -> str:
    """The seed of a run; its folder, which is no other one's, where it is not known."""
    found = run.fields.get("seed", Known(run).mapping("changed").get("seed"))
    return str(run.path) if found is None else str(found)


def counted(runs: Iterable[Run]) -> list[Run]:
    """The completed runs of a row; the same seed again is the same run again, and the later one counts.

    Arguments:
        runs: the runs of a row, in the order of their start.
    """
    return list({seed(run): run for run in runs if run.status == "completed"}.values())


def _ranked(runs: Sequence[Known], monitor: _Monitor | None) -> Ranking:
    metric, mode = monitor or (None, "max")
    swept = is_sweep(runs)
    ordered = sorted(runs, key=lambda k: (_number_in_sweep(k) if swept else 0, _started(k.run), str(k.run.path)))
    columns, found = points(ordered)
    same: dict[Any, list[Run]] = {}
    for known, point in zip(ordered, found, strict=True):
        same.setdefault(point, []).append(known.run)
    rows = [_row(dict(zip(columns, p.changed, strict=True)), of, metric) for p, of in same.items()]
    return Ranking(columns, metric, mode, tuple(sorted(rows, key=lambda row: _merit(row, mode))))


def _row(changed: Mapping[str, str], runs: Sequence[Run], metric: str | None) -> Row:
    done = counted(runs)
    tested = [tests(run) for run in done]
    ended = Counter(run.status for run in runs)
    figures = {name: _figure(t.get(name) for t in tested) for name in sorted({n for t in tested for n in t})}
    return Row(
        changed=changed,
        runs=tuple(runs),
        seeds=len({seed(run) for run in runs}),
        counts={status: ended[status] for status in (*STATUSES, *sorted(ended.keys() - {*STATUSES}))},
        value=_figure(monitored(run, metric) for run in done),
        tested={name: figure for name, figure in figures.items() if figure is not None},
        parameters=_whole(runs, "parameters"),
        multiply_adds=_whole(runs, "multiply_adds"),
        seconds=_figure(map(seconds, done)),
    )


def _merit(row: Row, mode: str) -> tuple[int, float]:
    if row.value is None:
        return (1 if row.counts.get("completed") else 2), 0.0
    return 0, -row.value.mean if mode == "max" else row.value.mean


def _figure(values: Iterable[float | None]) -> Figure | None:
    found = [value for value in values if value is not None]
    if not found:
        return None
    # statistics computes with fractions, so that no order of the runs changes a digit.
    return Figure(statistics.mean(found), statistics.stdev(found) if len(found) > 1 else None, len(found))


def as_number(value: Any) -> float | None:
    """The finite number that a record holds; what is not finite stands there as a text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _whole(runs: Iterable[Run], field: str) -> int | None:
    """The first count that a record of these holds: a whole number, not negative, of a size that can be divided."""
    values = (run.fields.get(field) for run in runs)
    return next((v for v in values if isinstance(v, int) and as_number(v) is not None and v >= 0), None)


def _monitor(known: Known) -> _Monitor | None:
    """What a run monitored; older records leave it to the config."""
    told: Any = known.run.fields
    if "monitor" not in told or "mode" not in told:
        told = (known.config or {}).get("task")
    if not isinstance(told, Mapping) or told.get("mode") not in ("min", "max"):
        return None
    return (told["monitor"], told["mode"]) if isinstance(told.get("monitor"), str) else None


def _most(said: Sequence[_Monitor | None]) -> _Monitor | None:
    counted = Counter(monitor for monitor in said if monitor is not None)
    return min(counted, key=lambda monitor: (-counted[monitor], monitor), default=None)


def _started(run: Run) -> float:
    try:
        return datetime.fromisoformat(str(run.fields.get("started"))).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _number_in_sweep(known: Known) -> float:
    number = as_number(known.mapping("sweep").get("number"))
    return math.inf if number is None else number
