"""A Plan as a plain text table: what every layer is, gives, learns, costs and sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from cnnexp import tables
from cnnexp.architecture.fitting import times
from cnnexp.architecture.plan import Plan, PlannedLayer
from cnnexp.architecture.python.expressions import construct, text

T = TypeVar("T")


def table(plan: Plan) -> str:
    """The layers of a plan, one row each, with a line of totals."""
    grid = tables.grid()
    for heading in ("", "layer", "output"):
        grid.add_column(heading, overflow="fold")
    for heading in ("parameters", "multiply-adds", "sees", "jump"):
        grid.add_column(heading, justify="right")
    grid.add_row("", "input", times(plan.input_shape))
    for depth, name, layer in plan.walk():
        if layer.path[-1:] == ("layers",):
            continue  # the Sequential that the key `layers` of a composite stands for
        what = f"{'  ' * depth}{_what(layer)}"
        numbers = ("", "", "", "") if layer.composite else _numbers(layer)
        grid.add_row(name, what, times(layer.output_shape), *numbers)
    totals = plan.totals
    summary = f"{totals.parameters:,} parameters, {totals.multiply_adds:,} multiply-adds per sample"
    return "\n".join([tables.text(grid), "", summary, *_beginnings(plan)])


def _beginnings(plan: Plan) -> Iterator[str]:
    """A line for each rule that sets or freezes weights."""
    for step in plan.start.steps:
        how = ", ".join(f"{key} by {component.name}" for key, (component, _) in step.rule.fills.items())
        how = how or f"loaded from {step.rule.source}"
        yield f"{step.rule.label} {', '.join(step.rule.match)}: {how} ({_counted(len(step.names))})"
    if plan.start.freeze:
        patterns = ", ".join(pattern for pattern, _ in plan.start.freeze)
        verb = "does" if len(plan.start.frozen) == 1 else "do"
        yield f"freeze {patterns}: {_counted(len(plan.start.frozen))} {verb} not learn"


def _counted(number: int) -> str:
    return "1 weight" if number == 1 else f"{number} weights"


def _what(layer: PlannedLayer) -> str:
    """A layer as the table names it: a constructor call, or the word for what holds other layers."""
    if not layer.composite:
        return str(construct(layer, library=False))
    if layer.block or not layer.params:
        return layer.type
    params = ", ".join(f"{k}={text(k, v)}" for k, v in layer.params.items())
    return f"{layer.type}({params})"


def _numbers(layer: PlannedLayer) -> tuple[str, str, str, str]:
    field = layer.field
    return (
        f"{layer.parameters:,}" if layer.parameters else "",
        f"{layer.multiply_adds:,}" if layer.multiply_adds else "",
        times(_merged(field.size)) if field else "",
        times(_merged([f"{float(j):g}" for j in field.jump])) if field and field.jump else "",
    )


def _merged(values: Sequence[T]) -> Sequence[T]:
    return values[:1] if len(set(values)) == 1 else values
