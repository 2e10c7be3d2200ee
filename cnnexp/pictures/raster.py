"""A scene as a Pillow image, in light colours, with Pillow's own font."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from PIL import Image, ImageDraw

from cnnexp.pictures import lettering
from cnnexp.pictures.palette import LIGHT, Style
from cnnexp.pictures.scene import Box, Path, Point, Scene, Shape, Words

_MOST = 60_000_000
"""Pixels beyond which edges are no longer smoothed by drawing them larger first."""

_LARGEST = 80_000_000
"""Pixels beyond which the picture is painted smaller than asked for."""


def paint(scene: Scene, scale: float = 2.0) -> Image.Image:
    """The scene as an RGB image.

    Arguments:
        scene: what is painted.
        scale: pixels of the image for a pixel of the scene; less where the image would have more than 80 million.
    """
    scale = min(scale, math.sqrt(_LARGEST / (scene.width * scene.height)))
    smooth = 2 if scene.width * scene.height * scale**2 * 4 <= _MOST else 1
    brush = _Brush(scene, scale * smooth)
    for shape in scene.shapes:
        brush.draw(shape)
    if smooth == 1:
        return brush.image
    return brush.image.resize((round(scene.width * scale), round(scene.height * scale)), Image.Resampling.BOX)


class _Brush:
    """Draws shapes on one image."""

    def __init__(self, scene: Scene, scale: float) -> None:
        size = max(1, round(scene.width * scale)), max(1, round(scene.height * scale))
        self.image = Image.new("RGB", size, LIGHT["background"].fill)
        self.pen = ImageDraw.Draw(self.image)
        self.scale = scale

    def draw(self, shape: Shape) -> None:
        style = LIGHT[shape.style]
        if isinstance(shape, Words):
            self._words(shape, style.fill)
        elif isinstance(shape, Path):
            self._path(shape.points, style, shape.closed)
        elif style.fill != "transparent":
            self._box(shape, style)

    def _box(self, box: Box, style: Style) -> None:
        if style.dash or not box.radius:
            left, top, right, bottom = box.bounds
            self._path(((left, top), (right, top), (right, bottom), (left, bottom)), style, closed=True)
            return
        place = [value * self.scale for value in box.bounds]
        width = round(style.width * self.scale) if style.stroke else 0
        radius = min(box.radius, box.width / 2, box.height / 2) * self.scale
        self.pen.rounded_rectangle(place, radius, style.fill or None, style.stroke or None, max(1, width))

    def _path(self, points: Sequence[Point], style: Style, closed: bool) -> None:
        corners = [(x * self.scale, y * self.scale) for x, y in points]
        if closed and style.fill:
            self.pen.polygon(corners, style.fill)
        if style.stroke:
            line = [*corners, corners[0]] if closed else corners
            width = max(1, round(style.width * self.scale))
            for part in _dashed(line, [d * self.scale for d in style.dash]) if style.dash else [line]:
                self.pen.line(part, style.stroke, width, "curve")

    def _words(self, words: Words, colour: str) -> None:
        text, size = lettering.plain(words.text), words.size * self.scale
        long = sum(map(lettering.advance, text)) * size
        at = words.x * self.scale - {"start": 0.0, "middle": long / 2, "end": long}[words.anchor]
        base = words.y * self.scale
        run = ""
        for letter in text:
            if lettering.known(letter):
                run += letter
                continue
            at = self._run(at, base, run, size, colour, words.bold)
            run, (wide, lines) = "", lettering.strokes(letter)
            for line in lines:
                points = [(at + x * size, base - y * size) for x, y in line]
                self.pen.line(points, colour, max(1, round(size * (0.11 if words.bold else 0.075))), "curve")
            at += wide * size
        self._run(at, base, run, size, colour, words.bold)

    def _run(self, at: float, base: float, run: str, size: float, colour: str, bold: bool) -> float:
        """Letters that the font has; gives where the next one stands."""
        if run:
            font = lettering.font(round(size, 2))
            for shift in (0.0, size * 0.045) if bold else (0.0,):
                self.pen.text((at + shift, base), run, colour, font, anchor="ls")
        return at + sum(map(lettering.advance, run)) * size


def _dashed(line: Sequence[Point], dash: Sequence[float]) -> Iterator[list[Point]]:
    """The drawn parts of a dashed line."""
    index, left = 0, dash[0]
    for start, end in pairwise(line):
        long, done = math.dist(start, end), 0.0
        while done < long:
            step = min(left, long - done)
            if index % 2 == 0:
                shares = done / long, (done + step) / long
                yield [(start[0] + (end[0] - start[0]) * s, start[1] + (end[1] - start[1]) * s) for s in shares]
            done, left = done + step, left - step
            if left <= 1e-9:
                index += 1
                left = dash[index % len(dash)]
