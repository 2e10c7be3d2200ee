"""A model mapping as YAML text, the way a person writes it: one layer a line, composites as indented lists."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

# Texts that need no quotes: words that begin with a letter and hold nothing that YAML could take for its own.
_PLAIN = re.compile(r"\$?[A-Za-z_](?:[\w.*/+-]| (?=[\w(]))*", re.ASCII)
_REFERENCE = re.compile(r"\$\{[\w.@]+\}", re.ASCII)
# Words that one reader of YAML or another takes for a truth value, for nothing or for a number.
_WORDS = frozenset(["true", "false", "yes", "no", "on", "off", "y", "n", "null", "none", "nan", "inf", "infinity"])
_IN_BLOCKS = frozenset(("layers", "branches", "blocks"))


def text(model: Mapping[str, Any], comment: str = "") -> str:
    """YAML text that reads back as exactly this mapping.

    Arguments:
        model: a model mapping of plain values; floats are numbers.
        comment: what stands above it; every line becomes a comment.

    Returns:
        the comment, then the author's variables, then the layers.
    """
    above = [f"# {line}".rstrip() for line in comment.splitlines()]
    order = sorted(model, key=lambda key: ("blocks", "layers", "init", "freeze").index(key) + 1 if key in _OWN else 0)
    body = list(_mapping({key: model[key] for key in order})) if model else ["{}"]
    return "\n".join([*above, *body, ""])


_OWN = ("blocks", "layers", "init", "freeze")


def _mapping(values: Mapping[Any, Any]) -> Iterator[str]:
    """The lines of a mapping in block style."""
    for key, value in values.items():
        name = scalar(key)
        if _is_flat(key, value):
            yield f"{name}: {_flow(value) if isinstance(value, (Mapping, list, tuple)) else scalar(value, block=True)}"
        else:
            yield f"{name}:"
            yield from (f"  {line}" for line in _block(value))


def _sequence(values: list[Any] | tuple[Any, ...]) -> Iterator[str]:
    """The lines of a list in block style; what stands inside an item is indented below its dash."""
    for value in values:
        nested = isinstance(value, (Mapping, list, tuple)) and bool(value)
        if nested and (not isinstance(value, Mapping) or not _is_flat("", value)):
            first, *others = _block(value)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)
        else:
            yield f"- {_flow(value) if isinstance(value, (Mapping, list, tuple)) else scalar(value, block=True)}"


def _block(value: Any) -> Iterator[str]:
    return _mapping(value) if isinstance(value, Mapping) else _sequence(value)


def _is_flat(key: Any, value: Any) -> bool:
    """Whether a value goes on the line of its key: everything but lists of layers and what holds such lists."""
    if not isinstance(value, (Mapping, list, tuple)) or not value:
        return True
    if key in _IN_BLOCKS:
        return False
    if isinstance(value, Mapping):
        return all(_is_flat(k, v) for k, v in value.items())
    return not any(isinstance(v, Mapping) for v in value) and all(_is_flat("", v) for v in value)


def _flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return scalar(value)


def scalar(value: Any, block: bool = False) -> str:
    """One value; a reference such as `${data.num_classes}` needs quotes inside braces, and none in block style."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, int):
        return str(value)
    words = str(value)
    plain = _PLAIN.fullmatch(words) and words.lower() not in _WORDS
    if plain or (block and _REFERENCE.fullmatch(words)):
        return words
    quoted: str = yaml.dump(words, default_style='"', allow_unicode=True, width=math.inf)
    return quoted.removesuffix("\n")


def _number(value: float) -> str:
    """A float that PyYAML and OmegaConf read as the same number: with a point, and a sign in its exponent."""
    if math.isinf(value):
        return "-.inf" if value < 0 else ".inf"
    digits, exponent, power = repr(value).partition("e")
    if not exponent:
        return digits
    return f"{digits if '.' in digits else digits + '.0'}e{power[0]}{power[1:].lstrip('0')}"
