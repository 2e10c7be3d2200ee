"""How wide texts are, and which letters Pillow's own font lacks."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache

from PIL import ImageFont

_SLACK = 1.14
"""A browser may have no font but a wide one, such as DejaVu Sans."""

STROKES: dict[str, tuple[float, tuple[tuple[tuple[float, float], ...], ...]]] = {
    "×": (0.56, (((0.10, 0.14), (0.46, 0.50)), ((0.10, 0.50), (0.46, 0.14)))),
    "−": (0.56, (((0.08, 0.32), (0.48, 0.32)),)),
    "–": (0.50, (((0.04, 0.30), (0.46, 0.30)),)),
    "→": (0.80, (((0.06, 0.32), (0.72, 0.32)), ((0.52, 0.48), (0.72, 0.32), (0.52, 0.16)))),
    "⌊": (0.30, (((0.08, 0.75), (0.08, -0.12), (0.26, -0.12)),)),
    "⌋": (0.30, (((0.22, 0.75), (0.22, -0.12), (0.04, -0.12)),)),
    "⌈": (0.30, (((0.08, -0.12), (0.08, 0.75), (0.26, 0.75)),)),
    "⌉": (0.30, (((0.22, -0.12), (0.22, 0.75), (0.04, 0.75)),)),
    "∞": (0.84, (((0.42, 0.32), (0.30, 0.46), (0.16, 0.46), (0.08, 0.32), (0.16, 0.18), (0.30, 0.18), (0.42, 0.32),
                  (0.54, 0.46), (0.68, 0.46), (0.76, 0.32), (0.68, 0.18), (0.54, 0.18), (0.42, 0.32)),)),
}  # fmt: skip
"""Signs that the font lacks and that pictures need: width and lines, in ems above the base line."""

_MISSING = ((0.08, 0.0), (0.08, 0.70), (0.52, 0.70), (0.52, 0.0), (0.08, 0.0))


@cache
def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font at a size in pixels."""
    return ImageFont.load_default(size)


@cache
def known(letter: str) -> bool:
    """Whether the font has a letter."""
    own = font(20)
    return letter.isspace() or bytes(own.getmask(letter)) != bytes(own.getmask("\uffff"))


@cache
def strokes(letter: str) -> tuple[float, tuple[tuple[tuple[float, float], ...], ...]]:
    """Width and lines, in ems, of a letter that the font lacks: a small box for one that is not known."""
    if letter in STROKES:
        return STROKES[letter]
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Cf", "Cc"):
        return 0.0, ()
    if unicodedata.east_asian_width(letter) in "WF":
        wide = tuple((x / 0.6, y) for x, y in _MISSING)
        return 1.0, (wide,)
    return 0.6, (_MISSING,)


def plain(text: str) -> str:
    """A text whose accented letters have lost their accents where the font lacks them."""
    return "".join(_plain(letter) for letter in text)


@cache
def _plain(letter: str) -> str:
    bare = unicodedata.normalize("NFKD", letter)[:1]
    return letter if known(letter) or letter in STROKES or not bare.isascii() else bare


@cache
def advance(letter: str) -> float:
    """How wide a letter is, in ems."""
    return float(font(100).getlength(letter)) / 100 if known(letter) else strokes(letter)[0]


@lru_cache(20_000)
def width(text: str, size: float, bold: bool = False) -> float:
    """How much room a text needs, in whatever font it may be set."""
    letters = max(sum(map(advance, plain(text))), 0.5 * sum(map(_is_asian, text)))
    return letters * size * _SLACK * (1.07 if bold else 1.0)


def _is_asian(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


def shortened(text: str, size: float, room: float, bold: bool = False) -> str:
    """The text, or its beginning and an ellipsis where there is no room for all of it."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    if width(text, size, bold) <= room:
        return text
    kept = text
    while kept and width(f"{kept}…", size, bold) > room:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


def wrapped(parts: list[str], size: float, room: float) -> list[str]:
    """Parts of a list as lines with commas between them, none wider than there is room."""
    lines: list[str] = []
    for part in parts:
        joined = f"{lines[-1]}, {part}" if lines else part
        if lines and width(f"{joined},", size) <= room:
            lines[-1] = joined
        else:
            lines[-1:] = [f"{lines[-1]},"] if lines else []
            lines.append(shortened(part, size, room))
    return lines
