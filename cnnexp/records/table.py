"""Runs as a plain text table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnexp import tables
from cnnexp.records.record import Run


def table(runs: Sequence[Run]) -> str:
    """One row for each run: what it was, how it ended, what it reached."""
    names = sorted({name for run in runs for name in run.metrics if name.startswith("test_")})
    grid = tables.grid()
    for heading in ("run", "status"):
        grid.add_column(heading, overflow="fold")
    for heading in (*(n.replace("_", " ") for n in names), "parameters", "seconds"):
        grid.add_column(heading, justify="right")
    for run in runs:
        figures = [_figure(run.metrics.get(name)) for name in names]
        grid.add_row(
            str(run.path),
            run.status,
            *figures,
            _figure(run.fields.get("parameters")),
            _figure(run.fields.get("seconds")),
        )
    return tables.text(grid)


def _figure(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"
