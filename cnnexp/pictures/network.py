"""A Plan drawn: boxes for layers, frames for what holds others, and what they cost and see."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from cnnexp.architecture.fitting import times
from cnnexp.architecture.plan import Plan
from cnnexp.pictures import columns, flow, lettering, telling
from cnnexp.pictures.columns import Drawn
from cnnexp.pictures.folding import Part, fold
from cnnexp.pictures.palette import KINDS
from cnnexp.pictures.scene import Box, Scene, Shape, Words, moved

_EDGE = 28.0
_WIDTHS = (800, 1100, 1400, 1700, 2100, 2600, 3200)
_LONG = 1900.0
"""The width up to which a network stands in one row."""

_MANY = 1000
"""Drawn parts beyond which not every width is tried."""

_SIGNS = {"add": "+", "multiply": "×", "concat": "concat"}


def network(plan: Plan, title: str) -> Scene:
    """The picture of a whole network.

    Arguments:
        plan: the network, with at least one layer.
        title: its name.
    """
    parts = fold(plan.layers)
    drawn = _best(plan, parts)
    heading = list(_heading(plan, parts, title, max(drawn.width, 560.0)))
    wide = max(drawn.width, *(shape.bounds[2] for shape in heading)) + 2 * _EDGE
    top = max(shape.bounds[3] for shape in heading) + 24
    shapes = [*drawn.at((wide - drawn.width) / 2, top + _EDGE)]
    place = (*moved(heading, _EDGE, _EDGE / 2), *shapes)
    return Scene(wide, top + drawn.height + 2 * _EDGE, title, _described(plan, title), place)


def _best(plan: Plan, parts: Sequence[Part]) -> Drawn:
    """The network in one row, or in rows so that the picture is small and about as wide as a screen."""
    single = _whole(plan, parts, math.inf)
    if single.width <= _LONG:
        return single
    count = sum(1 for part in parts for _ in part.walk())
    widths = _WIDTHS if count <= _MANY else _WIDTHS[-1:]
    trials = [_whole(plan, parts, width) for width in widths if width < single.width]
    return min([single, *trials], key=_cost)


def _cost(drawn: Drawn) -> float:
    return drawn.width * drawn.height * (1 + 0.4 * math.log(drawn.width / drawn.height / 1.7) ** 2)


def _whole(plan: Plan, parts: Sequence[Part], limit: float) -> Drawn:
    base = max(columns.size(shape).half for shape in (plan.input_shape, plan.output_shape))
    ends = columns.end("input", plan.input_shape, base), columns.end("output", plan.output_shape, base)
    return flow.sequence([ends[0], *_items(parts, limit, 0), ends[1]], limit)


def _items(parts: Sequence[Part], limit: float, depth: int) -> list[Drawn]:
    """The parts of a sequence as they are drawn; what is attached to a layer stands in its column."""
    groups: list[list[Part]] = []
    for part in parts:
        joins = groups and telling.attached(part.layer) and part.times == 1 and _takes(groups[-1])
        if joins:
            groups[-1].append(part)
        else:
            groups.append([part])
    boxes = [columns.size(g[-1].layer.output_shape).half for g in groups if not g[0].layer.composite]
    base = max(boxes, default=0.0)
    return [_drawn(group, base, limit, depth) for group in groups]


def _takes(group: Sequence[Part]) -> bool:
    """Whether one more layer may be attached."""
    first = group[0]
    return (
        not first.layer.composite and first.layer.component.name != "Identity" and first.times == 1 and len(group) < 4
    )


def _drawn(group: Sequence[Part], base: float, limit: float, depth: int) -> Drawn:
    part = group[0]
    if part.layer.composite:
        return _composite(part, limit, depth)
    if part.times > 1:
        inside = columns.column(group, base)
        return flow.frame(inside, part.own_names, "", part.times, depth, "")
    if part.layer.component.name == "Identity":
        return columns.passing(part)
    return columns.column(group, base)


def _composite(part: Part, limit: float, depth: int) -> Drawn:
    """A frame; composites that hold nothing but another one share theirs with it."""
    chain = [part]
    while len(chain[-1].children) == 1 and _sequential(chain[-1]):
        child = chain[-1].children[0]
        if not child.layer.composite:
            break
        chain.append(child)
    last = chain[-1]
    counts = math.prod(link.times for link in chain)
    title = " › ".join(filter(None, (_link(link, chain[:i]) for i, link in enumerate(chain))))
    learned = telling.between(f"{layer.parameters:,}" for layer in part.copies)
    summary = f"{learned} params → {telling.shape(part)}"
    tip = "\n\n".join(telling.whole(link) for link in chain)
    inside = _inside(last, limit - 40, depth + 1)
    return flow.frame(inside, title, summary, counts, depth, tip)


def _sequential(part: Part) -> bool:
    return part.layer.component.name in ("Sequential", "Repeat")


def _link(part: Part, before: Sequence[Part]) -> str:
    """How a frame's title names one of the composites that share it."""
    layer = part.layer
    if before and layer.type in ("Repeat", "Sequential") and layer.name.isdigit():
        return ""
    if before and layer.name.isdigit():
        return layer.type
    return f"{lettering.shortened(part.own_names, 11, 90, True)} · {layer.type}"


