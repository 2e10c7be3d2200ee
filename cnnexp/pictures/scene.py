"""A picture as immutable shapes with names for their looks; `svg` and `raster` paint it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cnnexp.pictures import lettering

Point = tuple[float, float]
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle.

    Arguments:
        x, y: its upper left corner.
        width, height: its size.
        style: the name of its look in `palette.STYLES`.
        radius: of its corners.
        tip: what is said when it is pointed at.
    """

    x: float
    y: float
    width: float
    height: float
    style: str
    radius: float = 0.0
    tip: str = ""

    @property
    def bounds(self) -> Bounds:
        """Left, top, right and bottom."""
        return self.x, self.y, self.x + self.width, self.y + self.height


@dataclass(frozen=True)
class Path:
    """A line through points, or the surface inside them.

    Arguments:
        points: the corners.
        style: the name of its look.
        closed: whether the last point is joined to the first.
    """

    points: tuple[Point, ...]
    style: str
    closed: bool = False

    @property
    def bounds(self) -> Bounds:
        """Left, top, right and bottom."""
        across, down = zip(*self.points, strict=True)
        return min(across), min(down), max(across), max(down)


@dataclass(frozen=True)
class Words:
    """A line of text.

    Arguments:
        x, y: where it is anchored: on its base line.
        text: the words.
        size: the height of the letters, in pixels of an em.
        style: the name of its look.
        anchor: `start`, `middle` or `end`: which part of the text stands at x.
        bold: whether the letters are.
    """

    x: float
    y: float
    text: str
    size: float = 11.0
    style: str = "ink"
    anchor: str = "start"
    bold: bool = False

    @property
    def bounds(self) -> Bounds:
        """Left, top, right and bottom, with room for a wider font than the one that measures."""
        wide = lettering.width(self.text, self.size, self.bold)
        left = self.x - {"start": 0.0, "middle": wide / 2, "end": wide}[self.anchor]
        return left, self.y - 0.8 * self.size, left + wide, self.y + 0.25 * self.size


Shape = Box | Path | Words


@dataclass(frozen=True)
class Scene:
    """A whole picture.

    Arguments:
        width, height: its size in pixels.
        title: its name, for those who cannot see it as well.
        description: what it shows, in a sentence or two.
        shapes: from the back to the front.
    """

    width: float
    height: float
    title: str
    description: str
    shapes: tuple[Shape, ...]


def moved(shapes: Iterable[Shape], right: float, down: float) -> tuple[Shape, ...]:
    """The shapes at another place."""
    return tuple(_moved(shape, right, down) for shape in shapes)


def _moved(shape: Shape, right: float, down: float) -> Shape:
    if isinstance(shape, Path):
        return Path(tuple([(x + right, y + down) for x, y in shape.points]), shape.style, shape.closed)
    x, y = shape.x + right, shape.y + down
    if isinstance(shape, Box):
        return Box(x, y, shape.width, shape.height, shape.style, shape.radius, shape.tip)
    return Words(x, y, shape.text, shape.size, shape.style, shape.anchor, shape.bold)


def bend(points: Sequence[Point], radius: float = 8.0) -> tuple[Point, ...]:
    """A line with its corners rounded."""
    if len(points) < 3:
        return tuple(points)
    found = [points[0]]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        room = min(radius, math.dist(before, corner) / 2, math.dist(corner, after) / 2)
        if room < 0.5:
            found.append(corner)
            continue
        start, end = _towards(corner, before, room), _towards(corner, after, room)
        for step in range(7):
            t = step / 6
            found.append(
                (
                    (1 - t) ** 2 * start[0] + 2 * t * (1 - t) * corner[0] + t**2 * end[0],
                    (1 - t) ** 2 * start[1] + 2 * t * (1 - t) * corner[1] + t**2 * end[1],
                )
            )
    return (*found, points[-1])


def _towards(start: Point, end: Point, distance: float) -> Point:
    share = distance / (math.dist(start, end) or 1)
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def arrow(points: Sequence[Point], style: str = "flow", head: float = 6.0) -> tuple[Shape, ...]:
    """A line with rounded corners and a head at its end; the head's look is the line's with `-head`."""
    kept = [points[0], *(b for a, b in pairwise(points) if math.dist(a, b) > 0.01)]
    if len(kept) < 2:
        return ()
    (x0, y0), (x1, y1) = kept[-2:]
    long = math.dist((x0, y0), (x1, y1))
    across, down = (x1 - x0) / long, (y1 - y0) / long
    back = (x1 - head * across, y1 - head * down)
    half = head * 0.55
    wings = ((back[0] - half * down, back[1] + half * across), (back[0] + half * down, back[1] - half * across))
    line = bend([*kept[:-1], back])
    return Path(line, style), Path(((x1, y1), *wings), f"{style}-head", closed=True)
