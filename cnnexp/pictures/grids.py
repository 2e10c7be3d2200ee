"""Grids of small pictures with a title: how large the tiles are, how rows wrap, what is left out for want of room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from unicodedata import combining, normalize

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, FAINT, MAT = 255, 24, 110, 205
"""The greys of the paper, the title, the labels and the mat on which the tiles lie."""

_MARGIN = 12
_LEAST_WIDTH = 480
"""A title has at least this width."""

_SMALL = 11
"""The size of the labels."""

_BETWEEN = 10
"""Pixels between the blocks of rows that wrap."""


@dataclass(frozen=True)
class Room:
    """How much room a picture has.

    Arguments:
        side: the pixels that a tile's longer side gets where there is room for it.
        least: the pixels that it gets at least, where whole factors allow.
        most: the pixels that it never exceeds; of a larger tile only every n-th row and column is drawn.
        width, height: the pixels of the whole where there is a choice.
        pixels: the pixels of all tiles together, which are never more.
        apart: how many times as far apart tiles stand as they usually do, on white and not on grey.
    """

    side: int = 128
    least: int = 20
    most: int = 512
    width: int = 1200
    height: int = 1100
    pixels: int = 4_000_000
    apart: int = 1


SMALL = Room(side=40, least=8, most=64, width=420, height=420, pixels=64_000)
"""The room of a picture that stands among others, without words."""


@dataclass(frozen=True)
class Arrangement:
    """Where the tiles of a picture go.

    Arguments:
        rows, columns: how many of each are drawn; a row may take several lines.
        line: how many columns stand side by side.
        factor: how many pixels a value gets in each direction.
        step: every how manieth row and column of a tile is drawn.
        group: how many columns belong together, such as the slices of a volume.
        gap: the pixels between tiles.
        mat: the grey of the gaps.
    """

    rows: int
    columns: int
    line: int
    factor: int
    step: int = 1
    group: int = 1
    gap: int = 2
    mat: int = MAT


def arrange(
    rows: int, columns: int, size: tuple[int, int], group: int = 1, room: Room | None = None, enlarge: bool = True
) -> Arrangement:
    """Find a place for every tile; rows are left out first where there are too many, and columns then.

    Arguments:
        rows, columns: how many tiles there are.
        size: height and width of a tile.
        group: how many columns belong together and stay on one line where they fit.
        room: how much room there is.
        enlarge: whether a value may get several pixels.
    """
    room = room or Room()
    step = -(-max(size) // room.most)
    height, width = -(-size[0] // step), -(-size[1] // step)
    longest = max(height, width)
    top = max(1, room.side // longest) if enlarge else 1
    bottom = min(top, max(1, room.least // longest))
    factor = next((f for f in range(top, bottom, -1) if _fits(rows, columns, (height * f, width * f), room)), bottom)
    while factor > 1 and _area(rows, columns, (height * factor, width * factor), room) > room.pixels:
        factor -= 1
    tall, wide = height * factor, width * factor
    most = max(1, room.pixels // _area(1, 1, (tall, wide), room))
    if rows * columns > most:
        rows = max(1, min(rows, most // columns))
        columns = min(columns, max(group, most // group * group) if most >= group else most)
    gap = _gap((tall, wide), room)
    line = _line(columns, wide + gap, room.width)
    line = -(-line // group) * group if line >= group else line
    return Arrangement(
        rows, columns, min(columns, line), factor, step, group, gap, MAT if room.apart == 1 or gap < 2 else PAPER
    )


def _fits(rows: int, columns: int, size: tuple[int, int], room: Room) -> bool:
    """Whether rows need not wrap; a single one may."""
    gap = _gap(size, room)
    wide = size[1] + gap
    lines = -(-columns // _line(columns, wide, room.width)) if rows == 1 else rows
    return (rows == 1 or columns * wide <= room.width) and lines * (size[0] + gap) <= room.height


def _line(columns: int, wide: int, width: int) -> int:
    """How many columns stand on a line, so that all lines are about as long."""
    most = max(1, width // wide)
    lines = -(-columns // most)
    return -(-columns // lines)


def _area(rows: int, columns: int, size: tuple[int, int], room: Room) -> int:
    gap = _gap(size, room)
    return rows * columns * (size[0] + gap) * (size[1] + gap)


def _gap(size: tuple[int, int], room: Room) -> int:
    """The pixels between tiles of this size; single weights of a large matrix have none."""
    longest = max(size)
    return 0 if longest <= 3 else room.apart if longest < 12 else 2 * room.apart


def paint(
    tiles: np.ndarray,
    where: Arrangement,
    title: Sequence[str] = (),
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
) -> Image.Image:
    """The picture of tiles on a mat.

    Arguments:
        tiles: (rows, columns, height, width) greys or (rows, columns, height, width, 3) colours, uint8; of them
            the first `where.rows` rows and `where.columns` columns are drawn, a value as `where.factor`² equal pixels.
        where: as `arrange` gives it.
        title: lines of text above; the first is the heading. Without any there are no labels either.
        rows, columns: the labels; of the columns' only those are drawn that have room.
    """
    tiles = tiles[: where.rows, : where.columns, :: where.step, :: where.step]
    blocks = [_mat(tiles[:, at : at + where.line], where) for at in range(0, where.columns, where.line)]
    labelled = bool(title)
    beside = max(_width(text, _SMALL) for text in rows) + 6 if rows else 0
    left = _MARGIN + beside if labelled else 0
    above = 16 if labelled and columns else 0
    between = _BETWEEN if labelled else 3
    edge = _MARGIN if labelled else 0
    width = left + max(block.shape[1] for block in blocks) + edge
    if labelled:
        width = max(width, _LEAST_WIDTH)
    lines = _wrapped(title, width - 2 * _MARGIN)
    head = _head(lines)
    height = head + sum(block.shape[0] + above for block in blocks) + between * (len(blocks) - 1) + edge
    colour = tiles.ndim == 5
    page = np.full((height, width, 3) if colour else (height, width), PAPER, np.uint8)
    places, y = [], head
    for block in blocks:
        y += above
        page[y : y + block.shape[0], left : left + block.shape[1]] = block
        places.append(y)
        y += block.shape[0] + between
    if labelled:
        _write_head(page, lines)
        for at, y in enumerate(places):
            some = columns[at * where.line : min(where.columns, (at + 1) * where.line)]
            _write_columns(page, some, (left, y), where, tiles.shape[2:4])
            _write_rows(page, rows[: where.rows], (left, y), where, tiles.shape[2:4])
    return Image.fromarray(page)


def _mat(tiles: np.ndarray, where: Arrangement) -> np.ndarray:
    """Tiles side by side, enlarged, on a mat: (height, width) or (height, width, 3)."""
    count, across = tiles.shape[:2]
    f = where.factor
    large = tiles.repeat(f, axis=2).repeat(f, axis=3) if f > 1 else tiles
    tall, wide = large.shape[2:4]
    space = where.gap
    page = np.full((count, tall + space, across, wide + space, *tiles.shape[4:]), where.mat, np.uint8)
    page[:, space:, :, space:] = large.swapaxes(1, 2)
    flat = page.reshape(count * (tall + space), across * (wide + space), *tiles.shape[4:])
    edge = [(0, space), (0, space)] + [(0, 0)] * (flat.ndim - 2)
    flat = np.pad(flat, edge, constant_values=where.mat)
    if where.group > 1 and across > where.group:
        starts = [g * (wide + space) for g in range(where.group, across, where.group)]
        flat = np.insert(flat, np.repeat(starts, _apart(wide)), PAPER, axis=1)
    return flat


def _apart(wide: int) -> int:
    """The pixels between groups of columns."""
    return max(3, min(12, wide // 4))


def _write_head(page: np.ndarray, lines: Sequence[tuple[str, int, int]]) -> None:
    y = _MARGIN
    for text, points, ink in lines:
        _stamp(page, text, (_MARGIN, y), points, ink)
        y += points + 5


def _write_columns(
    page: np.ndarray, labels: Sequence[str], corner: tuple[int, int], where: Arrangement, size: tuple[int, ...]
) -> None:
    """Write the labels above a block, as many as have room; one that stands for a group begins with it."""
    wide, space, free = size[1] * where.factor, where.gap, -1
    for i, text in enumerate(labels):
        x = corner[0] + space + i * (wide + space)
        if where.group > 1:
            x += i // where.group * _apart(wide)
        else:
            x += max(0, (wide - _width(text, _SMALL)) // 2)
        if text and x > free:
            _stamp(page, text, (x, corner[1] - 14), _SMALL, FAINT)
            free = x + _width(text, _SMALL) + 10


def _write_rows(
    page: np.ndarray, labels: Sequence[str], corner: tuple[int, int], where: Arrangement, size: tuple[int, ...]
) -> None:
    """Write the labels left of a block, as many as have room."""
    tall, space, free = size[0] * where.factor, where.gap, -1
    for i, text in enumerate(labels):
        y = corner[1] + space + i * (tall + space) + (tall - 13) // 2
        if text and y > free:
            _stamp(page, text, (corner[0] - 6 - _width(text, _SMALL), y), _SMALL, FAINT)
            free = y + 16


def _stamp(page: np.ndarray, text: str, corner: tuple[int, int], points: int, ink: int) -> None:
    """Write a text onto a page of greys or colours, its left upper corner at (x, y)."""
    inked = _inked(text, points)
    x, y = corner
    part = page[max(0, y) : y + inked.shape[0], x : x + inked.shape[1]]
    share = inked[: part.shape[0], : part.shape[1]].reshape(*part.shape[:2], *(1,) * (page.ndim - 2))
    part[...] = np.rint(part + (ink - part.astype(np.float32)) * share).astype(np.uint8)


@lru_cache(4096)
def _inked(text: str, points: int) -> np.ndarray:
    """How much of each pixel a text covers: (height, width), from 0 to 1."""
    image = Image.new("L", (_width(text, points) + 2, points + 6), 0)
    ImageDraw.Draw(image).text((0, 0), _plain(text), fill=255, font=_font(points))
    return np.asarray(image, np.float32) / 255


def _head(lines: Sequence[tuple[str, int, int]]) -> int:
    return _MARGIN + sum(points + 5 for _, points, _ in lines) + 5 if lines else 0


def _wrapped(title: Sequence[str], width: int) -> list[tuple[str, int, int]]:
    """The lines of a title that fit into a width, each with its size and its grey."""
    lines = []
    for at, text in enumerate(title):
        points, ink = (17, INK) if at == 0 else (13, INK if at == 1 else FAINT)
        line = ""
        for word in text.split(" "):
            longer = f"{line} {word}" if line else word
            if line and _width(longer, points) > width:
                lines.append((line, points, ink))
                line = word
            else:
                line = longer
        lines.append((line, points, ink))
    return lines


@lru_cache
def _font(points: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(points)


@lru_cache(4096)
def _width(text: str, points: int) -> int:
    return int(_font(points).getlength(_plain(text)) + 0.999)


def _plain(text: str) -> str:
    """The text in the signs that Pillow's own font has: those of ASCII; letters lose their accents, others are `?`."""
    for sign, ascii_sign in (("×", "x"), ("−", "-")):
        text = text.replace(sign, ascii_sign)
    bare = "".join(c for c in normalize("NFKD", text) if not combining(c))
    return bare.encode("ascii", "replace").decode()
