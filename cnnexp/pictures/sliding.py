"""The window of a layer on its way: which inputs it takes, padding included, and which output comes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from cnnexp.architecture.catalog import dimensions
from cnnexp.architecture.explain.window import per_dimension
from cnnexp.architecture.fitting import Shape, times
from cnnexp.architecture.plan import PlannedLayer
from cnnexp.pictures import lettering, telling, walking
from cnnexp.pictures.film import Film, Moment
from cnnexp.pictures.palette import LIGHT
from cnnexp.pictures.scene import Box, Point, Scene, Words, arrow
from cnnexp.pictures.scene import Shape as Drawing
from cnnexp.pictures.walking import Tour

MOST = 14
"""The largest input, along a side, that is drawn."""

WIDEST = 24
"""The most cells along a side, padding and output included."""

STEPS = 64
"""The most steps; of more windows some rows in the middle are passed over."""

CELL = 34.0
_EDGE = 26.0
_WALKING = ("Conv?d", "ConvTranspose?d", "*Pool?d", "Unfold", "*Pad?d")
_PADS = {
    "0": "padding: zeros",
    "−∞": "padding: −∞, never the largest",
    "reflect": "padding: mirrored at the edge pixel",
    "replicate": "padding: the edge pixel again",
    "circular": "padding: the other end follows",
    "–": "padding: not counted in the mean",
}


def example_input(type_name: str, params: Mapping[str, Any]) -> Shape:
    """A sample shape that makes a good picture of a layer: a few windows, one channel; empty where no window walks."""
    spatial = dimensions(type_name) or 2
    if not any(fnmatchcase(type_name, pattern) for pattern in _WALKING):
        return ()
    groups = params.get("groups", 1)
    channels = groups if isinstance(groups, int) and not isinstance(groups, bool) and groups > 0 else 1
    if type_name.startswith("ConvTranspose"):
        return (channels, *(3,) * spatial)
    size = 9 if spatial == 1 else 7
    values = {"kernel_size": 3, "stride": 1, "padding": 0, "dilation": 1} | dict(params)
    values["stride"] = values["stride"] or values["kernel_size"]
    try:
        settings = per_dimension(values, spatial)
        wanted = [e["dilation"] * (e["kernel_size"] - 1) + 1 + 2 * e["stride"] for e in settings]
        size = min(MOST, max(size, *wanted))
    except (TypeError, ValueError, IndexError):
        pass  # what is no number is told with the other problems
    return (channels, *((4,) if spatial == 3 else ()), *(size,) * min(spatial, 2))


def too_large(tour: Tour) -> str:
    """Why a picture would be too large; empty where it is not."""
    drawn = [(tour.down, tour.rows), (tour.across, tour.columns)]
    sizes = [len(w.windows) if tour.spreads else w.size for w, _ in drawn]
    if max(sizes) > MOST:
        return f"{times(sizes)} pixels arrive, and at most {MOST}×{MOST} are drawn"
    cells = [max(len(w.windows), len(span)) for w, span in drawn]
    return f"{times(cells)} cells would be drawn, and at most {WIDEST}×{WIDEST} are" if max(cells) > WIDEST else ""


def sliding(layer: PlannedLayer, tour: Tour) -> Film:
    """The film of a layer's windows, one step for each.

    Arguments:
        layer: the layer as planned.
        tour: its windows, not too large.
    """
    return _Stage(layer, tour).film()


def chosen(count: tuple[int, int]) -> list[tuple[int, int]]:
    """The windows that get a step: all, or those of the first rows and of the last one."""
    down, across = count
    most = max(2, STEPS // across)
    rows = range(down) if down <= most else [*range(most - 1), down - 1]
    return [(i, j) for i in rows for j in range(across)]


class _Stage:
    """Where everything stands, and what happens at each step."""

    def __init__(self, layer: PlannedLayer, tour: Tour) -> None:
        self.layer, self.tour = layer, tour
        down, across = tour.count
        rows, columns = tour.rows, tour.columns
        self.steps = chosen(tour.count)
        self.heading = list(_heading(layer, tour, len(self.steps)))
        top = max(words.bounds[3] for words in self.heading) + 52
        first, second = (len(rows), len(columns)), (down, across)
        if tour.spreads:
            first, second = second, first
        self.stacked = first[0] == second[0] == 1
        start = (_EDGE + 4, top)
        beside = (start[0] + first[1] * CELL + 90, top + max(0.0, (first[0] - second[0]) * CELL / 2))
        below = (start[0], top + CELL + 78)
        other = below if self.stacked else beside
        self.ends = (first, start), (second, other)
        plane, cells = (other, start) if tour.spreads else (start, other)
        self.origin = (plane[0] - columns[0] * CELL, plane[1] - rows[0] * CELL)
        self.cells = cells
        self.right = max(at[0] + size[1] * CELL for size, at in self.ends)
        self.bottom = max(at[1] + size[0] * CELL for size, at in self.ends)
        self.grid = walking.numbers(*(tour.count if tour.spreads else (tour.down.size, tour.across.size)))

    def plane_at(self, row: int, column: int) -> Point:
        """Where a position of the plane stands over which windows walk."""
        return self.origin[0] + column * CELL, self.origin[1] + row * CELL

    def cell_at(self, i: int, j: int) -> Point:
        """Where the cell of window (i, j) stands."""
        return self.cells[0] + j * CELL, self.cells[1] + i * CELL

    def film(self) -> Film:
        """The ground, and what happens on it."""
        legend = list(_legend(self._meanings(), self.bottom + 62, max(self.right - _EDGE, 420.0)))
        every = [*self.heading, *legend]
        wide = max(self.right, *(shape.bounds[2] for shape in every)) + _EDGE
        tall = max(shape.bounds[3] for shape in legend) + 20
        moments = list(self._spreading() if self.tour.spreads else self._gathering())
        shapes = (*self.heading, *legend, *self._signs(), *self._ground())
        title = f"{self.layer.type}: the window step by step"
        return Film(Scene(wide, tall, title, self._described(), shapes), tuple(moments), len(self.steps), self._keys())

    def _described(self) -> str:
        told = ", ".join(telling.parameters(self.layer)) or "its defaults"
        sizes = [f"{line.name} {line.value}" for line in self.tour.lines]
        return f"How the windows of {self.layer.type} ({told}) walk: the output has {', '.join(sizes)}."

    def _keys(self) -> tuple[int, ...]:
        down, across = self.tour.count
        last = len(self.steps) - 1
        third = last // 2 if 1 in (down, across) else across
        return tuple(sorted({0, min(1, last), min(third, last), last}))

    def _signs(self) -> Iterator[Drawing]:
        """What both planes are called, and the arrow between them."""
        (first, start), (second, other) = self.ends
        sizes = self.tour.count, (self.tour.down.size, self.tour.across.size)
        before, after = sizes if self.tour.spreads else sizes[::-1]
        for word, (rows, columns), (x, y) in (("input", before, start), ("output", after, other)):
            size = columns if len(self.tour.shape) == 2 else times((rows, columns))
            yield Words(x, y - 10, f"{word} {size}", 12, "ink", "start", True)
        if self.stacked:
            yield from arrow([(start[0] + 12, start[1] + CELL + 14), (start[0] + 12, other[1] - 26)])
            return
        middle = start[1] + first[0] * CELL / 2
        middle = min(max(middle, other[1] + 8), other[1] + second[0] * CELL)
        yield from arrow([(start[0] + first[1] * CELL + 26, middle), (other[0] - 24, middle)])

    def _ground(self) -> Iterator[Drawing]:
        """Both planes before anything happens."""
        tour = self.tour
        for row in tour.rows:
            for column in tour.columns:
                if fnmatchcase(tour.type, "*Pad?d") and not (tour.padded(row, column) or tour.inside(row, column)):
                    continue  # a corner beside pixels that are cut off
                yield from self._position(row, column, self._look(row, column), "muted")
        x, y = self.plane_at(0, 0)
        yield Box(x, y, tour.across.size * CELL, tour.down.size * CELL, "edge")
        for i in range(tour.count[0]):
            for j in range(tour.count[1]):
                text = str(self.grid[i][j]) if tour.spreads else ""
                yield from _cell(self.cell_at(i, j), "cell" if tour.spreads else "empty", text)

    def _look(self, row: int, column: int) -> str:
        if not self.tour.padded(row, column):
            return "beyond"  # as are the pixels that negative padding takes away
        if self.tour.inside(row, column):
            return "empty" if self.tour.spreads else "cell"
        return "beyond" if self.tour.spreads else "pad"

    def _position(self, row: int, column: int, style: str, ink: str, tip: str = "") -> Iterator[Drawing]:
        """A cell of the plane over which windows walk, with the number that stands there."""
        tour, text = self.tour, ""
        if not tour.spreads and (tour.padded(row, column) or tour.inside(row, column)):
            source = tour.source(row, column)
            beyond = tour.across if tour.down.source(row) is not None else tour.down
            text = beyond.fill if source is None else str(self.grid[source[0]][source[1]])
            ink = "ink" if ink == "muted" and self._look(row, column) == "cell" else ink
        yield from _cell(self.plane_at(row, column), style, text, ink, tip)

    def _window(self, i: int, j: int) -> Iterator[Drawing]:
        """The edge of a window, and the pixels whose values stand in its padding."""
        tour = self.tour
        places = tour.positions(i, j)
        for source in dict.fromkeys(tour.source(*place) for place in places if not tour.inside(*place)):
            if source is not None and not tour.spreads:
                x, y = self.plane_at(*source)
                yield Box(x + 3, y + 3, CELL - 6, CELL - 6, "source", 0, f"source row {source[0]}, column {source[1]}")
        x, y = self.plane_at(*places[0])
        right, bottom = self.plane_at(*places[-1])
        yield Box(x, y, right - x + CELL, bottom - y + CELL, "window", 3)

    def _gathering(self) -> Iterator[Moment]:
        """Windows of inputs become outputs."""
        tour = self.tour
        step_of = _steps(self.steps, tour.count)
        for (i, j), step in step_of.items():
            text = self._result(i, j)
            yield Moment(step, None, tuple(_cell(self.cell_at(i, j), "done", text, "on-cell")))
        for step, (i, j) in enumerate(self.steps):
            shapes: list[Drawing] = []
            for row, column in tour.positions(i, j):
                style = "window-cell" if tour.inside(row, column) else "window-pad"
                shapes += self._position(row, column, style, "on-cell", f"row {row}, column {column}")
            shapes += self._window(i, j)
            shapes += _cell(self.cell_at(i, j), "now", self._result(i, j), "on-now", f"output row {i}, column {j}")
            shapes += self._told(step, f"output row {i}, column {j}")
            yield Moment(step, step, tuple(shapes))

    def _result(self, i: int, j: int) -> str:
        found = walking.output(self.tour, self.grid, i, j)
        return f"col {i * self.tour.count[1] + j}" if found is None else _short(found)

    def _meanings(self) -> Iterator[tuple[str, str]]:
        tour = self.tour
        windows = [] if tour.spreads else [(i, j) for i in range(tour.count[0]) for j in range(tour.count[1])]
        found = [walking.output(tour, self.grid, *window) for window in windows]
        return _meanings(tour, any(value is not None and _short(value) != _exact(value) for value in found))

    def _spreading(self) -> Iterator[Moment]:
        """Inputs spread over windows of outputs, which add up."""
        tour = self.tour
        step_of = _steps(self.steps, tour.count)
        sums: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        for place, every in walking.stamped(tour, self.grid).items():
            by_step = {step_of[i, j]: (n, total) for n, (i, j, total) in enumerate(every, 1)}
            ends = [*by_step][1:]
            for step, until in zip(by_step, [*(end - 1 for end in ends), None], strict=True):
                n, total = by_step[step]
                sums.setdefault(place, []).append((step, n, total))
                look = "on-now" if n > 3 else "on-cell"
                yield Moment(step, until, tuple(_cell(self.plane_at(*place), f"stamp-{min(n, 4)}", str(total), look)))
        for step, (i, j) in enumerate(self.steps):
            shapes: list[Drawing] = []
            for place in tour.positions(i, j):
                so_far = [total for at, _, total in sums.get(place, []) if at <= step]
                text = str(so_far[-1]) if so_far else ""
                style = "window-cell" if tour.inside(*place) else "window-pad"
                shapes += _cell(self.plane_at(*place), style, text, "on-cell", f"row {place[0]}, column {place[1]}")
            shapes += self._window(i, j)
            tip = f"input row {i}, column {j}"
            shapes += _cell(self.cell_at(i, j), "now", str(self.grid[i][j]), "on-now", tip)
            shapes += self._told(step, tip)
            yield Moment(step, step, tuple(shapes))

    def _told(self, step: int, text: str) -> Iterator[Drawing]:
        if len(self.tour.shape) == 2:
            text = text.replace("row 0, column ", "")
        yield Words(_EDGE, self.bottom + 32, f"step {step + 1} of {len(self.steps)}: {text}", 12, "ink", "start", True)


def _steps(steps: Sequence[tuple[int, int]], count: tuple[int, int]) -> dict[tuple[int, int], int]:
    """The step at which each window's work is seen: its own, or the next one's where it is passed over."""
    own = {window: step for step, window in enumerate(steps)}
    rows = sorted({i for i, _ in steps})
    return {
        (i, j): own.get((i, j), own[min(row for row in rows if row >= i), 0])
        for i in range(count[0])
        for j in range(count[1])
    }


def _cell(at: Point, style: str, text: str = "", ink: str = "ink", tip: str = "") -> Iterator[Drawing]:
    yield Box(*at, CELL, CELL, style, 0, tip)
    if text:
        size = next(size for size in (13.0, 11.0, 9.0, 7.0, 5.0) if size == 5 or lettering.width(text, size) < CELL - 4)
        yield Words(at[0] + CELL / 2, at[1] + CELL / 2 + size * 0.36, text, size, ink, "middle")


def _short(value: float) -> str:
    """A number for a cell; one that is rounded to a whole number keeps its `.0`."""
    short = f"{value:.1f}" if abs(value) < 1000 else f"{value:.3g}"
    return _exact(value) if float(_exact(value)) == float(short) else short


def _exact(value: float) -> str:
    return f"{value:.10g}"  # less than a float has: its last digits are noise


def _heading(layer: PlannedLayer, tour: Tour, steps: int) -> Iterator[Words]:
    """The type, its parameters, and how many windows there are."""
    rows: list[tuple[str, float, str, bool]] = [(layer.type, 18.0, "ink", True)]
    told = telling.parameters(layer)
    rows += [(line, 12.0, "ink", False) for line in lettering.wrapped(told, 12, 560)]
    merged: dict[str, list[str]] = {}
    for line in tour.lines:
        text = line.text if line.text == str(line.value) else f"{line.text} = {line.value}"
        merged.setdefault(text, []).append("windows " + line.name if line.inner else line.name)
    rows += [(f"{', '.join(names)}: {text}", 12.0, "muted", False) for text, names in merged.items()]
    rows += [(text, 10.0, "muted", False) for text in _notes(layer, tour, steps)]
    y = 16.0
    for text, size, style, bold in rows:
        y += size * 1.5
        yield Words(_EDGE, y, text, size, style, "start", bold)


def _notes(layer: PlannedLayer, tour: Tour, steps: int) -> Iterator[str]:
    """What has to be said besides."""
    if layer.component.name.startswith("Conv"):
        alone = "one channel and this slice alone" if len(tour.shape) == 4 else "one channel"
        yield f"The numbers are those of a kernel of ones without a bias, for {alone}."
    if tour.type == "Unfold":
        yield "Every window becomes a column of the output."
    if len(tour.shape) == 4:
        along = tour.lines[0].value
        yield f"One slice of the depth is drawn; the windows walk along the depth as well ({along} of them)."
    if steps < tour.count[0] * tour.count[1]:
        yield f"There are {times(tour.count)} windows; some rows in the middle are passed over."


def _legend(meanings: Iterable[tuple[str, str]], y: float, room: float) -> Iterator[Drawing]:
    """What the colours and edges mean, for what there is in this picture."""
    x = _EDGE
    for style, text in meanings:
        wide = lettering.width(text, 10) + 34
        if x > _EDGE and x + wide > room + _EDGE:
            x, y = _EDGE, y + 18
        hollow = not LIGHT[style].fill
        yield Box(x + hollow, y - 9 + hollow, 12 - 2 * hollow, 12 - 2 * hollow, style)
        yield Words(x + 17, y, text, 10, "ink")
        x += wide


def _meanings(tour: Tour, rounded: bool) -> Iterator[tuple[str, str]]:
    yield "window", "the window"
    yield "window-cell", "outputs that it reaches" if tour.spreads else "inputs that it takes"
    yield "now", "the input" if tour.spreads else "the output, rounded" if rounded else "the output"
    both = (tour.down, tour.across)
    if any(window.step > 1 and len(window) > 1 for walk in both for window in walk.windows[:1]):
        yield "cell", "inside the window: passed over by dilation"
    if tour.spreads:
        yield "stamp-1", "reached once"
        yield "stamp-3", "reached more often: the sum"
        if any(walk.windows[0][0] < 0 or walk.windows[-1][-1] >= walk.size for walk in both):
            yield "beyond", "cut off"
        return
    for fill in dict.fromkeys(walk.fill for walk in both if max(walk.outside) > 0):
        yield "pad", _PADS.get(fill, f"padding: {fill}")
        if fill in ("reflect", "replicate", "circular"):
            yield "source", "where the value in the padding comes from"
    if any(walk.windows[-1][-1] >= walk.size + max(0, walk.outside[1]) for walk in both):
        yield "beyond", "beyond the end: cut off"
    if any(min(walk.outside) < 0 for walk in both):
        yield "beyond", "cut off by negative padding"
