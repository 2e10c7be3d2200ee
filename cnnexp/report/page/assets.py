"""What the page brings along: its style, its scripts and plotly, packed so that the page stays small."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any

from markupsafe import Markup

_HERE = resources.files("cnnexp.report.page")
_SCRIPTS = ("theme.js", "page.js")
TURNS = {code: f"\\u{code:04x}" for code in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""The characters that turn the direction of all that follows, as texts that show them."""
_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"} | {c: f"\\{text}" for c, text in TURNS.items()}


@cache
def style() -> Markup:
    """The style sheet."""
    return Markup(_read("page.css"))  # noqa: S704  # our own file


@cache
def script(name: str) -> Markup:
    """A script of the page, `theme.js` or `page.js`."""
    return Markup(_read(name))  # noqa: S704  # our own file


@cache
def plotly() -> Markup:
    """plotly.js, compressed; the page unpacks it."""
    packed = gzip.compress(_plotly(), compresslevel=9, mtime=0)
    return Markup(base64.b64encode(packed).decode())  # noqa: S704  # base64


@cache
def policy(figures: bool) -> str:
    """The page's Content-Security-Policy: nothing from outside, and no script but these.

    Arguments:
        figures: whether plotly may run.
    """
    allowed = [_hash(script(name).encode()) for name in _SCRIPTS]
    if figures:
        allowed.append(_hash(_plotly()))
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(allowed),
        "style-src": "'unsafe-inline'",  # plotly writes styles of its own
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def data(values: Any) -> Markup:
    """Plain data as JSON that may stand inside a script element, whatever texts it holds."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_ESCAPED))  # noqa: S704  # nothing in it can end the element


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _plotly() -> bytes:
    return (resources.files("plotly") / "package_data" / "plotly.min.js").read_bytes()


def _hash(content: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"
