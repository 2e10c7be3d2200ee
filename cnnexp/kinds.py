"""Values from YAML against Python's type annotations: do they fit, what is wanted, what was given.

YAML knows whole numbers, numbers, texts, true/false, null, lists and mappings; this module says in those words what a
signature asks for. A bool is never a number here, and a number is never a text.
"""

from __future__ import annotations

import collections.abc
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

_UNIONS = (Union, types.UnionType)
_SEQUENCES = (tuple, list, collections.abc.Sequence, collections.abc.Iterable)


@dataclass(frozen=True)
class Rule:
    """The range or the choices of a value, beyond its type; numbers inside a list are held to it one by one.

    Arguments:
        least: the smallest number that is allowed.
        most: the largest number that is allowed.
        above: the number that the value must exceed.
        below: the number that the value must not reach.
        choices: the texts that are allowed; numbers pass.
        share: whether a number with a fraction is a share of the whole, so that it must not exceed 1.
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    share: bool = False

    def complaint(self, value: Any) -> str | None:
        """What is wrong with `value`, as `must be …, not …`, or None."""
        if isinstance(value, (list, tuple)):
            broken = next((c for v in value if (c := self.complaint(v))), None)
            return broken and f"{broken.rsplit(', not ', 1)[0]}, not {shown(value)}"
        if isinstance(value, str):
            allowed = not self.choices or value in self.choices
            return None if allowed else f"must be one of {', '.join(self.choices)}, not {shown(value)}"
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        if bound := self._broken(value):
            return f"must be {bound}, not {shown(value)}"
        return None

    def _broken(self, value: float) -> str | None:
        """The bound that a number breaks, as `at least 1`, or None."""
        least, most, above, below = self.least, self.most, self.above, self.below
        if least is not None and most is not None and not least <= value <= most:
            return f"between {_bare(least)} and {_bare(most)}"
        if least is not None and not value >= least:
            return f"at least {_bare(least)}"
        if most is not None and not value <= most:
            return f"at most {_bare(most)}"
        if below is not None and not value < below:
            return f"less than {_bare(below)}"
        if above is not None and not value > above:
            return f"greater than {_bare(above)}"
        if self.share and value > 1 and not float(value).is_integer():
            return "a whole number, or a share between 0 and 1"
        return None


def _bare(bound: float) -> str:
    """A bound as people write it: without an exponent, and without a fraction where there is none."""
    return str(int(bound)) if float(bound).is_integer() else f"{bound:g}"


def unannotated(name: str, default: Any) -> Any:
    """The annotation of a parameter that has none: the type of its default, anything where that says nothing."""
    if name in ("dtype", "device"):
        return str
    return type(default) if isinstance(default, (bool, int, float, str)) else Any


def fits(value: Any, annotation: Any) -> bool:
    """Whether a plain YAML value can be passed for a parameter with this annotation."""
    origin = get_origin(annotation)
    if annotation is Any or isinstance(annotation, TypeVar):
        return value is None or isinstance(value, (bool, int, float, str, list, tuple))
    if origin in _UNIONS:
        return any(fits(value, option) for option in _worth_saying(annotation))
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in get_args(annotation))
    if annotation in (None, type(None)):
        return value is None
    if annotation is bool:
        return isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and _is_number(value)
    if annotation is str:
        return isinstance(value, str)
    if origin is collections.abc.Mapping:
        return isinstance(value, Mapping)
    if origin in _SEQUENCES or annotation in _SEQUENCES or _is_named(annotation, "Size"):
        return isinstance(value, (list, tuple)) and _items_fit(value, annotation)
    if _is_named(annotation, "Tensor"):
        return isinstance(value, (list, tuple)) and all(fits(v, float) or fits(v, annotation) for v in value)
    return False


def _is_number(value: int | float) -> bool:
    try:
        return not math.isnan(float(value))
    except OverflowError:  # a whole number beyond what a float can hold
        return False


def _items_fit(values: Any, annotation: Any) -> bool:
    if _is_named(annotation, "Size"):
        return all(fits(v, int) for v in values)
    args = get_args(annotation)
    if get_origin(annotation) is tuple and args and args[-1] is not Ellipsis:
        return len(values) == len(args) and all(map(fits, values, args))
    return not args or all(fits(v, args[0]) for v in values)


def _worth_saying(union: Any) -> list[Any]:
    """The options of a union; beside a number, a tensor or a whole number says nothing new."""
    options = list(get_args(union))
    plain = [o for o in options if not _is_named(o, "Tensor")] if {int, float} & set(options) else options
    return [o for o in plain if o is not int or float not in plain]


def describe(annotation: Any, plural: bool = False) -> str:
    """What an annotation asks for, in YAML's words: `a whole number or a list of 2 whole numbers`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in _UNIONS:
        options = [describe(a, plural) for a in _worth_saying(annotation) if expressible(a)]
        return " or ".join(dict.fromkeys(options)) or "something that YAML cannot hold"
    if origin is Literal:
        choices = list(dict.fromkeys(map(str, args)))
        return choices[0] if len(choices) == 1 else "one of " + ", ".join(choices)
    words: dict[Any, tuple[str, str]] = {
        bool: ("true or false",) * 2,
        int: ("a whole number", "whole numbers"),
        float: ("a number", "numbers"),
    }
    words |= {str: ("a text", "texts"), type(None): ("null", "null"), None: ("null", "null")}
    if annotation in words:
        return words[annotation][plural]
    if _is_named(annotation, "Size"):
        return "a list of whole numbers"
    if _is_named(annotation, "Tensor"):
        return "a list of numbers"
    if origin is collections.abc.Mapping:
        return "mappings" if plural else "a mapping"
    if annotation in _SEQUENCES:
        return "a list"
    if origin in _SEQUENCES:
        fixed = origin is tuple and args[-1] is not Ellipsis
        size = f"{len(args)} " if fixed and len(args) > 1 else "1 " if fixed else ""
        one = fixed and len(args) == 1
        return f"a list of {size}{describe(args[0], not one).removeprefix('a ')}"
    return "a value"


