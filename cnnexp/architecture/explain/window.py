"""Windows that walk over an input: how many fit, where each of them stands, and how that looks as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

from cnnexp.architecture.rules import spread

Shape = tuple[int, ...]
Values = Mapping[str, Any]

_MOST = 10_000  # positions along a dimension beyond which nothing is drawn
AXES: Mapping[int, tuple[str, ...]] = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


@dataclass(frozen=True)
class Line:
    """A formula filled in for one dimension of the output.

    Arguments:
        name: the dimension, such as `height`.
        text: the formula with numbers.
        value: what it comes to.
        inner: whether it is a step on the way and no dimension of the output.
    """

    name: str
    text: str
    value: int
    inner: bool = False


def number(value: float) -> str:
    """A number inside a formula: with a real minus sign, and in parentheses when negative."""
    text = str(value) if isinstance(value, int) else f"{value:.10g}"
    return f"(−{text[1:]})" if value < 0 else text


def filled(template: str, values: Values) -> str:
    """A formula with numbers in place of its names."""
    return re.sub(r"[a-z_]+", lambda match: number(values[match[0]]), template)


def plain(name: str, value: int) -> Line:
    """The line of a dimension whose size needs no reckoning."""
    return Line(name, str(value), value)


def names(shape: Shape) -> tuple[str, ...]:
    """What the dimensions of a sample are called: channels, height, width; by number where that says more."""
    axes = AXES.get(len(shape) - 1)
    return ("channels", *axes) if axes else tuple(f"dim {i}" for i in range(1, len(shape) + 1))


_WINDOW = ("kernel_size", "stride", "padding", "dilation", "output_padding")


def per_dimension(values: Values, n: int) -> list[dict[str, Any]]:
    """The window's parameters for each of n dimensions; a pool without a stride steps by its kernel_size."""
    full = {**values, "stride": values["stride"] or values["kernel_size"]}
    found = {name: spread(full[name], n) for name in _WINDOW if name in full}
    return [{name: value[i] for name, value in found.items()} for i in range(n)]


def template(values: Values) -> str:
    """The formula of a window with the terms for which the type has parameters."""
    if values.get("padding") == "same":
        return "in"
    padding = " + 2·padding" if values.get("padding", "valid") != "valid" else ""
    window = "dilation·(kernel_size − 1) − 1" if "dilation" in values else "kernel_size"
    opening, closing = "⌈⌉" if values.get("ceil_mode") else "⌊⌋"
    return f"{opening}(in{padding} − {window}) / stride{closing} + 1"


def window_words(values: Values) -> tuple[str, ...]:
    """The general formula of a window that walks."""
    text = (f"out = {template(values)}",)
    if values.get("padding") == "same":
        return (*text, "dilation·(kernel_size − 1) pixels of padding keep the size")
    if values.get("ceil_mode"):
        return (*text, "less 1 if the last window would start behind the input")
    return (*text, "(ceil_mode: true rounds up instead of down)") if "ceil_mode" in values else text


