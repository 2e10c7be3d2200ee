"""How things look: a style for each name, for light and for dark surroundings.

The colours of the kinds of layers are Okabe and Ito's, which colour-blind people can tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"


@dataclass(frozen=True)
class Style:
    """A look.

    Arguments:
        fill, stroke: colours, or empty for none.
        width: of the stroke.
        dash: lengths of dashes and gaps; empty for a whole line.
    """

    fill: str = ""
    stroke: str = ""
    width: float = 1.0
    dash: tuple[float, ...] = ()


KINDS: Mapping[str, str] = {
    "convolution": "#3a86c8",
    "pool": "#d55e00",
    "activation": "#12a07a",
    "normalisation": "#f0d53c",
    "linear": "#cc79a7",
    "reshape": "#9097a3",
    "resize": "#e69f00",
    "dropout": "#7cc4ee",
    "other": "#7b6ba8",
    "data": "#c9ced6",
}
"""The kinds of layers and their colours."""


def _mixed(colour: str, other: str, share: float) -> str:
    pairs = [(int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _faces(line: str) -> dict[str, Style]:
    """Front, top and side of the boxes of every kind."""
    found = {}
    for kind, colour in KINDS.items():
        dash = (3.0, 2.0) if kind == "dropout" else ()
        edge = _mixed(colour, line, 0.55)
        found[kind] = Style(colour, edge, 1.0, dash)
        found[f"{kind}-top"] = Style(_mixed(colour, "#ffffff", 0.4), edge, 1.0, dash)
        found[f"{kind}-side"] = Style(_mixed(colour, "#000000", 0.22), edge, 1.0, dash)
    return found


_CELLS = {
    "hit": Style("transparent"),
    "window-cell": Style("#ffd166", "#8a6d1f"),
    "window-pad": Style("#ffe9b3", "#8a6d1f", 1.0, (3.0, 2.0)),
    "window": Style("", "#d1495b", 3.0),
    "source": Style("", "#7b3fa0", 3.0),
    "done": Style("#bfe3d6", "#3d8b74"),
    "now": Style("#12a07a", "#0b5f49"),
    "stamp-1": Style("#d5ecf9", "#4a90b8"),
    "stamp-2": Style("#a5d3ee", "#3a7ca5"),
    "stamp-3": Style("#6db5e0", "#2a658a"),
    "stamp-4": Style("#3a93cc", "#1d4c69"),
    "on-cell": Style("#1b1f24"),
    "on-now": Style("#ffffff"),
}

LIGHT: Mapping[str, Style] = {
    **_faces("#20242a"),
    **_CELLS,
    "background": Style("#ffffff"),
    "ink": Style("#1b1f24"),
    "muted": Style("#59636e"),
    "frame-0": Style("#f6f8fa", "#c3cad3"),
    "frame-1": Style("#ffffff", "#c3cad3"),
    "copies": Style("#e9edf2", "#c3cad3"),
    "flow": Style("", "#59636e", 1.5),
    "flow-head": Style("#59636e"),
    "skip": Style("", "#b5541c", 1.8),
    "skip-head": Style("#b5541c"),
    "places": Style("", "#7b3fa0", 1.6, (5.0, 3.0)),
    "places-head": Style("#7b3fa0"),
    "node": Style("#ffffff", "#59636e", 1.5),
    "cell": Style("#f6f8fa", "#aab2bd"),
    "pad": Style("#eceff3", "#aab2bd", 1.0, (3.0, 2.0)),
    "beyond": Style("#ffffff", "#d0d6dd", 1.0, (2.0, 3.0)),
    "edge": Style("", "#1b1f24", 2.0),
    "empty": Style("#ffffff", "#aab2bd"),
}

DARK: Mapping[str, Style] = {
    **LIGHT,
    **_faces("#000000"),
    "background": Style("#0f1318"),
    "ink": Style("#e8ecf1"),
    "muted": Style("#a0aab6"),
    "frame-0": Style("#171c23", "#414a56"),
    "frame-1": Style("#1e242d", "#414a56"),
    "copies": Style("#262d37", "#414a56"),
    "flow": Style("", "#a0aab6", 1.5),
    "flow-head": Style("#a0aab6"),
    "skip": Style("", "#f0955a", 1.8),
    "skip-head": Style("#f0955a"),
    "places": Style("", "#c08be0", 1.6, (5.0, 3.0)),
    "places-head": Style("#c08be0"),
    "node": Style("#0f1318", "#a0aab6", 1.5),
    "cell": Style("#1e242d", "#566070"),
    "pad": Style("#151a20", "#566070", 1.0, (3.0, 2.0)),
    "beyond": Style("#0f1318", "#3a424e", 1.0, (2.0, 3.0)),
    "edge": Style("", "#e8ecf1", 2.0),
    "empty": Style("#0f1318", "#566070"),
    "source": Style("", "#c08be0", 3.0),
}
