"""The windows of one layer over a plane: where they stand, and what they make of small numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from cnnexp.architecture.catalog import dimensions
from cnnexp.architecture.explain import formulas
from cnnexp.architecture.explain.window import Line, Walk, walks
from cnnexp.architecture.fitting import Shape
from cnnexp.architecture.plan import PlannedLayer

Grid = tuple[tuple[int, ...], ...]
_DIGITS = "3141592653589793238462643383279528841971693993751582974944592378164628628998628348253421176798214"
_LINE = Walk(1, (range(1),))


@dataclass(frozen=True)
class Tour:
    """The windows of a layer, in two dimensions; a sequence is a plane of one row, of a volume it is one slice.

    Arguments:
        type: the layer type.
        values: all parameters of the layer.
        down, across: the walks along the rows and the columns.
        shape: the sample shape that arrives.
        lines: the formula of the output's size, filled in for every dimension.
        spreads: whether each input spreads over a window of outputs, as in a transposed convolution.
    """

    type: str
    values: Mapping[str, Any]
    down: Walk
    across: Walk
    shape: Shape
    lines: tuple[Line, ...]
    spreads: bool

    @property
    def count(self) -> tuple[int, int]:
        """How many windows there are, down and across."""
        return len(self.down.windows), len(self.across.windows)

    @property
    def rows(self) -> range:
        """The positions of the plane over which windows walk, down: what lies outside of it as well."""
        return _span(self.down)

    @property
    def columns(self) -> range:
        """The same, across."""
        return _span(self.across)

    def source(self, row: int, column: int) -> tuple[int, int] | None:
        """The pixel whose value stands at a position, or None."""
        found = self.down.source(row), self.across.source(column)
        return None if found[0] is None or found[1] is None else (found[0], found[1])

    def inside(self, row: int, column: int) -> bool:
        """Whether a position is a pixel itself and no padding."""
        return 0 <= row < self.down.size and 0 <= column < self.across.size

    def padded(self, row: int, column: int) -> bool:
        """Whether a position is a pixel or padding, and not beyond both."""
        return all(
            -w.outside[0] <= place < w.size + w.outside[1] for w, place in ((self.down, row), (self.across, column))
        )

    def positions(self, i: int, j: int) -> list[tuple[int, int]]:
        """Where window (i, j) stands."""
        return [(row, column) for row in self.down.windows[i] for column in self.across.windows[j]]


def _span(walk: Walk) -> range:
    first = min([-walk.outside[0], *(w[0] for w in walk.windows), 0])
    return range(first, max([walk.size, walk.size + walk.outside[1], *(w[-1] + 1 for w in walk.windows)]))


def tour(layer: PlannedLayer) -> Tour | None:
    """The windows of a layer, or None for one that has none at fixed places.

    Arguments:
        layer: the layer as planned: a convolution, transposed or not, a pool, Unfold or a padding.
    """
    formula = formulas.formula(layer.type)
    spatial = len(layer.input_shape) - 1
    if layer.composite or formula is None or spatial != (dimensions(layer.type) or 2):
        return None
    values = {name: p.default for name, p in layer.component.parameters.items()} | dict(layer.params)
    lines = tuple(x for x in formula.lines(values, layer.input_shape) if x.name not in ("channels", "dim 1", "dim 2"))
    if len(lines) != spatial:
        return None
    found = walks(layer.type, values, layer.input_shape, [line.value for line in lines])
    if not found:
        return None
    whole = [walk if walk.windows else _copying(walk) for walk in found]
    down, across = (_LINE, *whole)[-2:] if spatial == 1 else whole[-2:]
    return Tour(layer.type, values, down, across, layer.input_shape, lines, fnmatchcase(layer.type, "ConvTranspose?d"))


def _copying(walk: Walk) -> Walk:
    """The walk of a padding, whose every output is a window of one position."""
    before, behind = walk.outside
    return replace(walk, windows=tuple(range(p, p + 1) for p in range(-before, walk.size + behind)))


def numbers(rows: int, columns: int) -> Grid:
    """Small numbers for an input, from 1 to 9."""
    return tuple(tuple(int(_DIGITS[(r * 19 + c) % len(_DIGITS)]) for c in range(columns)) for r in range(rows))


def output(tour: Tour, grid: Sequence[Sequence[int]], i: int, j: int) -> float | None:
    """What window (i, j) makes of the numbers, with a kernel of ones where there is one; None for a whole column.

    Arguments:
        tour: the windows, of a layer that does not spread.
        grid: the numbers of the input, row by row.
        i, j: the window.
    """
    places = tour.positions(i, j)
    sources = [tour.source(*place) for place in places]
    found = [grid[source[0]][source[1]] for source in sources if source is not None]
    if fnmatchcase(tour.type, "*MaxPool?d"):
        return max(found)
    if fnmatchcase(tour.type, "AdaptiveAvgPool?d"):
        return sum(found) / len(found)
    if fnmatchcase(tour.type, "AvgPool?d"):
        counted = sum(tour.padded(*place) for place in places)
        if tour.values["count_include_pad"] is False:
            counted = len(found)
        return sum(found) / (tour.values.get("divisor_override") or counted)
    if fnmatchcase(tour.type, "LPPool?d"):
        power = tour.values["norm_type"]
        counted = sum(tour.padded(*place) for place in places)
        try:
            total = sum(float(value) ** power for value in found) * len(places) / counted
        except OverflowError:  # torch calls it infinite as well
            return math.inf
        return float(max(total, 0) ** (1 / power))
    if tour.type == "Unfold":
        return None
    if fnmatchcase(tour.type, "ConstantPad?d") and not found:
        return float(tour.values["value"])
    return sum(found)


def stamped(tour: Tour, grid: Sequence[Sequence[int]]) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
    """How the outputs of a transposed convolution with a kernel of ones add up.

    Returns:
        for every output that an input reaches the inputs (i, j) in their order, each with the sum so far.
    """
    found: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for i in range(tour.count[0]):
        for j in range(tour.count[1]):
            for place in tour.positions(i, j):
                if tour.inside(*place):
                    so_far = found.setdefault(place, [])
                    so_far.append((i, j, grid[i][j] + (so_far[-1][2] if so_far else 0)))
    return found
