"""Samples, outputs and kernels as pictures, by how many axes they have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image

from cnnexp.pictures.grids import SMALL, Arrangement, Room, arrange, paint
from cnnexp.pictures.plots import bars, traces
from cnnexp.pictures.scale import MARK, Scale, number

_PICTURES = Room()
_SQUARES = Room(side=28, least=8)
_KERNELS = Room(side=60, least=6, width=1560, height=1400, apart=2)


@dataclass(frozen=True)
class Picture:
    """A picture in two forms, each drawn when it is first asked for.

    Arguments:
        large: draws it with its title and labels.
        little: draws it small and without any text.
    """

    large: Callable[[], Image.Image]
    little: Callable[[], Image.Image]

    @cached_property
    def image(self) -> Image.Image:
        """With its title and labels."""
        return self.large()

    @cached_property
    def plain(self) -> Image.Image:
        """Small and without any text."""
        return self.little()


@dataclass(frozen=True)
class Tiles:
    """What is drawn, before it has a place.

    Arguments:
        tiles: (rows, columns, height, width) or (rows, columns, height, width, 3), uint8.
        heading: the first line of the title.
        text: the second line.
        guide: the third line, which says what rows and columns are; empty where that needs no words.
        rows, columns: the labels.
        kinds: what a row and a column are, for the line that says what was left out.
        group: how many columns belong together.
        room: how much room there is.
        enlarge: whether a value may get several pixels.
    """

    tiles: np.ndarray
    heading: str
    text: str
    guide: str = ""
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    kinds: tuple[str, str] = ("samples", "channels")
    group: int = 1
    room: Room = _PICTURES
    enlarge: bool = True

    @property
    def picture(self) -> Picture:
        """Both forms of it."""
        return Picture(self.large, self.little)

    def large(self) -> Image.Image:
        """With title and labels."""
        where = self._arranged(self.room)
        lines = [self.heading, self.text, *([self.guide] if self.guide else []), *self._left_out(where)]
        return paint(self.tiles, where, lines, self.rows, self.columns)

    def little(self) -> Image.Image:
        """Small, without any text."""
        return paint(self.tiles, self._arranged(replace(SMALL, least=min(SMALL.least, self.room.least))))

    def _arranged(self, room: Room) -> Arrangement:
        rows, columns, *size = self.tiles.shape[:4]
        return arrange(rows, columns, (size[0], size[1]), self.group, room, self.enlarge)

    def _left_out(self, where: Arrangement) -> list[str]:
        rows, columns = self.tiles.shape[:2]
        missing = [(rows, rows - where.rows, self.kinds[0])]
        if columns > where.columns:
            missing.append((columns // self.group, (columns - where.columns) // self.group, self.kinds[1]))
        said = [f"{n} of {all_} {kind}" for all_, n, kind in missing if n]
        lines = [f"left out for want of room: {', '.join(said)}"] if said else []
        step = f"every {where.step}{'nd' if where.step == 2 else 'rd' if where.step == 3 else 'th'}"
        return [*lines, f"of each picture {step} row and column is drawn"] if where.step > 1 else lines


def shown(shape: Sequence[int]) -> str:
    """A shape as a title says it: `6×30×30`."""
    return "×".join(map(str, shape)) or "1"


def pixels(values: np.ndarray, heading: str) -> Picture:
    """Samples as they are in the data: in colour or grey where they are pictures.

    Arguments:
        values: (samples, *shape), uint8 pixels or floats.
        heading: the first line of the title.
    """
    shape = values.shape[1:]
    if len(shape) != 3 or shape[0] not in (1, 3):
        return output(values.astype(np.float32), heading, "", tokens=False)
    whole = values.dtype == np.uint8
    scale = Scale(0, 255) if whole else Scale.of(values)
    tiles = _coloured(values, scale) if shape[0] == 3 else scale.paint(values[:, 0])
    text = f"{shown(shape)}, {'pixels from 0 (black) to 255 (white)' if whole else scale}{_wrong(values)}"
    return Tiles(tiles[None], heading, text, columns=_count(len(values)), kinds=("rows", "samples")).picture


def _coloured(values: np.ndarray, scale: Scale) -> np.ndarray:
    """(samples, 3, height, width) as (samples, height, width, 3) colours."""
    colours = np.moveaxis(scale.grey(values), 1, -1)
    colours[~np.isfinite(values).all(axis=1)] = MARK
    return colours


def _count(n: int) -> list[str]:
    return [str(i) for i in range(n)]


def output(
    values: np.ndarray, heading: str, text: str, tokens: bool, colours: np.ndarray | None = None, of: int | None = None
) -> Picture:
    """What a layer makes of samples: each channel a grey picture, a trace or squares; a row for each sample.

    Arguments:
        values: (samples, *shape), float.
        heading: the first line of the title.
        text: what the second line begins with.
        tokens: whether two axes are tokens and their features, not channels and a length.
        colours: (samples, 3 or 1, height, width) between 0 and 1: the same in the colours of the data, drawn first.
        of: how many channels there are, where `values` has the first of them.
    """
    shape, rows = values.shape[1:], _count(len(values))
    scale = Scale.of(values)
    limited = f"the first {shape[0]} of {of} channels of " if of is not None and of > shape[0] else ""
    said = f"{text}{limited}{shown((of, *shape[1:]) if of else shape)}, {{}}{_wrong(values)}"
    if np.prod(shape[1:]) == 1:
        greys = scale.paint(values.reshape(len(values), -1, 1, 1))
        guide, kinds = "a row for each sample, a square for each number", ("samples", "numbers")
        labels = _count(greys.shape[1])
        return Tiles(greys, heading, said.format(scale), guide, rows, labels, kinds, room=_SQUARES).picture
    if len(shape) == 2 and tokens:
        guide, kinds = "a picture for each sample, a line in it for each token", ("rows", "samples")
        return Tiles(scale.paint(values)[None], heading, said.format(scale), guide, (), rows, kinds).picture
    if len(shape) == 2:
        return _sequences(values, heading, said, scale)
    depth = int(np.prod(shape[1:-2]))
    greys = scale.paint(values.reshape(len(values), -1, *shape[-2:]))
    if depth > 1:
        guide = "a row for each sample, slices along the depth from left to right"
        labels = [label for c in range(shape[0]) for label in (f"channel {c}", *[""] * (depth - 1))]
        return Tiles(greys, heading, said.format(scale), guide, rows, labels, group=depth).picture
    labels = _count(shape[0])
    guide = "a row for each sample, a column for each channel"
    if colours is not None:
        first = _coloured(np.broadcast_to(colours, (len(colours), 3, *shape[1:])), Scale(0, 1))[:, None]
        greys = greys if greys.ndim == 5 else np.repeat(greys[..., None], 3, axis=-1)
        greys, labels = np.concatenate([first, greys], axis=1), ["as pixels", *labels]
        guide += "; first in the range of the pixels"
    return Tiles(greys, heading, said.format(scale), guide, rows, labels).picture


def _sequences(values: np.ndarray, heading: str, said: str, scale: Scale) -> Picture:
    count, channels, _ = values.shape
    size = (64, 180) if channels <= 6 else (44, 96)
    span = f"from {number(scale.low)} (bottom) to {number(scale.high)} (top)" if scale.low < scale.high else str(scale)
    where = arrange(count, channels, size, enlarge=False)
    left = [f"{n} {what}" for n, what in ((count - where.rows, "samples"), (channels - where.columns, "channels")) if n]
    guide = "a row for each sample, a column for each channel"
    guide += f"; left out for want of room: {', '.join(left)}" if left else ""
    tiles = traces(values[: where.rows, : where.columns], scale, size)
    labels = (_count(count), _count(channels))
    large = Tiles(tiles, heading, said.format(span), guide, *labels, enlarge=False)
    little = Tiles(traces(values[:4, :8], scale, (24, 48)), "", "", enlarge=False)
    return Picture(large.large, little.little)


def kernels(weight: np.ndarray, heading: str, colour: bool, groups: int, limit: int | None) -> Picture:
    """The kernels of a convolution: a row for each output channel, a column for each input channel.

    Where a kernel is a single tile, because its inputs are colours or it has one input alone, they stand side by side.

    Arguments:
        weight: (out, in of the group, *window).
        heading: the first line of the title.
        colour: whether the three input channels are red, green and blue.
        groups: how many groups of channels there are.
        limit: how many output and input channels are drawn at most.
    """
    part = weight[:limit] if colour else weight[:limit, :limit]
    outs, ins, *window = part.shape
    scale = Scale.around_zero(part)
    said = f"{weight.shape[0]} kernels of {shown(weight.shape[1:])}" + (f" in {groups} groups" if groups > 1 else "")
    if part.shape != weight.shape:
        said += f", of which the first {outs}" + (
            f" and of each the first {ins} inputs" if ins < weight.shape[1] else ""
        )
    wrong = _wrong(part)
    text = f"{said}, {scale}{', zero is mid grey' if scale.high else ''}{wrong}"
    guide = "a row for each output channel, a column for each input channel" + (" of its group" if groups > 1 else "")
    if colour:
        return _row(_coloured(part, scale), heading, text)
    depth = int(np.prod(window[:-2]))
    rows, columns = _count(outs), [label for i in range(ins) for label in (str(i), *[""] * (depth - 1))]
    barred = len(window) == 1 and part.size * 26 * 4 <= _KERNELS.pixels
    if barred:
        tiles = bars(part)
        text = f"{said}, bars from {number(scale.low)} to {number(scale.high)}{wrong}"
    else:
        tiles = scale.paint(part.reshape(outs, ins * depth, *([1, *window] if len(window) == 1 else window[-2:])))
    if ins * depth == 1:
        return _row(tiles[:, 0], heading, text, not barred)
    guide += ", its slices along the depth" if depth > 1 else ""
    kinds = ("output channels", "input channels")
    return Tiles(tiles, heading, text, guide, rows, columns, kinds, depth, _KERNELS, not barred).picture


def _row(tiles: np.ndarray, heading: str, text: str, enlarge: bool = True) -> Picture:
    """Kernels that are one tile each, side by side."""
    labels, kinds = _count(len(tiles)), ("rows", "kernels")
    return Tiles(tiles[None], heading, text, columns=labels, kinds=kinds, room=_KERNELS, enlarge=enlarge).picture


def _wrong(values: np.ndarray) -> str:
    """What a title says of values that are not finite."""
    count = int((~np.isfinite(values)).sum())
    return f"; {count} of {values.size} values are not finite (magenta)" if count else ""
