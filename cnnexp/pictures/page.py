"""A network as a page: its picture, and its layers as a table."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from cnnexp.architecture.fitting import times
from cnnexp.architecture.plan import Plan, PlannedLayer
from cnnexp.architecture.python.expressions import construct
from cnnexp.pictures import svg
from cnnexp.pictures.network import network

_STYLE = """\
:root{color-scheme:light dark;--ink:#1b1f24;--muted:#59636e;--line:#d6dbe1;--ground:#fff;--row:#f6f8fa}
@media (prefers-color-scheme:dark){:root{--ink:#e8ecf1;--muted:#a0aab6;--line:#343c47;--ground:#0f1318;--row:#171c23}}
body{margin:0;padding:1.5rem;background:var(--ground);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
h1{position:absolute;clip-path:inset(50%);white-space:nowrap}
.scroll{overflow-x:auto}
.scroll:focus-visible{outline:2px solid #3a86c8}
.scroll svg{display:block}
table{border-collapse:collapse;margin-top:1.5rem;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding-bottom:.5rem}
th,td{text-align:left;padding:.25rem .8rem;border-bottom:1px solid var(--line);white-space:nowrap}
thead th{color:var(--muted)}
tbody tr:hover{background:var(--row)}
tbody th{font-weight:500}
.n{text-align:right}
"""


def page(plan: Plan, title: str) -> str:
    """The text of an HTML file that needs nothing else."""
    totals = plan.totals
    heads = (("name", ""), ("layer", ""), ("output", ""), ("parameters", "n"), ("multiply-adds", "n"), ("sees", "n"))
    columns = "".join(f'<th scope="col"{_class(style)}>{name}</th>' for name, style in heads)
    caption = f"{totals.parameters:,} parameters, {totals.multiply_adds:,} multiply-adds per sample"
    picture = svg.paint(network(plan, title))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n"
        f'<div class="scroll" tabindex="0" role="region" aria-label="picture">\n{picture}</div>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-label="table">\n<table>\n<caption>{caption}</caption>\n'
        f"<thead><tr>{columns}</tr></thead>\n<tbody>\n{''.join(_rows(plan))}</tbody>\n</table>\n</div>\n"
        "</main>\n</body>\n</html>\n"
    )


def _rows(plan: Plan) -> Iterator[str]:
    yield _row("", "input", times(plan.input_shape), "", "", "", 0)
    for depth, name, layer in plan.walk():
        sees = times(layer.field.size) if layer.field and not layer.composite else ""
        learned, paid = ("" if layer.composite or not n else f"{n:,}" for n in (layer.parameters, layer.multiply_adds))
        yield _row(name, _call(layer), times(layer.output_shape), learned, paid, sees, depth)


def _row(name: str, layer: str, output: str, parameters: str, multiply_adds: str, sees: str, depth: int) -> str:
    cells = "".join(f'<td class="n">{escape(text)}</td>' for text in (parameters, multiply_adds, sees))
    indent = f' style="padding-left:{0.8 + depth * 1.2:g}rem"'
    head = f'<th scope="row">{escape(name)}</th><td{indent}>{escape(layer)}</td><td>{escape(output)}</td>'
    return f"<tr>{head}{cells}</tr>\n"


def _call(layer: PlannedLayer) -> str:
    return layer.type if layer.composite else str(construct(layer, library=False))


def _class(style: str) -> str:
    return f' class="{style}"' if style else ""
