"""Pictures put into the page itself, up to a number of bytes; what is left out is named."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image

from cnnexp.records import Run
from cnnexp.report.page.sampled import first_samples

_LARGEST = 4_000_000  # bytes of a file, and pixels of a picture, that are looked at

_FULL = 4  # pictures that had no room, after which no smaller one is looked for


@dataclass(frozen=True)
class Picture:
    """A picture in the page.

    Arguments:
        source: a `data:` URI.
        width, height: its size in pixels.
        alt: what it shows, in words.
    """

    source: str
    width: int
    height: int
    alt: str


class Album:
    """Takes pictures in until the page would be too large.

    Arguments:
        budget: how many bytes of the page all pictures together may take.
    """

    def __init__(self, budget: int) -> None:
        self._left, self._missed = budget, 0
        self.left_out: list[str] = []

    def take(
        self,
        run: Run,
        file: str,
        alt: str,
        samples: int | None = None,
        box: tuple[int, int, int, int] | None = None,
    ) -> Picture | None:
        """A picture of a run; None where it cannot be read, and where it is left out because the page is full.

        Arguments:
            run: the run.
            file: the picture below its folder.
            alt: what it shows.
            samples: how many of its samples are shown; None for all.
            box: left, top, right and bottom of the part that is shown; None for all of it.
        """
        image = None if self._missed >= _FULL else _opened(run, file)
        if image is None:
            if self._missed >= _FULL:
                self.left_out.append(f"{run.path.name}/{file}")
            return None
        if box is not None:
            left, top, right, bottom = box
            if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
                return None
            image = image.crop(box)
        if samples is not None:
            image = first_samples(image, samples)
        source = f"data:image/webp;base64,{base64.b64encode(_packed(image)).decode()}"
        if len(source) > self._left:
            self.left_out.append(f"{run.path.name}/{file}")
            self._missed += 1
            return None
        self._left -= len(source)
        return Picture(source, image.width, image.height, alt)


def _opened(run: Run, file: str) -> Image.Image | None:
    """The picture in a file of the run's own folder; None where there is none."""
    path = run.path / file
    try:
        if not path.resolve().is_relative_to(run.path.resolve()) or path.stat().st_size > _LARGEST:
            return None
        with Image.open(path, formats=("PNG",)) as image:
            if image.width * image.height > _LARGEST:
                return None
            image.load()
            return image.convert("L" if image.mode in ("1", "L", "I;16") else "RGB")
    except (
        OSError,
        RuntimeError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
    ):  # a link to itself is the second
        return None


def _packed(image: Image.Image) -> bytes:
    """The picture without loss, in as few bytes as browsers can read."""
    packed = io.BytesIO()
    image.save(packed, "WEBP", lossless=True, quality=60, method=2)
    return packed.getvalue()
