"""How samples were classified, as pictures: the confusion matrix, and samples that were surely wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cnnexp.pictures.lettering import known
from cnnexp.pictures.lettering import plain as plain_letters
from cnnexp.views import drawing
from cnnexp.views.images import View

_PAPER, _INK, _FAINT, _GRID = (255, 255, 255), (24, 24, 24), (110, 110, 110), (225, 225, 225)
_RIGHT, _WRONG = np.array([33, 102, 172]), np.array([197, 58, 38])
"""The colours of a full cell: on the diagonal and beside it."""
_MARGIN, _SIDE, _SHORT = 14, 640, 18


@cache
def _font(points: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(points)


def confusion(matrix: Sequence[Sequence[int]], class_names: Sequence[str] | None, of: str) -> View:
    """The confusion matrix; a cell is as dark as its share of the samples of its true class.

    Arguments:
        matrix: (classes, classes) counts; a row for each true class, a column for each predicted one.
        class_names: the names of the classes; their numbers where there are none.
        of: what was classified, such as `the test set`.
    """
    counts = np.asarray(matrix, np.int64)
    n = len(counts)
    colours = _colours(counts)
    cell = max(1, min(44, _SIDE // n))
    names = [_name(i, class_names) for i in range(n)]
    plain = Image.fromarray(colours.repeat(max(1, 200 // n), 0).repeat(max(1, 200 // n), 1))
    right = int(np.trace(counts))
    total = int(counts.sum())
    said = f"{right} of {total} right ({right / total:.1%})" if total else "no samples"
    lines = [f"confusion, {of}", f"{said}; rows: true class, columns: predicted class"]
    picture = drawing.Picture(partial(_labelled, counts, colours, cell, names, lines), lambda: plain)
    return View("confusion", "", "", counts.shape, picture)


def _colours(counts: np.ndarray) -> np.ndarray:
    """(classes, classes, 3) uint8."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # A share of one in a hundred must still be seen.
    strength = np.where(counts > 0, 0.12 + 0.88 * np.sqrt(shares), 0.0)[..., None]
    full = np.where(np.eye(len(counts), dtype=bool)[..., None], _RIGHT, _WRONG)
    return np.asarray(np.rint(255 * (1 - strength) + full * strength), np.uint8)


