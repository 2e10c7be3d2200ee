"""Numbers and texts as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cnnexp.report.ranking import as_number

NONE = "–"
_UNITS = ("", "k", "M", "G", "T")


def mapping(value: Any) -> Mapping[str, Any]:
    """The value where it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def number(value: float | None) -> str:
    """Four places, or four digits and an exponent where that would say nothing."""
    if value is None:
        return NONE
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"
    return text.replace("-", "−", 1) if value < 0 else text


def size(value: float | None) -> str:
    """A difference without its sign, to four places wherever that says something."""
    if value is None:
        return NONE
    return f"{abs(value):.4f}" if value == 0 or 5e-5 <= abs(value) < 1e5 else number(abs(value))


def signed(value: float | None) -> str:
    """A difference with its sign."""
    return NONE if value is None else f"{'−' if value < 0 else '+'}{size(value)}"


def count(value: int | None) -> str:
    """A whole number with its thousands apart."""
    return NONE if value is None else f"{value:,}"


def short(value: float | None) -> str:
    """A count as `1.2 M`."""
    shown, power = as_number(value), 0
    if shown is None:
        return NONE
    while abs(shown) >= 999.5 and power < len(_UNITS) - 1:
        shown, power = shown / 1000, power + 1
    return f"{shown:.1f} {_UNITS[power]}" if power else f"{shown:.4g}"


def percent(value: float | None) -> str:
    """A share of one, in percent."""
    return NONE if value is None else f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def duration(seconds: float | None) -> str:
    """A time as `12.3 s`, `3 min 20 s` or `2 h 05 min`."""
    if seconds is None:
        return NONE
    if seconds < 100:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02} s" if whole < 3600 else f"{whole // 3600} h {whole // 60 % 60:02} min"


def probability(p: float | None) -> str:
    """A p-value."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def moment(text: Any) -> str:
    """A moment as `2026-03-04 12:00:00`; what is none as it stands."""
    try:
        return f"{datetime.fromisoformat(str(text)):%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return str(text)


def words(name: str) -> str:
    """The name of a metric in words."""
    return name.replace("_", " ")


def distinct(texts: Sequence[str], length: int = 40) -> list[str]:
    """Texts cut short for an axis, which draws what is called alike at one place; those are numbered."""
    short = [clipped(text, length) for text in texts]
    return [text if short.count(text) == 1 else f"{text} ({i})" for i, text in enumerate(short, start=1)]


def clipped(text: str, length: int = 40) -> str:
    """The text, cut short where it is too long for a label."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
