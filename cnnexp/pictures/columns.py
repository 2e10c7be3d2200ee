"""One layer drawn: a box sized by the shape that leaves it, and what is to be said of it below.

The height of a box follows the spatial size and its width the channels, both by their logarithm: twice as many
pixels are always the same step higher. Its depth follows the other spatial dimension. A vector is a thin bar whose
height follows its length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cnnexp.architecture.fitting import Shape, times
from cnnexp.pictures import lettering, telling
from cnnexp.pictures.folding import Part
from cnnexp.pictures.scene import Box, Path, Point, Words, moved
from cnnexp.pictures.scene import Shape as Drawing

ROOM = 150.0
"""The widest that the words below a box may be."""

_SLAB = 6.0
_LINE = 13.0


@dataclass(frozen=True)
class Drawn:
    """A part of a network as shapes, from its own upper left corner.

    Arguments:
        width, height: the room that it takes.
        enter, leave: where the line from the layer before it ends, and where the line to the next one begins.
        shapes: what is drawn.
    """

    width: float
    height: float
    enter: Point
    leave: Point
    shapes: tuple[Drawing, ...]

    def at(self, x: float, y: float) -> tuple[Drawing, ...]:
        """Its shapes with the corner at a place."""
        return moved(self.shapes, x, y)


@dataclass(frozen=True)
class Size:
    """How large the box of a shape is: width, height, and the depth to the right and upwards."""

    width: float
    height: float
    deep: float

    @property
    def half(self) -> float:
        """How far it reaches above and below its middle."""
        return self.height / 2 + self.deep


def size(shape: Shape) -> Size:
    """The box of a sample shape: (channels, height, width), (channels, length), a volume or a vector."""
    if len(shape) < 2:
        return Size(9.0, 12 + 13 * math.log2(shape[0] if shape else 1), 3.0)
    channels = 5 + 4.2 * math.log2(shape[0])
    if len(shape) == 2:
        return Size(channels, 12 + 11 * math.log2(shape[1]), 3.0)
    tall = 12 + 14 * math.log2(shape[-2])
    return Size(channels, tall, min(4 + 4.5 * math.log2(shape[-1]), tall / 2))


def _solid(x: float, y: float, box: Size, kind: str) -> tuple[Drawing, ...]:
    """A box in parallel projection with the lower left corner of its front at a place."""
    right, top, deep = x + box.width, y - box.height, box.deep
    return (
        Path(((x, top), (x + deep, top - deep), (right + deep, top - deep), (right, top)), f"{kind}-top", True),
        Path(((right, top), (right + deep, top - deep), (right + deep, y - deep), (right, y)), f"{kind}-side", True),
        Box(x, top, box.width, box.height, kind),
    )


def column(parts: Sequence[Part], base: float) -> Drawn:
    """A layer with those that are attached to it.

    Arguments:
        parts: the layer first.
        base: how far above and below the line the boxes of this row reach at the most.
    """
    last = parts[-1]
    head, *slabs = [telling.kind(part.layer) for part in parts]
    words = _words(parts)
    titles = [(telling.shape(last), 11.0, "ink", True), (telling.field(last), 10.0, "muted", False)]
    titles = [(lettering.shortened(text, s, ROOM + 14, b), s, style, b) for text, s, style, b in titles if text]
    box = size(last.layer.output_shape)
    if parts[0].layer.output_shape == parts[0].layer.input_shape and telling.attached(parts[0].layer):
        box = Size(_SLAB, box.height, box.deep)
    long = box.width + _SLAB * len(slabs)
    texts = [lettering.width(text, s, b) for text, s, _, b in titles]
    wide = max([long + box.deep, *texts, *(x + lettering.width(t, s, b) for x, t, s, _, b, _ in words)])
    left = (wide - long - box.deep) / 2
    shapes: list[Drawing] = []
    floor = base + box.height / 2
    shapes += _solid(left, floor, box, head)
    for i, kind in enumerate(slabs):
        shapes += _solid(left + box.width + i * _SLAB, floor, Size(_SLAB, box.height, box.deep), kind)
    y = 2 * base + 4
    for text, s, style, bold in titles:
        y += _LINE
        shapes.append(Words(wide / 2, y, text, s, style, "middle", bold))
    y += 4
    for x, text, s, style, bold, chip in words:
        y += _LINE
        if chip:
            shapes.append(Box(0, y - 8, 8, 9, chip, 1.5))
        shapes.append(Words(x, y, text, s, style, "start", bold))
    height = y + 5
    shapes.append(Box(0, 0, wide, height, "hit", tip="\n\n".join(map(telling.whole, parts))))
    return Drawn(wide, height, (left, base), (left + long + box.deep, base), tuple(shapes))


Row = tuple[float, str, float, str, bool, str]


def _words(parts: Sequence[Part]) -> list[Row]:
    """The lines below a box: indent, text, size, style, bold, and the kind whose chip stands before it."""
    rows: list[Row] = []
    for part in parts:
        name = f"{lettering.shortened(part.own_names, 11, 70, True)} · {part.layer.type}"
        rows.append(
            (13.0, lettering.shortened(name, 11, 1.4 * ROOM, True), 11.0, "ink", True, telling.kind(part.layer))
        )
        told = lettering.wrapped(telling.settings(part), 10, ROOM)
        rows += [(13.0, text, 10.0, "ink", False, "") for text in told]
        costs = [lettering.shortened(text, 10, ROOM) for text in telling.costs(part)]
        rows += [(13.0, text, 10.0, "muted", False, "") for text in costs]
    return rows


def passing(part: Part) -> Drawn:
    """A layer that hands on what it gets: a line with its name."""
    name = lettering.shortened(f"{part.own_names} · {part.layer.type}", 10, ROOM)
    wide = lettering.width(name, 10) + 12
    line = Path(((0, 20), (wide, 20)), "skip")
    words = Words(6, 13, name, 10, "ink")
    return Drawn(wide, 26, (0, 20), (wide, 20), (line, words, Box(0, 0, wide, 26, "hit", tip=telling.whole(part))))


def wire(text: str, style: str) -> Drawn:
    """A line that goes past everything, with a word above it."""
    wide = lettering.width(text, 10) + 16
    shapes = (Path(((0, 18), (wide, 18)), style), Words(8, 12, text, 10, "muted"))
    return Drawn(wide, 22, (0, 18), (wide, 18), shapes)


def end(word: str, shape: Shape, base: float) -> Drawn:
    """The network's input or output."""
    box = size(shape)
    text = times(shape)
    wide = max(box.width + box.deep, lettering.width(text, 11, True), lettering.width(word, 11))
    left = (wide - box.width - box.deep) / 2
    y = 2 * base + 4 + _LINE
    words = (
        Words(wide / 2, y, text, 11, "ink", "middle", True),
        Words(wide / 2, y + _LINE, word, 11, "muted", "middle"),
    )
    solid = _solid(left, base + box.height / 2, box, "data")
    hit = Box(0, 0, wide, y + _LINE + 5, "hit", tip=f"{word}: {text}")
    edge = left + box.width + box.deep
    return Drawn(wide, y + _LINE + 5, (left, base), (edge, base), (*solid, *words, hit))


def joint(text: str, shape: str) -> Drawn:
    """Where branches meet: a circle with a sign, or a word in a frame; below it the shape that leaves."""
    if text in "+×":
        circle = Box(0, 0, 20, 20, "node", 10)
        words = Words(10, 15, text, 15, "ink", "middle")
        return Drawn(20, 20, (0, 10), (20, 10), (circle, words))
    wide = lettering.width(text, 10) + 14
    shapes = (Box(0, 0, wide, 20, "node", 10), Words(wide / 2, 13.5, text, 10, "ink", "middle"))
    if not shape:
        return Drawn(wide, 20, (0, 10), (wide, 10), shapes)
    full = max(wide, lettering.width(shape, 10, True))
    return Drawn(full, 34, (0, 10), (wide, 10), (*shapes, Words(0, 32, shape, 10, "ink", "start", True)))
