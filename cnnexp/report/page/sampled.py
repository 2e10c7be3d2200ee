"""The first samples of a picture of many: tiles on a mat, a row for each sample; long rows take several lines."""

from __future__ import annotations

import numpy as np
from PIL import Image

_PAPER, _MAT = 255, 205  # the greys between the lines and between the tiles, as they are drawn


def first_samples(image: Image.Image, samples: int) -> Image.Image:
    """The picture with its first samples only; the whole picture where no rows can be told in it.

    Arguments:
        image: a picture in grey or RGB.
        samples: how many rows of tiles are kept in each line.
    """
    pixels = np.asarray(image)
    grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    paper = (grey == _PAPER).all(axis=1)
    mat = ~paper & (grey[:, 0] == _MAT) & ((grey == _PAPER) | (grey == _MAT)).all(axis=1)
    tiles = ~paper & ~mat
    if not mat.any() or not tiles.any():
        return image
    begins = tiles & ~np.roll(tiles, 1)
    begins[0] = tiles[0]
    line = np.cumsum(paper)  # a further line of the same rows begins after paper
    row = np.zeros(len(grey), int)
    for number in np.unique(line):
        inside = line == number
        row[inside] = np.cumsum(begins[inside])
    # The mat that follows a row has its number; that before the first one has 0.
    return Image.fromarray(pixels[row <= samples])
