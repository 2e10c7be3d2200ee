"""The ranked table: what was changed, what was reached, what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cnnexp.records import Run
from cnnexp.report.analysis import Comparison
from cnnexp.report.page import labels
from cnnexp.report.page.formats import NONE, count, number, short, words
from cnnexp.report.page.parts import Cell, Column, Table, numbers, table
from cnnexp.report.ranking import Figure, Ranking, Row, as_number, monitored, seconds, tests


@dataclass(frozen=True)
class Ranked:
    """The table of a ranking.

    Arguments:
        columns: its headings.
        rows: its cells, in the order of the ranking.
        labels: what each row is called elsewhere.
        filters: the values of each changed column, by its short name.
        changed: the value of each changed column of each row, by its short name.
        heading: which column is the heading of a row.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    labels: tuple[str, ...]
    filters: Mapping[str, tuple[str, ...]]
    changed: tuple[Mapping[str, str], ...]
    heading: int = 1


def ranked(comparison: Comparison) -> Ranked:
    """The table of a comparison."""
    ranking = comparison.ranking
    names = labels.short_names(ranking.columns)
    together = labels.in_one_folder(ranking)
    all_done = all(row.counts.get("completed", 0) == len(row.runs) for row in ranking.rows)
    columns = [
        Column("#", number=True),
        Column("runs"),
        *(Column(names[c]) for c in ranking.columns),
        *(_pair(words(ranking.metric)) if ranking.metric else []),
        *numbers("n"),
        *(column for name in ranking.tested for column in _pair(words(name))),
        *([] if all_done else [Column("status")]),
        *numbers("parameters", "multiply-adds", "seconds"),
    ]
    changed = [{names[c]: labels.value(row.changed[c]) for c in ranking.columns} for row in ranking.rows]
    filters = {name: tuple(sorted({row[name] for row in changed}, key=_order)) for name in names.values()}
    return Ranked(
        columns=tuple(columns),
        rows=tuple(tuple(_cells(ranking, i, row, all_done, together)) for i, row in enumerate(ranking.rows, start=1)),
        labels=tuple(labels.row_labels(ranking)),
        filters={name: values for name, values in filters.items() if len(values) > 1},
        changed=tuple(changed),
    )


def _order(value: str) -> tuple[bool, float, str]:
    number = as_number(value)
    return (number is None, number or 0.0, value)


def every_run(comparison: Comparison) -> Table:
    """A row for each run, so that the means can be checked."""
    ranking = comparison.ranking
    tested, together = ranking.tested, labels.in_one_folder(ranking)
    rows = [
        _run(labels.run_name(run, together), run, label, ranking.metric, tested)
        for label, row in zip(labels.row_labels(ranking), ranking.rows, strict=True)
        for run in row.runs
    ]
    metric = [words(ranking.metric)] if ranking.metric else []
    columns = [
        "run",
        "configuration",
        Column("seed", True),
        "status",
        *numbers(*metric, *map(words, tested), "seconds"),
    ]
    return table("Every run", columns, rows)


def _run(name: str, run: Run, label: str, metric: str | None, tested: list[str]) -> list[Cell | str]:
    found = tests(run)
    seed, took = str(run.fields.get("seed", NONE)), seconds(run)
    values = [*([monitored(run, metric)] if metric else []), *(found.get(test) for test in tested)]
    return [
        name,
        label,
        Cell(seed, seed),
        run.status,
        *(Cell(number(v), v) for v in values),
        Cell(NONE if took is None else f"{took:,.1f}", took),
    ]


def _pair(name: str) -> list[Column]:
    return [Column(name, number=True), Column("± sd", number=True, of=name)]


def _cells(ranking: Ranking, place: int, row: Row, all_done: bool, together: bool) -> Iterator[Cell]:
    yield Cell(str(place) if row.value else NONE, place)
    name = labels.runs_name(row, together)
    yield Cell(name, name)
    for column in ranking.columns:
        text = labels.value(row.changed[column])
        yield Cell(text, text)
    if ranking.metric:
        yield from _figure(row.value)
    reached = row.value.n if row.value else 0
    yield Cell(str(reached) if reached == row.seeds else f"{reached} of {row.seeds}", reached)
    for name in ranking.tested:
        yield from _figure(row.tested.get(name))
    if not all_done:
        text = ", ".join(f"{n} {status}" for status, n in row.counts.items() if n)
        yield Cell(text, text, "whole")
    yield Cell(count(row.parameters), row.parameters)
    yield Cell(short(row.multiply_adds), row.multiply_adds)
    yield Cell(f"{row.seconds.mean:,.1f}" if row.seconds else NONE, row.seconds.mean if row.seconds else None)


def _figure(figure: Figure | None) -> list[Cell]:
    mean, sd = (figure.mean, figure.sd) if figure else (None, None)
    return [Cell(number(mean), mean), Cell(NONE if sd is None else f"± {number(sd)}", sd, "sd")]


def environment(runs: list[Mapping[str, str]]) -> dict[str, str]:
    """What runs ran in, by name: what is the same for all, and how often each value stands where it is not."""
    told = {}
    for name in dict.fromkeys(key for one in runs for key in one):
        values = [one.get(name, "not known") for one in runs]
        distinct = list(dict.fromkeys(values))
        shown = [f"{v} ({values.count(v)} runs)" for v in distinct[:8]]
        more = [f"and {len(distinct) - 8} more"] if len(distinct) > 8 else []
        told[name] = distinct[0] if len(distinct) == 1 else "\n".join([*shown, *more])
    return told