def expressible(annotation: Any) -> bool:
    """Whether YAML can hold a value for this annotation (it holds no functions, modules or other objects)."""
    origin = get_origin(annotation)
    if origin in _UNIONS:
        return any(expressible(a) and a is not type(None) for a in get_args(annotation))
    plain = (bool, int, float, str, type(None), Any)
    named = _is_named(annotation, "Size") or _is_named(annotation, "Tensor")
    if origin in _SEQUENCES:
        return all(expressible(a) for a in get_args(annotation) if a is not Ellipsis)
    held = named or origin in (Literal, collections.abc.Mapping)
    return annotation in plain or annotation in _SEQUENCES or held


def shown(value: Any) -> str:
    """How a message shows a value that was given: YAML's words, and short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        text = "[" + ", ".join(map(shown, value)) + "]"
        return text if len(text) <= 60 else f"a list of {len(value)}"
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:56]}…'"


def cure(value: Any, annotation: Any) -> str | None:
    """The hint for a quoted number or truth value: write it without the quotes."""
    wants_text = fits("x", annotation)
    if not isinstance(value, str) or wants_text:
        return None
    if value.lower() in ("true", "false", "yes", "no", "on", "off") and fits(True, annotation):
        return f"write {'true' if value.lower() in ('true', 'yes', 'on') else 'false'}, without quotes"
    try:
        number = float(value)
    except ValueError:
        return None
    bare = int(number) if number.is_integer() and "." not in value else number
    return f"write {value}, without quotes" if fits(bare, annotation) else None


def convert(value: Any) -> Any:
    """The value as a constructor wants it: lists become tuples, all the way down."""
    return tuple(map(convert, value)) if isinstance(value, (list, tuple)) else value


def _is_named(annotation: Any, name: str) -> bool:
    # Compared by name so that this module, which every command imports, never imports torch.
    return getattr(annotation, "__module__", "").startswith("torch") and getattr(annotation, "__name__", "") == name
