"""The curves of every run of a ranking, small enough that hundreds can stand in one page."""

from __future__ import annotations

from typing import Any

from cnnexp.report.page import curves, reading
from cnnexp.report.ranking import Ranking

_NUMBERS = 110_000  # that all curves of a page may have together
_LEFT_OUT = ("learning_rate", "samples_per_s")


def overlaid(ranking: Ranking, share: float) -> dict[str, Any]:
    """The metrics that were measured, the monitored one first, and of every row its runs' epochs and values.

    Arguments:
        ranking: the rows.
        share: which share of the page's numbers may be used.
    """
    found = [[(run, c) for run in row.runs if (c := reading.curves(run)) is not None] for row in ranking.rows]
    names = list(dict.fromkeys(name for row in found for _, c in row for name in c.values if name not in _LEFT_OUT))
    names.sort(key=lambda name: (name != ranking.metric, not name.startswith("val_")))
    total = sum(map(len, found)) * (len(names) + 1)
    points = max(5, min(300, int(share * _NUMBERS) // max(1, total)))
    rows = []
    for row in found:
        told = []
        for run, c in row:
            kept = curves.thinned(len(c.epochs), points)
            values = [curves.rounded([c.values[n][i] for i in kept]) if n in c.values else [] for n in names]
            told.append({"seed": str(run.fields.get("seed", "")), "x": [c.epochs[i] for i in kept], "y": values})
        rows.append(told)
    thinned = any(len(c.epochs) > points for row in found for _, c in row)
    return {"metrics": names, "rows": rows, "thinned": thinned} if names else {}
