"""A Plan as a plain text table: what every layer is, gives, learns, costs and sees."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TypeVar

from rich import box
from rich.console import Console
from rich.table import Table

from cnnexp.architecture.fitting import times
from cnnexp.architecture.plan import Plan, PlannedLayer
from cnnexp.architecture.source import call

T = TypeVar("T")


def table(plan: Plan, width: int | None = None) -> str:
    """The layers of a plan, one row each, with a line of totals.

    Arguments:
        plan: the network.
        width: the width in characters; as wide as needed when None.
    """
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "layer", "output"):
        grid.add_column(heading, overflow="fold")
    for heading in ("parameters", "multiply-adds", "sees", "jump"):
        grid.add_column(heading, justify="right")
    grid.add_row("", "input", times(plan.input_shape))
    for layer in plan.layers:
        grid.add_row(layer.name, call(layer).removeprefix("nn."), times(layer.output_shape), *_numbers(layer))
    text = io.StringIO()
    Console(file=text, width=width or 400, color_system=None, highlight=False, markup=False).print(grid)
    totals = plan.totals
    summary = f"{totals.parameters:,} parameters, {totals.multiply_adds:,} multiply-adds per sample"
    rows = [line.rstrip() for line in text.getvalue().splitlines()]
    return "\n".join([*(row for row in rows if row), "", summary])


def _numbers(layer: PlannedLayer) -> tuple[str, str, str, str]:
    field = layer.field
    return (
        f"{layer.parameters:,}" if layer.parameters else "",
        f"{layer.multiply_adds:,}" if layer.multiply_adds else "",
        times(_merged(field.size)) if field else "",
        times(_merged([f"{j:g}" for j in field.jump])) if field and field.jump else "",
    )


def _merged(values: Sequence[T]) -> Sequence[T]:
    return values[:1] if len(set(values)) == 1 else values
