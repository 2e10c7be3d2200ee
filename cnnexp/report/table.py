"""Rankings and single runs as plain text tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len

from cnnexp import tables
from cnnexp.records import Run
from cnnexp.report.ranking import Figure, Ranking, Row

_WIDTH = 100
_DATE = len("2026-03-04_")  # a dated name is folded after its date
_FIXED = ("#", "run", "n", "status", "parameters", "multiply-adds", "seconds")


def table(ranking: Ranking) -> str:
    """One row for each configuration, best first.

    Lines that would be too long to read are made shorter: names of runs are folded, and if that is not enough figures
    take two lines.
    """
    longest = max([cell_len(_name(row)) for row in ranking.rows], default=0)
    for narrow, least in ((False, 16), (True, _DATE)):
        text = _grid(ranking, narrow, longest)
        excess = max(map(cell_len, text.splitlines())) - _WIDTH
        if excess <= 0:
            return text
        if longest - excess >= least:
            return _grid(ranking, narrow, longest - excess)
    return _grid(ranking, True, min(longest, _DATE))


def each(runs: Sequence[Run]) -> str:
    """One row for each run: what it was, how it ended, what it reached."""
    names = sorted({name for run in runs for name in run.metrics if name.startswith("test_")})
    grid = tables.grid()
    for heading in ("run", "status"):
        grid.add_column(heading, overflow="fold")
    for heading in (*(n.replace("_", " ") for n in names), "parameters", "seconds"):
        grid.add_column(heading, justify="right")
    for run in runs:
        figures = [_plain(run.metrics.get(name)) for name in names]
        grid.add_row(
            str(run.path),
            run.status,
            *figures,
            _plain(run.fields.get("parameters")),
            _plain(run.fields.get("seconds")),
        )
    return tables.text(grid)


def _plain(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def _grid(ranking: Ranking, narrow: bool, name_width: int) -> str:
    not_all = any(row.counts.get("completed", 0) < len(row.runs) for row in ranking.rows)
    gap = "\n" if narrow else " "
    grid = tables.grid()
    grid.padding = (0, 1, 0, 0)  # many columns: every gap one narrower than in our other tables
    grid.add_column("#", justify="right")
    grid.add_column("run", overflow="fold", max_width=max(name_width, 8))
    for heading in _headings(ranking.columns):
        shown = re.sub(r"(?<=[_.])", "\n", heading) if narrow else heading
        grid.add_column(shown, overflow="fold", max_width=_WIDTH // 4)
    for name in (*([ranking.metric] if ranking.metric else []), *ranking.tested):
        grid.add_column(printable(name).replace("_", gap, 1).replace("_", " "), justify="right")
    grid.add_column("n", justify="right")
    if not_all:
        grid.add_column("status", overflow="fold")
    for heading in ("parameters", "mult-\nadds" if narrow else "multiply-adds", "seconds"):
        grid.add_column(heading, justify="right")
    for place, row in enumerate(ranking.rows, start=1):
        grid.add_row(
            str(place) if row.value else "",
            _name(row),
            *(printable(row.changed[column]) for column in ranking.columns),
            *([_figure(row.value, gap)] if ranking.metric else []),
            *(_figure(row.tested.get(name), gap) for name in ranking.tested),
            _count(row),
            *([_status(row, f",{gap}")] if not_all else []),
            "" if row.parameters is None else f"{row.parameters:,}",
            "" if row.multiply_adds is None else _human(row.multiply_adds),
            f"{row.seconds.mean:,.1f}" if row.seconds else "",
        )
    return tables.text(grid)


def _headings(columns: Sequence[str]) -> list[str]:
    """The last part of every key, or the whole key where that says too little."""
    last = [column.rpartition(".")[2] for column in columns]
    clear = [short not in _FIXED and not short.isdigit() and last.count(short) == 1 for short in last]
    return [printable(s if ok else column) for column, s, ok in zip(columns, last, clear, strict=True)]


def _name(row: Row) -> str:
    """The runs of a row: their numbers in a sweep, where the columns say all that their names could; else a name."""
    numbers = [place["number"] for run in row.runs if isinstance(place := run.fields.get("sweep"), Mapping)]
    if len(numbers) == len(row.runs):
        shown = ",".join(map(str, numbers[:3]))
        return shown if len(numbers) <= 3 else f"{shown} +{len(numbers) - 3}"
    more = f" +{len(row.runs) - 1}" if len(row.runs) > 1 else ""
    return printable(row.runs[0].path.name) + more


def _count(row: Row) -> str:
    reached = row.value.n if row.value else 0
    return str(reached) if reached == row.seeds else f"{reached}/{row.seeds}"


def _status(row: Row, comma: str) -> str:
    ended = {status: count for status, count in row.counts.items() if count}
    return next(iter(ended)) if len(row.runs) == 1 else comma.join(f"{s} {count}" for s, count in ended.items())


def _figure(figure: Figure | None, gap: str) -> str:
    if figure is None:
        return ""
    style = ".4f" if figure.mean == 0 or 1e-3 <= abs(figure.mean) < 1e5 else ".3e"
    mean = f"{figure.mean:{style}}"
    return mean if figure.sd is None else f"{mean}{gap}± {figure.sd:{style}}"


def _human(count: int) -> str:
    """A count such as `1.2 M`."""
    if abs(count) < 1000:
        return str(count)
    size, units = count / 1000, "kMGT"
    while abs(size) >= 999.95 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.1f} {units[0]}"


def printable(text: str) -> str:
    """The text on one line: what a terminal would obey is written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
