"""The files of a run's folder, as far as they are there and whole."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnexp.records import Run
from cnnexp.report.ranking import as_number

_TEXT = 60_000
_NO_CURVE = ("epoch", "step")


@dataclass(frozen=True)
class Curves:
    """What was measured after every epoch.

    Arguments:
        epochs: their numbers.
        values: what each metric was, by name; None where it was not measured or no finite number.
    """

    epochs: tuple[int, ...]
    values: Mapping[str, tuple[float | None, ...]]


def text(path: Path, limit: int = _TEXT) -> str | None:
    """What a text file holds, cut short after `limit` characters; None where it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            found = file.read(limit + 1)
    except OSError:
        return None
    return found if len(found) <= limit else f"{found[:limit]}\n… (cut short)"


def tail(path: Path, lines: int = 40) -> str | None:
    """The last lines of a text file; None where there are none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8000))
            found = file.read().decode(errors="replace").strip()
    except OSError:
        return None
    return "\n".join(found.splitlines()[-lines:]) or None


def json_mapping(path: Path) -> Mapping[str, Any]:
    """What a JSON file holds, where that is a mapping; an empty one where it is not."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def curves(run: Run) -> Curves | None:
    """The rows of `metrics.csv`; None where there are none."""
    try:
        with (run.path / "metrics.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if as_number(row.get("epoch")) is not None]
    except (OSError, ValueError, csv.Error):
        return None
    names = [str(n) for n in dict.fromkeys(n for row in rows for n in row) if n is not None and n not in _NO_CURVE]
    values = {name: tuple(as_number(row.get(name)) for row in rows) for name in names}
    kept = {name: of for name, of in values.items() if any(v is not None for v in of)}
    return Curves(tuple(int(float(row["epoch"])) for row in rows), kept) if kept else None
