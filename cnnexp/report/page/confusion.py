"""The confusion matrix as a figure and as tables."""

from __future__ import annotations

from collections.abc import Sequence

from cnnexp.report.page.evaluation import Evaluation
from cnnexp.report.page.formats import clipped, count, number, percent
from cnnexp.report.page.parts import Cell, Column, Figure, Plot, Table, axis, label, numbers, table

_WRITTEN = 30  # classes up to which every cell has its number written in
_DRAWN = 100  # classes that a heatmap can show
_CONFUSED = 60  # and how many of more classes are shown
_LISTED = 15


def figure(judged: Evaluation) -> Figure:
    """Counts and shares of each true class; of very many classes those that are confused most."""
    size = len(judged.classes)
    chosen = list(range(size)) if size <= _DRAWN else _most_confused(judged)
    counts = [[judged.confusion[i][j] for j in chosen] for i in chosen]
    shares = [[n / (judged.classes[i].support or 1) for n in row] for i, row in zip(chosen, counts, strict=True)]
    names = [label(f"{judged.classes[i].name}") for i in chosen]
    some = f" Of {size} classes these are the {len(chosen)} that are confused most." if len(chosen) < size else ""
    return Figure(
        id="confusion",
        title="Confusion matrix",
        caption="Rows are the true classes, columns what they were taken for; the diagonal is right." + some,
        plots={
            "Share of each true class": _plot(shares, names, ".0%"),
            "Counts": _plot(counts, names, "d"),
        },
        table=_matrix(judged) if size <= _WRITTEN else confused(judged),
    )


def scores(judged: Evaluation) -> Table:
    """How well each class is found, and the mean over all."""
    rows = [
        [
            Cell(c.name, c.name),
            *(Cell(number(v), v) for v in (c.precision, c.recall, c.f1)),
            *(Cell(count(n), n) for n in (c.support, c.predicted)),
        ]
        for c in judged.classes
    ]
    names = numbers("precision", "recall", "F1", "samples", "taken for it")
    return table("How well each class is found", ["class", *names], rows)


def confused(judged: Evaluation) -> Table:
    """What was most often taken for what."""
    rows = [
        [
            Cell(judged.classes[i].name, judged.classes[i].name),
            Cell(judged.classes[j].name, judged.classes[j].name),
            Cell(count(n), n),
            Cell(percent(n / judged.classes[i].support), n / judged.classes[i].support),
        ]
        for i, j, n in judged.confused[:_LISTED]
    ]
    return table(
        "What is most often taken for what", ["class", "taken for", *numbers("times", "share of the class")], rows
    )


def _most_confused(judged: Evaluation) -> list[int]:
    wrong = [0] * len(judged.classes)
    for i, j, n in judged.confused:
        wrong[i] += n
        wrong[j] += n
    return sorted(sorted(range(len(wrong)), key=lambda i: -wrong[i])[:_CONFUSED])


def _matrix(judged: Evaluation) -> Table:
    columns = ["true class", *(Column(c.name, number=True) for c in judged.classes)]
    rows = [
        [Cell(c.name, c.name), *(Cell(str(n), n) for n in row)]
        for c, row in zip(judged.classes, judged.confusion, strict=True)
    ]
    return table("Counts: rows are the true classes", columns, rows)


def _plot(cells: Sequence[Sequence[float]], names: Sequence[str], style: str) -> Plot:
    places = list(range(len(names)))
    longest = max(map(len, names))
    ticks = {"tickmode": "array", "tickvals": places, "ticktext": [clipped(name, 16) for name in names]}
    some = ticks if len(names) <= _WRITTEN or longest > 4 else {"tickmode": "auto"}
    texts = [[f"{v:.0%}" if style == ".0%" else str(v) for v in row] for row in cells]
    shown = [[text if v else "" for text, v in zip(*pair, strict=True)] for pair in zip(texts, cells, strict=True)]
    written = {"text": shown, "texttemplate": "%{text}"} if len(names) <= _WRITTEN else {}
    trace = {
        "type": "heatmap",
        "zmin": 0,
        "z": [[round(v, 4) for v in row] for row in cells],
        "xgap": 1 if len(names) <= _WRITTEN else 0,
        "ygap": 1 if len(names) <= _WRITTEN else 0,
        "hovertemplate": f"true %{{y}}, taken for %{{x}}: %{{z:{style}}}<extra></extra>",
        "colorbar": {"tickformat": style, "thickness": 12, "outlinewidth": 0},
        "meta": {"heat": True},
        **written,
    }
    layout = {
        "height": 460 if len(names) <= _WRITTEN else 620,
        "xaxis": {**axis("taken for", constrain="domain"), **some},
        "yaxis": {**axis("true class", autorange="reversed"), **some},
    }
    return {"data": [trace], "layout": layout}
