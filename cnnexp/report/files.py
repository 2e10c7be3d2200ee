"""A ranking as files: `table.csv` for spreadsheets, `table.json` for programs."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cnnexp.records import Run, files
from cnnexp.report.ranking import STATUSES, Figure, Ranking, Row, monitored, seconds, tests

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_Cell = str | float | None


def write(folder: Path, ranking: Ranking, name: str = "table") -> None:
    """Write `table.csv` and `table.json`, or of another name, each complete or not at all.

    Raises:
        OSError: the folder cannot be written to.
    """
    for ending, text in (("csv", _csv(ranking)), ("json", _json(ranking))):
        files.write(folder / f"{name}.{ending}", text)


def _csv(ranking: Ranking) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(guarded(cell) for cell in _headings(ranking))
    for place, row in enumerate(ranking.rows, start=1):
        writer.writerow(guarded(cell) for cell in _cells(ranking, place, row))
    return text.getvalue()


def _headings(ranking: Ranking) -> list[_Cell]:
    return [
        "rank",
        *ranking.columns,
        *([f"{ranking.metric}_mean", f"{ranking.metric}_sd"] if ranking.metric else []),
        "n",
        *STATUSES,
        *(f"{name}_{part}" for name in ranking.tested for part in ("mean", "sd")),
        "parameters",
        "multiply_adds",
        "seconds_mean",
        "seconds_sd",
        "runs",
    ]


def _cells(ranking: Ranking, place: int, row: Row) -> list[_Cell]:
    return [
        place if row.value else None,
        *(row.changed[column] for column in ranking.columns),
        *(_pair(row.value) if ranking.metric else []),
        row.value.n if row.value else 0,
        *(row.counts.get(status, 0) for status in STATUSES),
        *(cell for name in ranking.tested for cell in _pair(row.tested.get(name))),
        row.parameters,
        row.multiply_adds,
        *_pair(row.seconds),
        ";".join(run.path.name for run in row.runs),
    ]


def _pair(figure: Figure | None) -> list[_Cell]:
    return [figure.mean, figure.sd] if figure else [None, None]


def guarded(cell: _Cell) -> _Cell:
    """The cell, with an apostrophe before a text that a spreadsheet would compute as a formula.

    Lines end in one way, for Python's writer quotes no lone carriage return, which readers take for the end of a row.
    """
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r\n", "\n").replace("\r", "\n")
    formula = text.startswith(("=", "+", "-", "@", "\t"))
    return f"'{text}" if formula and not _NUMBER.fullmatch(text) else text


def _json(ranking: Ranking) -> str:
    told = {
        "metric": ranking.metric,
        "mode": ranking.mode,
        "columns": ranking.columns,
        "rows": [_told(ranking, place, row) for place, row in enumerate(ranking.rows, start=1)],
    }
    return json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _told(ranking: Ranking, place: int, row: Row) -> dict[str, Any]:
    return {
        "rank": place if row.value else None,
        "changed": row.changed,
        "value": row.value and asdict(row.value),
        "tested": {name: asdict(figure) for name, figure in row.tested.items()},
        "counts": row.counts,
        "parameters": row.parameters,
        "multiply_adds": row.multiply_adds,
        "seconds": row.seconds and asdict(row.seconds),
        "runs": [_run(ranking, run) for run in row.runs],
    }


def _run(ranking: Ranking, run: Run) -> dict[str, Any]:
    seed = run.fields.get("seed")
    return {
        "name": run.path.name,
        "status": run.status,
        "seed": seed if isinstance(seed, int) else None,
        "value": monitored(run, ranking.metric),
        "tested": tests(run),
        "seconds": seconds(run),
    }
