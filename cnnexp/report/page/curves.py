"""What was measured after every epoch, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnexp.report.page.formats import number, words
from cnnexp.report.page.parts import Cell, Column, Figure, axis, label, numbers, table
from cnnexp.report.page.reading import Curves

_SPLITS = ("train_", "val_", "test_")
_POINTS = 400


def figures(curves: Curves) -> list[Figure]:
    """One figure for each metric, in which training and validation share the axes."""
    groups: dict[str, list[str]] = {}
    for name in curves.values:
        kind = next((name.removeprefix(split) for split in _SPLITS if name.startswith(split)), name)
        groups.setdefault(kind, []).append(name)
    first = sorted(groups, key=lambda kind: (len(groups[kind]) < 2, kind != "loss"))
    return [_figure(i, kind, groups[kind], curves) for i, kind in enumerate(first)]


def thinned(length: int, points: int = _POINTS) -> list[int]:
    """The places of a curve that are drawn; the first and the last are among them."""
    if length <= points:
        return list(range(length))
    return sorted({round(i * (length - 1) / (points - 1)) for i in range(points)})


def rounded(values: Sequence[float | None]) -> list[float | None]:
    """Values with as many digits as a figure can show."""
    return [None if v is None else float(f"{v:.5g}") for v in values]


def _figure(place: int, kind: str, names: Sequence[str], curves: Curves) -> Figure:
    kept = thinned(len(curves.epochs))
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(kept) <= 60 else "lines",
            "name": label(words(name)),
            "x": [curves.epochs[i] for i in kept],
            "y": rounded([curves.values[name][i] for i in kept]),
            "meta": {"colour": colour},
        }
        for colour, name in enumerate(names)
    ]
    rows = [
        [Cell(str(epoch), epoch), *(Cell(number(curves.values[n][i]), curves.values[n][i]) for n in names)]
        for i, epoch in ((i, curves.epochs[i]) for i in kept)
    ]
    several = len(names) > 1
    title = words(kind).capitalize() if kind == kind.lower() else kind
    layout = {
        "xaxis": axis("epoch, from 0", **_ticks(curves.epochs)),
        "yaxis": axis(words(kind), **({} if several else {"rangemode": "tozero"})),
        "height": 320,
        "showlegend": several,
    }
    told = f"{title} after every epoch." if not several else f"{title} in training and validation, by epoch."
    some = f" Of {len(curves.epochs):,} epochs {len(kept)} are shown." if len(kept) < len(curves.epochs) else ""
    return Figure(
        id=f"curve-{place}",
        title=title,
        caption=told + some,
        plots={"": {"data": traces, "layout": layout}},
        table=table(title, [Column("epoch", True), *numbers(*names)], rows),
    )


def _ticks(epochs: Sequence[int]) -> dict[str, Any]:
    """Ticks at epochs alone where they are few; around a single one plotly would draw some that there are not."""
    few: dict[str, Any] = {"dtick": 1} if len(epochs) <= 10 else {}
    alone = epochs[0] if len(set(epochs)) == 1 else None
    return few if alone is None else {**few, "range": [alone - 0.5, alone + 0.5], "autorange": False}
