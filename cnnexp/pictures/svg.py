"""A scene as SVG: one file that needs nothing else, follows dark surroundings and runs no script."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

from cnnexp.pictures.palette import DARK, FONT, LIGHT, Style
from cnnexp.pictures.scene import Box, Path, Scene, Shape, Words

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def paint(scene: Scene) -> str:
    """The text of an SVG file."""
    return document(scene, "", "".join(map(element, scene.shapes)), scene.shapes)


def document(scene: Scene, rules: str, body: str, shapes: Iterable[Shape]) -> str:
    """The text of an SVG file around elements that are made already.

    Arguments:
        scene: size, title and description.
        rules: further CSS.
        body: the elements.
        shapes: everything that is in the body, for the styles that it needs.
    """
    used = {"background", *(shape.style for shape in shapes)}
    size = f"{_number(scene.width)} {_number(scene.height)}"
    across, down = size.split()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{across}" height="{down}" viewBox="0 0 {size}"'
        f' role="img" aria-labelledby="title description">\n'
        f'<title id="title">{_text(scene.title)}</title>\n'
        f'<desc id="description">{_text(scene.description)}</desc>\n'
        f"<style>\n{_sheet(used)}{rules}</style>\n"
        f'<rect class="background" width="{across}" height="{down}"/>\n{body}</svg>\n'
    )


def _sheet(used: set[str]) -> str:
    """The CSS of the styles that are used."""
    lines = [f"text{{font-family:{FONT};font-size:11px;white-space:pre}}", ".b{font-weight:600}"]
    lines += [".m{text-anchor:middle}", ".e{text-anchor:end}", "path,rect{stroke-linejoin:round}"]
    lines += [_rule(name, LIGHT[name]) for name in sorted(used)]
    dark = [_rule(name, DARK[name]) for name in sorted(used) if DARK[name] != LIGHT[name]]
    return "\n".join([*lines, "@media (prefers-color-scheme: dark){", *dark, "}"]) + "\n"


def _rule(name: str, style: Style) -> str:
    parts = [f"fill:{style.fill or 'none'}"]
    if style.stroke:
        parts += [f"stroke:{style.stroke}", f"stroke-width:{_number(style.width)}"]
    if style.dash:
        parts.append(f"stroke-dasharray:{' '.join(map(_number, style.dash))}")
    return f".{name}{{{';'.join(parts)}}}"


def element(shape: Shape) -> str:
    """A shape as an element, on a line of its own."""
    if isinstance(shape, Box):
        places = (
            ("x", shape.x),
            ("y", shape.y),
            ("width", shape.width),
            ("height", shape.height),
            ("rx", shape.radius),
        )
        numbers = " ".join(f'{name}="{_number(value)}"' for name, value in places if value or name != "rx")
        tip = f"><title>{_text(shape.tip)}</title></rect>" if shape.tip else "/>"
        return f'<rect class="{shape.style}" {numbers}{tip}\n'
    if isinstance(shape, Path):
        points = "L".join(f"{_number(x)} {_number(y)}" for x, y in shape.points)
        return f'<path class="{shape.style}" d="M{points}{"Z" if shape.closed else ""}"/>\n'
    return _words(shape)


def _words(words: Words) -> str:
    names = [words.style, *(["b"] if words.bold else []), *({"middle": ["m"], "end": ["e"]}.get(words.anchor, []))]
    size = f' style="font-size:{_number(words.size)}px"' if words.size != 11 else ""
    place = f'x="{_number(words.x)}" y="{_number(words.y)}"'
    return f"<text class={quoteattr(' '.join(names))} {place}{size}>{_text(words.text)}</text>\n"


def _text(text: str) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", text))


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