def _labelled(
    counts: np.ndarray, colours: np.ndarray, cell: int, names: Sequence[str], lines: Sequence[str]
) -> Image.Image:
    n, small = len(counts), _font(11)
    written = cell >= 13
    labels = [_short(name) for name in names] if written else []
    longest = max([int(small.getlength(label)) + 1 for label in labels] or [0])
    turned = longest > cell - 2
    left, top = _MARGIN + longest + 6, _MARGIN + 46 + ((longest if turned else 14) + 6 if written else 0)
    width = max(left + n * cell, _MARGIN + int(max(small.getlength(line) for line in lines) * 1.35)) + _MARGIN
    page = np.full((top + n * cell + 1 + _MARGIN, width + 1, 3), 255, np.uint8)
    page[top : top + n * cell, left : left + n * cell] = colours.repeat(cell, 0).repeat(cell, 1)
    if cell >= 6:
        page[top : top + n * cell + 1 : cell, left : left + n * cell + 1] = _GRID
        page[top : top + n * cell + 1, left : left + n * cell + 1 : cell] = _GRID
    image = Image.fromarray(page)
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, _MARGIN), lines[0], fill=_INK, font=_font(17))
    draw.text((_MARGIN, _MARGIN + 23), lines[1], fill=_FAINT, font=_font(13))
    for i, label in enumerate(labels):
        middle = top + i * cell + cell // 2
        draw.text((left - 6, middle), label, fill=_INK, font=small, anchor="rm")
        _column_label(image, draw, label, (left + i * cell + cell // 2, top - 5), turned, small)
    if cell >= 20:
        font = _font(min(14, cell // 2 + 1))
        for row, column in zip(*counts.nonzero(), strict=True):
            text, dark = str(counts[row, column]), int(colours[row, column].astype(int).sum()) < 400
            if font.getlength(text) <= cell:
                where = (left + int(column) * cell + cell // 2, top + int(row) * cell + cell // 2)
                draw.text(where, text, fill=_PAPER if dark else _INK, font=font, anchor="mm")
    return image


def _column_label(
    image: Image.Image,
    draw: ImageDraw.ImageDraw,
    label: str,
    where: tuple[int, int],
    turned: bool,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Write the label of a column above it, turned where it is wider than the column."""
    if not turned:
        draw.text(where, label, fill=_INK, font=font, anchor="mb")
        return
    strip = Image.new("RGB", (int(font.getlength(label)) + 2, 15), _PAPER)
    ImageDraw.Draw(strip).text((0, 1), label, fill=_INK, font=font)
    upright = strip.transpose(Image.Transpose.ROTATE_90)
    image.paste(upright, (where[0] - upright.width // 2, where[1] - upright.height))


def wrong(
    pixels: np.ndarray, told: Sequence[tuple[int, int, float | None]], class_names: Sequence[str] | None = None
) -> Iterator[View]:
    """Samples that were taken for another class, with what was said of them; small, they stand side by side.

    Arguments:
        pixels: (n, *sample shape), the samples as they are in the data, uint8 or float.
        told: of each its class, the predicted class, and the probability of that.
        class_names: the names of the classes; their numbers where there are none.
    """
    tiles = [_tile(sample) for sample in pixels]
    if tiles:
        captions = [_caption(*one, class_names) for one in told]
        picture = drawing.Picture(partial(_gallery, tiles, captions), partial(_strip, tiles))
        yield View("wrong", "", "", tuple(pixels.shape[1:]), picture)


def _tile(sample: np.ndarray) -> Image.Image:
    if sample.dtype == np.uint8 and sample.ndim == 3 and len(sample) in (1, 3):
        return Image.fromarray(np.ascontiguousarray(sample[0] if len(sample) == 1 else np.moveaxis(sample, 0, -1)))
    return drawing.pixels(sample[None], "").plain


def _caption(label: int, predicted: int, probability: float | None, names: Sequence[str] | None) -> tuple[str, str]:
    true, taken = (_short(_name(c, names)) for c in (label, predicted))
    return f"true {true}", f"seen {taken}" + ("" if probability is None else f", {probability:.0%}")


def _name(label: int, names: Sequence[str] | None) -> str:
    """The name of a class in letters that the font has; its number where it has not."""
    name = plain_letters(str(names[label])) if names else str(label)
    return name if name.isprintable() and all(map(known, name)) else str(label)


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def _strip(tiles: Sequence[Image.Image]) -> Image.Image:
    """Tiles of one size side by side, value by value."""
    return Image.fromarray(np.concatenate([np.asarray(tile) for tile in tiles], axis=1))


def _gallery(tiles: Sequence[Image.Image], captions: Sequence[tuple[str, str]]) -> Image.Image:
    """Tiles in rows, under a title and each over its caption."""
    longest = max(max(tile.size) for tile in tiles)
    factor = max(1, 96 // longest)
    large = [tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST) for tile in tiles]
    font = _font(12)
    texts = [int(font.getlength(line)) + 1 for caption in captions for line in caption]
    wide, tall = max([*(x.width for x in large), *texts]), max(x.height for x in large)
    gap, under, head = 14, 38, _MARGIN + 30
    across = min(len(large), max(1, 900 // (wide + gap)))
    width = 2 * _MARGIN + across * (wide + gap) - gap
    height = head + -(-len(large) // across) * (tall + under + gap) - gap + _MARGIN
    page = Image.new("RGB", (max(width, 520), height), _PAPER)
    draw = ImageDraw.Draw(page)
    title = "surely wrong: the wrong predictions of the highest probability"
    draw.text((_MARGIN, _MARGIN), title, fill=_INK, font=_font(17))
    for i, tile in enumerate(large):
        x, y = _MARGIN + i % across * (wide + gap), head + i // across * (tall + under + gap)
        page.paste(tile, (x, y))
        for line, text in enumerate(captions[i]):
            draw.text((x, y + tall + 4 + 15 * line), text, fill=_FAINT if line == 0 else _INK, font=font)
    return page
