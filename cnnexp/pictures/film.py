"""Pictures that change step by step: as an SVG that moves without a script, as a GIF, and as a few of its frames."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass

from PIL import Image

from cnnexp.pictures import raster, svg
from cnnexp.pictures.scene import Scene, Shape

_SECONDS = 0.5
_PAUSE = 2.5
_COLOURS = 48


@dataclass(frozen=True)
class Moment:
    """Shapes that are there for a while.

    Arguments:
        first: the first step with them, from 0.
        last: the last one; None where they stay.
        shapes: from the back to the front.
    """

    first: int
    last: int | None
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Film:
    """A picture with steps.

    Arguments:
        still: size, title, description and what does not change.
        moments: what comes and goes, from the back to the front.
        steps: how many there are.
        keys: the steps that tell the whole story, at most four.
    """

    still: Scene
    moments: tuple[Moment, ...]
    steps: int
    keys: tuple[int, ...]

    def frame(self, step: int) -> Scene:
        """The picture at a step, from 0."""
        seen = [m for m in self.moments if m.first <= step and (m.last is None or step <= m.last)]
        return dataclasses.replace(
            self.still, shapes=(*self.still.shapes, *(shape for moment in seen for shape in moment.shapes))
        )


def moving(film: Film) -> str:
    """The text of an SVG that shows the steps again and again; the last one alone where motion is not wanted."""
    whole = film.steps * _SECONDS + _PAUSE
    groups, rules = [], {}
    for moment in film.moments:
        last = None if moment.last == film.steps - 1 else moment.last
        name = f"s{moment.first}-{'' if last is None else last}"
        begin, end = (100 * step * _SECONDS / whole for step in (moment.first, (last or 0) + 1))
        frames = [f"{begin:.3f}%{{visibility:visible}}"] if moment.first else []
        frames.insert(0, f"0%{{visibility:{'hidden' if moment.first else 'visible'}}}")
        frames += [f"{end:.3f}%{{visibility:hidden}}"] if last is not None else []
        off = f".{name}{{visibility:hidden}}\n" if last is not None else ""
        running = f".{name}{{animation:{name} {whole:g}s step-end infinite}}"
        moved = f"@media (prefers-reduced-motion: no-preference){{{running}}}"
        rules[name] = f"{off}@keyframes {name}{{{''.join(frames)}}}\n{moved}\n"
        groups.append(f'<g class="{name}">\n{"".join(map(svg.element, moment.shapes))}</g>\n')
    body = "".join([*map(svg.element, film.still.shapes), *groups])
    shapes = [*film.still.shapes, *(shape for moment in film.moments for shape in moment.shapes)]
    return svg.document(film.still, "".join(rules.values()), body, shapes)


def animation(film: Film) -> bytes:
    """A GIF with a frame for every step, which rests at the end and begins again."""
    palette = raster.paint(film.frame(film.steps - 1), 1.25).quantize(_COLOURS)
    frames = [_limited(raster.paint(film.frame(step), 1.25), palette) for step in range(film.steps)]
    times = [int(_SECONDS * 1000)] * film.steps
    times[-1] += int(_PAUSE * 1000)
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, disposal=1)
    return file.getvalue()


def _limited(image: Image.Image, palette: Image.Image) -> Image.Image:
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


def frames(film: Film) -> Image.Image:
    """The steps that tell the story, side by side."""
    painted = [raster.paint(film.frame(step), 1.5) for step in film.keys]
    wide, tall = painted[0].size
    across = 2 if len(painted) > 1 else 1
    down = -(-len(painted) // across)
    whole = Image.new("RGB", (wide * across, tall * down), "white")
    for i, image in enumerate(painted):
        whole.paste(image, (i % across * wide, i // across * tall))
    return whole
