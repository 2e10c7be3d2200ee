"""Numbers along a line as small tiles: traces of sequences, bars of one-dimensional kernels."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from cnnexp.pictures.scale import MARK, Scale

_FINE = 3
"""A trace is drawn so many times larger and then made smaller, for smooth lines."""


def traces(values: np.ndarray, scale: Scale, size: tuple[int, int]) -> np.ndarray:
    """Each sequence as a line on a tile of its own.

    Arguments:
        values: (rows, columns, length).
        scale: its low end is the bottom of a tile, its high end the top.
        size: height and width of a tile.

    Returns:
        (rows, columns, height, width, 3), uint8: a thin line at zero, and a stroke in MARK where a value is not finite.
    """
    rows, columns, _ = values.shape
    tiles = [_trace(values[r, c], scale, size) for r in range(rows) for c in range(columns)]
    return np.stack(tiles).reshape(rows, columns, *size, 3)


def _trace(values: np.ndarray, scale: Scale, size: tuple[int, int]) -> np.ndarray:
    tall, wide = size[0] * _FINE, size[1] * _FINE
    image = Image.new("RGB", (wide, tall), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    span = (scale.high - scale.low) or 1.0
    edge = 2 * _FINE

    def level(value: float) -> float:
        share = (value - scale.low) / span if scale.high > scale.low else 0.5
        return tall - edge - 1 - share * (tall - 2 * edge - 1)

    if scale.low < 0 < scale.high:
        draw.line([(0, level(0)), (wide, level(0))], fill=(214, 214, 214), width=_FINE)
    step = (wide - 2 * edge) / max(1, len(values) - 1)
    part: list[tuple[float, float]] = []
    for i, value in enumerate([*values.tolist(), float("nan")]):
        x = edge + i * step if len(values) > 1 else wide / 2
        if np.isfinite(value):
            part.append((x, level(value)))
            continue
        if len(part) > 1:
            draw.line(part, fill=(20, 70, 130), width=_FINE + 1, joint="curve")
        elif part:
            draw.ellipse([part[0][0] - 4, part[0][1] - 4, part[0][0] + 4, part[0][1] + 4], fill=(20, 70, 130))
        part = []
    tile = np.array(image.reduce(_FINE))
    for gone in np.flatnonzero(~np.isfinite(values)):
        tile[:, int((edge + int(gone) * step if len(values) > 1 else wide / 2) / _FINE)] = MARK
    return tile


def bars(values: np.ndarray, height: int = 25, width: int = 4) -> np.ndarray:
    """Each sequence as bars up and down from a line at zero, the longest one half a tile.

    Arguments:
        values: (rows, columns, length).
        height: the pixels of a tile, an odd number.
        width: the pixels of a bar; one of them is the gap.

    Returns:
        (rows, columns, height, length · width + 1), uint8.
    """
    most = Scale.around_zero(values).high or 1.0
    half = height // 2
    finite = np.nan_to_num(values.astype(np.float64) / most, posinf=0, neginf=0)
    tips = np.rint(finite * half)[:, :, None, :]  # (rows, columns, 1, length)
    level = half - np.arange(height)[None, None, :, None]
    inked = ((level > 0) & (level <= tips)) | ((level < 0) & (level >= tips))
    greys = np.where(inked, 40, np.where(level == 0, 170, 255)).astype(np.uint8)
    wide = greys.repeat(width, axis=3)
    wide[..., ::width] = np.where(level == 0, 170, 255).astype(np.uint8)
    return np.pad(wide, [(0, 0), (0, 0), (0, 0), (0, 1)], mode="edge")
