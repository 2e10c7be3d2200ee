"""What each choice does by itself, and what two of them do together, as figures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from cnnexp.report.analysis import Effect, Factor, Interaction
from cnnexp.report.page.formats import NONE, clipped, distinct, number, probability, signed, size, words
from cnnexp.report.page.labels import choice, value
from cnnexp.report.page.parts import Cell, Column, Figure, Table, axis, label, numbers, table
from cnnexp.report.page.said import interval

_LINES = 8
_DRAWN = 8  # interactions


def figure(id: str, effects: Sequence[Effect], metric: str, mode: str, adjusted: bool) -> Figure | None:
    """The mean of every value of every factor, with its interval; None where there are no means.

    Arguments:
        id: its name in the page.
        effects: the main effects.
        metric: what is compared.
        mode: whether more is better (max) or less (min).
        adjusted: whether the means are those of the fitted model and not plain ones.
    """
    shown = [e for e in effects if any(level.mean is not None for level in e.levels)]
    if not shown:
        return None
    known_of = [[level for level in one.levels if level.mean is not None] for one in shown]
    names = distinct(
        [
            f"{clipped(choice(one.factor.name), 24)} = {clipped(value(level.value), 24)}"
            for one, levels in zip(shown, known_of, strict=True)
            for level in levels
        ],
        length=60,
    )
    traces, left = [], iter(map(label, names))
    for place, (one, levels) in enumerate(zip(shown, known_of, strict=True)):
        rows = list(islice(left, len(levels)))
        means = [level.mean or 0.0 for level in levels]
        known = [(level.low, level.high) for level in levels]
        bars = {
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [0 if high is None else high - mean for mean, (_, high) in zip(means, known, strict=True)],
                "arrayminus": [0 if low is None else mean - low for mean, (low, _) in zip(means, known, strict=True)],
            }
        }
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": label(choice(one.factor.name)),
                "x": means,
                "y": rows,
                "meta": {"colour": place % _LINES},
                "marker": {"size": 10},
                "hovertemplate": "%{y}: %{x:.4f}<extra></extra>",
                **(bars if any(low is not None for low, _ in known) else {}),
            }
        )
    layout = {
        "height": 110 + 34 * len(names),
        "xaxis": axis(words(metric), nticks=6, tickangle=0),
        "yaxis": {"type": "category", "autorange": "reversed"},
        "showlegend": False,
    }
    better = "more" if mode == "max" else "less"
    mean = "mean that the fitted model gives every value" if adjusted else "mean of every value"
    caption = f"The {mean} over all values of the other choices, with its 95 % interval; {better} is better."
    return Figure(
        id, "What each choice does by itself", caption, {"": {"data": traces, "layout": layout}}, means_table(effects)
    )


def means_table(effects: Sequence[Effect]) -> Table:
    """The main effects as numbers."""
    rows = [
        [
            Cell(choice(one.factor.name), one.factor.name),
            value(level.value),
            Cell(str(level.n), level.n),
            Cell(number(level.mean), level.mean),
            Cell(interval(level.low, level.high) or NONE, level.low),
            Cell("best" if i == one.best else signed(level.difference), level.difference),
            Cell(interval(level.difference_low, level.difference_high, sign=True) or NONE, level.difference_low),
            Cell(probability(level.p), level.p),
        ]
        for one in effects
        for i, level in enumerate(one.levels)
    ]
    columns = [
        "choice",
        "value",
        *numbers("runs", "mean", "95 % interval", "to the best", "95 % interval of that", "p"),
    ]
    return table("Main effects", columns, rows)


def interactions(id: str, found: Sequence[Interaction], metric: str) -> list[Figure]:
    """A figure for each two factors: parallel lines where they do not depend on one another."""
    first = sorted(found, key=lambda one: (one.p is None, one.p if one.p is not None else -(one.size or 0)))
    return [_interaction(f"{id}-{i}", one, metric) for i, one in enumerate(first[:_DRAWN])]


def _interaction(id: str, one: Interaction, metric: str) -> Figure:
    a, b = (one.a, one.b) if len(one.a.values) <= len(one.b.values) else (one.b, one.a)
    means = {(c.a, c.b) if a is one.a else (c.b, c.a): c.mean for c in one.cells}
    title = f"{choice(one.a.name)} × {choice(one.b.name)}"
    plot = _lines(a, b, means, metric) if len(a.values) <= _LINES else _heat(a, b, means)
    rows = [
        [
            value(c.a),
            value(c.b),
            Cell(str(c.n), c.n),
            Cell(number(c.mean), c.mean),
            Cell(signed(c.departure), c.departure),
            Cell(interval(c.low, c.high, sign=True) or NONE, c.low),
        ]
        for c in one.cells
    ]
    columns = [
        Column(choice(one.a.name)),
        choice(one.b.name),
        *numbers("runs", "mean", "departure from the sum", "95 % interval of that"),
    ]
    return Figure(id, title, _interaction_said(one), {"": plot}, table(title, columns, rows))


def _interaction_said(one: Interaction) -> str:
    names = f"{choice(one.a.name)} and {choice(one.b.name)}"
    if one.p is None:
        told = f"Whether {names} depend on one another cannot be told."
    elif one.p < 0.05:
        told = f"What {choice(one.a.name)} does depends on {choice(one.b.name)} (p {_p(one.p)})."
    else:
        told = f"No sign that {names} depend on one another (p {_p(one.p)}); lines that are not parallel may be noise."
    most = "" if one.size is None else f" The largest departure from the sum of both effects is {size(one.size)}."
    return " ".join(filter(None, (told + most, one.note)))


def _p(p: float) -> str:
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"


_Means = dict[tuple[str, str], float | None]


def _lines(a: Factor, b: Factor, means: _Means, metric: str) -> dict[str, object]:
    names = distinct([f"{choice(a.name)} = {value(of_a)}" for of_a in a.values], 32)
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": label(names[i]),
            "x": _places(b),
            "y": [means.get((of_a, of_b)) for of_b in b.values],
            "meta": {"colour": i},
        }
        for i, of_a in enumerate(a.values)
    ]
    layout = {
        "height": 330,
        "xaxis": axis(choice(b.name), type="category"),
        "yaxis": axis(words(metric)),
        "showlegend": True,
    }
    return {"data": traces, "layout": layout}


def _places(factor: Factor) -> list[str]:
    return list(map(label, distinct(list(map(value, factor.values)), 24)))


def _heat(a: Factor, b: Factor, means: _Means) -> dict[str, object]:
    trace = {
        "type": "heatmap",
        "x": _places(b),
        "y": _places(a),
        "z": [[means.get((of_a, of_b)) for of_b in b.values] for of_a in a.values],
        "meta": {"heat": True},
        "hovertemplate": "%{y}, %{x}: %{z:.4f}<extra></extra>",
    }
    layout = {
        "height": 420,
        "xaxis": axis(choice(b.name), type="category"),
        "yaxis": axis(choice(a.name), type="category"),
    }
    return {"data": [trace], "layout": layout}