def _window_line(name: str, size: int, values: Values, each: Values, inner: bool = False) -> Line:
    text = filled(template(values), {"in": size, **each})
    if values.get("padding") == "same":
        return Line(name, text, size, inner)
    before = each.get("padding", 0) if values.get("padding") != "valid" else 0
    room = size + 2 * before - each.get("dilation", 1) * (each["kernel_size"] - 1) - 1
    if not values.get("ceil_mode"):
        return Line(name, text, room // each["stride"] + 1, inner)
    count = -(-room // each["stride"]) + 1
    if (count - 1) * each["stride"] >= size + before:
        return Line(name, f"{text} − 1", count - 1, inner)
    return Line(name, text, count, inner)


def window_lines(values: Values, shape: Shape) -> tuple[Line, ...]:
    """How many windows fit into each dimension."""
    rows = zip(names(shape)[1:], shape[1:], per_dimension(values, len(shape) - 1), strict=True)
    channels = values.get("out_channels", shape[0])
    return (plain("channels", channels), *(_window_line(name, size, values, each) for name, size, each in rows))


TRANSPOSED = "(in − 1)·stride − 2·padding + dilation·(kernel_size − 1) + output_padding + 1"


def transposed_lines(values: Values, shape: Shape) -> tuple[Line, ...]:
    """How far the windows of a transposed convolution reach in each dimension."""
    lines = [plain("channels", values["out_channels"])]
    for name, size, each in zip(names(shape)[1:], shape[1:], per_dimension(values, len(shape) - 1), strict=True):
        reach = each["dilation"] * (each["kernel_size"] - 1) + each["output_padding"] + 1
        value = (size - 1) * each["stride"] - 2 * each["padding"] + reach
        lines.append(Line(name, filled(TRANSPOSED, {"in": size, **each}), value))
    return tuple(lines)


def unfold_words(values: Values) -> tuple[str, ...]:
    """The general formula of Unfold."""
    dims = "dim 1 = channels·height·width of the window", "dim 2 = windows down·windows across, each"
    return *dims, f"  {template(values)}"


def unfold_lines(values: Values, shape: Shape) -> tuple[Line, ...]:
    """The height of a column and the number of columns that Unfold gives."""
    down, across = per_dimension(values, 2)
    rows = _window_line("down", shape[1], values, down, True), _window_line("across", shape[2], values, across, True)
    tall = f"{shape[0]}·{down['kernel_size']}·{across['kernel_size']}"
    column = Line("dim 1", tall, shape[0] * down["kernel_size"] * across["kernel_size"])
    return (column, *rows, Line("dim 2", f"{rows[0].value}·{rows[1].value}", rows[0].value * rows[1].value))


def sides(values: Values, n: int) -> list[tuple[int, int]]:
    """The padding before and behind each of the last n dimensions, first dimension first."""
    flat = spread(values["padding"], 2 * n)
    return [(flat[i], flat[i + 1]) for i in range(2 * n - 2, -1, -2)]


@dataclass(frozen=True)
class Walk:
    """Windows over one dimension.

    Arguments:
        size: the pixels between both edges.
        windows: the positions that each window takes; the first pixel is 0, and what is negative or from `size` on
            lies outside.
        outside: how many positions there are before and behind the edges.
        fill: what stands there: `reflect`, `replicate`, `circular` for pixels that are repeated, else the text itself.
        note: the sentences about what lies outside.
        rows, columns: what windows and pixels are called; `x` is an input and `y` an output.
    """

    size: int
    windows: tuple[range, ...]
    outside: tuple[int, int] = (0, 0)
    fill: str = "–"
    note: str = ""
    rows: str = "out "
    columns: str = "x"

    def source(self, position: int) -> int | None:
        """The pixel whose value stands at a position, or None where it is no pixel's."""
        before, behind = self.outside
        if 0 <= position < self.size:
            return position
        if not -before <= position < self.size + behind:
            return None
        if self.fill == "reflect":
            return -position if position < 0 else 2 * (self.size - 1) - position
        if self.fill == "replicate":
            return 0 if position < 0 else self.size - 1
        if self.fill != "circular":
            return None
        first, end = max(0, -before), self.size + min(0, behind)  # what negative padding on the other side leaves
        return first + (position - first) % (end - first)

    def label(self, position: int) -> str:
        """What stands at a position: `x3`, `0`, or `–` for nothing at all."""
        pixel = self.source(position)
        if pixel is not None:
            return f"{self.columns}{pixel}"
        before, behind = self.outside
        return self.fill if -before <= position < self.size + behind else "–"

    def missing(self) -> list[int]:
        """The pixels that stand in no window."""
        touched = {self.source(position) for window in self.windows for position in window}
        return [pixel for pixel in range(self.size) if pixel not in touched]


_NOTES = {
    "0": "Beyond the bars stand zeros.",
    "−∞": "Beyond the bars stands −∞, which is never the largest.",
    "reflect": "Beyond the bars the pixels are mirrored at the edge pixel.",
    "replicate": "Beyond the bars the edge pixel is repeated.",
    "circular": "Beyond the bars the other end follows.",
}
_PAD_FILLS = {"Zero": "0", "Reflection": "reflect", "Replication": "replicate", "Circular": "circular"}
_SLIDING = ("Conv?d", "MaxPool?d", "AvgPool?d", "LPPool?d", "Unfold")


def walks(type_name: str, values: Values, shape: Shape, counts: Sequence[int]) -> tuple[Walk, ...]:
    """The walk along each spatial dimension; empty for a type without windows at fixed places.

    Arguments:
        type_name: the layer type.
        values: all its parameters.
        shape: the sample shape that arrives, such as (channels, height, width).
        counts: the sizes that leave, dimension by dimension.
    """
    if not counts or max(*shape[1:], *counts) > _MOST:
        return ()
    found = _built(type_name, values, shape[1:], counts)
    return () if any(map(_is_vast, found)) else found


def _is_vast(walk: Walk) -> bool:
    """Whether there are more positions than anyone wants to see."""
    first = walk.windows[:1]
    taken = sum(len(window) * len(walk.windows) for window in first)
    return max(*walk.outside, *(len(window) * window.step for window in first), taken // 100) > _MOST


def _built(type_name: str, values: Values, sizes: Shape, counts: Sequence[int]) -> tuple[Walk, ...]:
    rows = list(zip(sizes, counts, strict=True))
    if re.fullmatch(r"\w+Pad[123]d", type_name):
        every = sides(values, len(sizes))
        return tuple(_border(type_name, values, size, ends) for size, ends in zip(sizes, every, strict=True))
    if fnmatchcase(type_name, "Adaptive*Pool?d"):
        return tuple(Walk(size, tuple(_share(i, size, count) for i in range(count))) for size, count in rows)
    build = _spreading if fnmatchcase(type_name, "ConvTranspose?d") else _sliding
    if build is _sliding and not any(fnmatchcase(type_name, pattern) for pattern in _SLIDING):
        return ()
    full = {**values, "type": type_name}
    settings = per_dimension(values, len(sizes))
    return tuple(build(size, count, each, full) for (size, count), each in zip(rows, settings, strict=True))


def _share(index: int, size: int, count: int) -> range:
    return range(index * size // count, -(-(index + 1) * size // count))


def _places(count: int, first: int, each: Values) -> tuple[range, ...]:
    """Where windows stand that start a stride apart."""
    step = each.get("dilation", 1)
    extent, stride = step * (each["kernel_size"] - 1) + 1, each["stride"]
    return tuple(range(first + i * stride, first + i * stride + extent, step) for i in range(count))


def _sliding(size: int, count: int, each: Values, values: Values) -> Walk:
    padding = each.get("padding", 0)
    total = each.get("dilation", 1) * (each["kernel_size"] - 1)
    before, behind = (padding, padding) if isinstance(padding, int) else (0, 0)
    if padding == "same":
        before, behind = total // 2, total - total // 2
    fill = "−∞" if values["type"].startswith("Max") else values.get("padding_mode", "zeros").replace("zeros", "0")
    note = _NOTES[fill] if before or behind else ""
    if values.get("count_include_pad") is False and (before or behind):
        fill, note = "–", "Beyond the bars nothing counts: the mean is taken over pixels alone."
    windows = _places(count, -before, each)
    if windows and windows[-1].stop > size + behind:
        note = f"{note}\nThe last window reaches beyond the end and is cut there.".strip()
    return Walk(size, windows, (before, behind), fill, note)


def _spreading(size: int, count: int, each: Values, values: Values) -> Walk:
    cut = each["padding"]
    windows = _places(size, -cut, each)
    behind = max(0, windows[-1].stop - count)
    note = "What falls beyond the bars is cut off." if cut or behind else ""
    return Walk(count, windows, (cut, behind), "–", note, "x", "y")


def _border(type_name: str, values: Values, size: int, ends: tuple[int, int]) -> Walk:
    kind = re.sub(r"Pad[123]d$", "", type_name)
    fill = _PAD_FILLS.get(kind) or number(values["value"]).strip("()")
    return Walk(size, (), ends, fill, _NOTES.get(fill, f"Beyond the bars stands {fill}."))


def picture(walk: Walk, width: int = 80) -> str:
    """A walk as text: the pixels from left to right, the windows from top to bottom, and what is to be said of them.

    Arguments:
        walk: the windows along one dimension.
        width: how many characters a line may have; windows in the middle are left out, then labels of pixels.
    """
    notes = [walk.note] if walk.note else []
    if any(window.step > 1 and len(window) > 1 for window in walk.windows):
        notes.append("· is passed over by dilation.")
    notes += _missing(walk)
    return "\n".join([*_drawn(walk, width), *notes])


def _missing(walk: Walk) -> list[str]:
    """The sentence about pixels that stand in no window."""
    missing = walk.missing() if walk.windows else []
    if not missing:
        return []
    named = ", ".join(f"{walk.columns}{pixel}" for pixel in missing[:4])
    more = f", … ({len(missing)} of {walk.size})" if len(missing) > 4 else ""
    return [f"{'No window covers' if walk.columns == 'x' else 'No input reaches'} {named}{more}."]


def _drawn(walk: Walk, width: int) -> list[str]:
    count = len(walk.windows)
    last = count - 1
    some = [(0, 1, 2, last), (0, 1, last), (0, last)]
    choices = [range(count)] * (count <= 6) + [rows for rows in some if len(rows) < count]
    columns = [(chosen, _columns(walk, chosen)) for chosen in choices]
    wide = max(len(walk.label(p)) for _, shown in columns for p in shown) + 1
    cells = dict.fromkeys((wide, 2, 1))
    trials = [(rows, shown, cell) for cell in cells for rows, shown in columns]
    for rows, shown, cell in sorted(trials, key=lambda trial: len(trial[0]) < min(3, count)):
        lines = list(_lines(walk, rows, shown, cell))
        if max(map(len, lines)) <= width:
            return lines
    ends = [(i, walk.windows[i]) for i in (0, 1, last)] if count > 2 else list(enumerate(walk.windows))
    margin = len(f"{walk.rows}{last}") + 2
    return [f"{walk.rows + str(i):<{margin}}{walk.label(w[0])} … {walk.label(w[-1])}" for i, w in ends]


def _columns(walk: Walk, chosen: Iterable[int]) -> list[int]:
    """The positions that are drawn: those under the chosen windows, both ends, and what is left over."""
    before, behind = walk.outside
    end = walk.size + behind
    shown = {max(0, -before), walk.size - 1 + min(0, behind)}
    for window in (walk.windows[i] for i in chosen):
        shown |= set(range(window[0], window[-1] + 1))
    reached = max(shown) + 1 if walk.windows else end
    shown |= set(range(-before, 0)) | set(range(walk.size, end)) | set(range(reached, min(end, reached + 8)))
    if not walk.windows:
        shown |= set(range(max(0, -before), 4)) | set(range(walk.size - 4, end))
        shown &= set(range(-before, end))
    ordered = sorted(shown)
    small = {p for a, b in pairwise(ordered) if b - a <= 4 for p in range(a, b)}  # gaps that are not worth a mark
    return sorted(shown | small)


def _lines(walk: Walk, chosen: Iterable[int], shown: Sequence[int], cell: int) -> Iterator[str]:
    """The line of labels, then one for each chosen window, then one for what is left over."""
    places: dict[int, int] = {}
    bars, gaps, at = [], [], 0
    for index, position in enumerate(shown):
        if index and position - shown[index - 1] > 1:
            gaps.append(at)
            at += 2
        if position in (0, walk.size):
            bars.append(at)
            at += 2
        places[position] = at
        at += cell
    if shown[-1] == walk.size - 1:
        bars.append(at)
    rows = {f"{walk.rows}{i}": walk.windows[i] for i in chosen}
    margin = max(map(len, rows), default=-2) + 2
    blank = [" "] * (at + 8)
    for bar in bars:
        blank[bar] = "│"
    yield " " * margin + _ruler(walk, places, gaps, blank)
    earlier = -1
    for i, (name, window) in zip(chosen, rows.items(), strict=True):
        if i > earlier + 1:
            yield "⋮".rjust(margin - 2)
        earlier, row = i, blank.copy()
        for position in range(window[0], window[-1] + 1):
            row[places[position]] = "■" if position in window else "·"
        yield f"{name:<{margin}}{''.join(row)}".rstrip()


def _ruler(walk: Walk, places: Mapping[int, int], gaps: Iterable[int], blank: Sequence[str]) -> str:
    """The labels of the pixels, as many as there is room for; both edges come first."""
    row = list(blank)
    for gap in gaps:
        row[gap] = "…"
    for position in sorted(places, key=lambda p: (p not in (0, walk.size - 1), p)):
        at, text = places[position], walk.label(position)
        if position == walk.size - 1 and set(row[at : at + len(text) + 1]) != {" "}:
            at = max(0, at - len(text) + 1)  # its last digit stands above the pixel
        if set(row[max(0, at - 1) : at + len(text) + 1]) == {" "}:
            row[at : at + len(text)] = text
    return "".join(row).rstrip()