def _inside(part: Part, limit: float, depth: int) -> Drawn:
    kind = part.layer.component.name
    by_name = {child.layer.name: child for child in part.children}
    room = limit - flow.SIDES
    if kind == "Residual":
        way = by_name.get("shortcut")
        short = _branch(way, room, depth) if way else columns.wire("shortcut", "skip")
        body = _branch(by_name["layers"], room, depth)
        return flow.lanes([short, body], 1, "+", "", ["skip", "flow"])
    if kind == "Parallel":
        every = [_branch(child, room, depth) for child in part.children]
        first = part.children[0].layer.component.name == "Identity" or len(every) == 1
        sign = _SIGNS[part.layer.params.get("merge", "concat")]
        shape = telling.shape(part) if sign == "concat" else ""
        styles = ["skip" if child.layer.component.name == "Identity" else "flow" for child in part.children]
        return flow.lanes(every, 0 if first else None, sign, shape, styles)
    if kind == "Unpool":
        pool, *_ = _items([by_name["pool"]], room, depth)
        body = _branch(by_name["layers"], room - pool.width, depth)
        told = columns.wire("where the maxima were", "places")
        back = flow.lanes([told, body], 1, "unpool", telling.shape(part), ["places", "flow"])
        return flow.sequence([pool, back], limit)
    return flow.sequence(_items(part.children, limit, depth), limit)


def _branch(part: Part, limit: float, depth: int) -> Drawn:
    """A branch; a list of layers in the place of one has no frame of its own."""
    if part.layer.path[-1:] == ("layers",):
        return flow.sequence(_items(part.children, limit, depth), limit)
    (drawn,) = _items([part], limit, depth)
    return drawn


def _heading(plan: Plan, parts: Sequence[Part], title: str, room: float) -> Iterator[Shape]:
    """The title, the totals and the legend."""
    totals = plan.totals
    yield Words(0, 18, lettering.shortened(title, 19, room, True), 19, "ink", "start", True)
    said = f"{times(plan.input_shape)} → {times(plan.output_shape)}"
    said += f" · {totals.parameters:,} parameters · {totals.multiply_adds:,} multiply-adds per sample"
    yield Words(0, 40, lettering.shortened(said, 12, room), 12, "ink")
    kinds = {telling.kind(p.layer) for part in parts for p in part.walk() if _is_boxed(p)}
    x, y = 0.0, 66.0
    for kind in (kind for kind in KINDS if kind in kinds):
        wide = lettering.width(kind, 11) + 34
        if x and x + wide > room:
            x, y = 0.0, y + 18
        yield Box(x, y - 9, 12, 11, kind, 2)
        yield Words(x + 17, y, kind, 11, "ink")
        x += wide
    note = "height and depth: spatial size, width: channels (by their logarithm) · sees: receptive field in the input"
    yield Words(0, y + 20, lettering.shortened(note, 10, room), 10, "muted")


def _is_boxed(part: Part) -> bool:
    return not part.layer.composite and part.layer.component.name != "Identity"


def _described(plan: Plan, title: str) -> str:
    totals = plan.totals
    count = sum(1 for _ in plan.walk())
    return (
        f"The network {title}: {count} layers from {times(plan.input_shape)} to {times(plan.output_shape)},"
        f" {totals.parameters:,} parameters and {totals.multiply_adds:,} multiply-adds for a sample,"
        " drawn from left to right."
    )
