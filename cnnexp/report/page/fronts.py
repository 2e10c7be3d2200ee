"""What is reached against what it costs, with the front that no other configuration beats."""

from __future__ import annotations

from collections.abc import Sequence

from cnnexp.report.analysis import Comparison
from cnnexp.report.page.formats import NONE, number, short, words
from cnnexp.report.page.parts import Cell, Figure, axis, label, numbers, table
from cnnexp.report.ranking import as_number

_NAMES = {"parameters": "parameters", "multiply_adds": "multiply-adds", "seconds": "seconds"}


def figure(id: str, comparison: Comparison, labels: Sequence[str]) -> Figure | None:
    """The metric against every cost that differs; None where there is none."""
    plots = {}
    for front in comparison.pareto:
        costs = _costs(comparison, front.by)
        if len(set(costs.values())) > 1:
            plots[_NAMES.get(front.by, front.by)] = _plot(front.by, front.rows, costs, comparison, labels)
    if not plots:
        return None
    rows = [
        [
            labels[i],
            Cell(number(value.mean), value.mean),
            *(
                Cell(NONE if (cost := _costs(comparison, f.by).get(i)) is None else short(cost), cost)
                for f in comparison.pareto
            ),
            ", ".join(_NAMES.get(f.by, f.by) for f in comparison.pareto if i in f.rows),
        ]
        for i, value in enumerate(comparison.values)
        if value is not None
    ]
    names = numbers(words(comparison.metric or "value"), *(_NAMES.get(f.by, f.by) for f in comparison.pareto))
    title = "What it costs"
    caption = (
        "The line joins the configurations that no other one beats in both: they reach the most for what they cost."
    )
    told = table(title, ["configuration", *names, "on the front for"], rows)
    return Figure(id, title, caption, plots, told)


def _costs(comparison: Comparison, by: str) -> dict[int, float]:
    found = {}
    for i, row in enumerate(comparison.ranking.rows):
        cost = row.seconds.mean if by == "seconds" and row.seconds else getattr(row, by) if by != "seconds" else None
        if (known := as_number(cost)) is not None and comparison.values[i] is not None:
            found[i] = known
    return found


def _plot(
    by: str, front: Sequence[int], costs: dict[int, float], comparison: Comparison, labels: Sequence[str]
) -> dict[str, object]:
    def points(rows: Sequence[int]) -> dict[str, object]:
        values = [comparison.values[i] for i in rows]
        return {
            "type": "scatter",
            "x": [costs[i] for i in rows],
            "y": [v.mean if v else None for v in values],
            "text": [label(labels[i]) for i in rows],
            "hovertemplate": "%{text}<br>%{x:,.4~s}: %{y:.4f}<extra></extra>",
        }

    known = [i for i in front if i in costs]
    others = [i for i in costs if i not in known]
    traces = [
        {
            **points(others),
            "mode": "markers",
            "name": "other configurations",
            "meta": {"colour": 6},
            "marker": {"symbol": "circle-open"},
        },
        {
            **points(known),
            "mode": "lines+markers",
            "name": "on the front",
            "meta": {"colour": 0},
            "marker": {"size": 11},
        },
    ]
    wide = min(costs.values()) > 0 and max(costs.values()) / min(costs.values()) > 20
    layout = {
        "height": 400,
        "xaxis": axis(_NAMES.get(by, by), **({"type": "log"} if wide else {})),
        "yaxis": axis(words(comparison.metric or "value")),
        "showlegend": True,
    }
    return {"data": [t for t in traces if t["x"]], "layout": layout}
