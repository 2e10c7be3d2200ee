"""Python's type annotations and our value rules as JSON Schema: what YAML values fit a parameter.

What `kinds.fits` and `Rule.complaint` accept is accepted here; where JSON Schema cannot say as much, it accepts more.
"""

from __future__ import annotations

import collections.abc
import math
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from cnnexp import kinds
from cnnexp.components import Parameter
from cnnexp.kinds import Rule

Schema = dict[str, Any]

OPEN = r"^\$|\$\{|^\?{3}$"
"""Texts that stand for another value: a `$name`, one with a `${…}` in it, and `???`."""

_OLD_TRUTH = r"^([Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF)$"
_OLD_NUMBER = r"^[-+]?(\d[\d.]*[_:eE]|0b)"
_UNIONS = (Union, types.UnionType)
_LISTS = (tuple, list, collections.abc.Sequence, collections.abc.Iterable)
_PLAIN: Mapping[Any, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    None: "null",
    type(None): "null",
}
_ANYTHING = ("array", "boolean", "null", "number", "string")


def of_parameter(parameter: Parameter) -> Schema:
    """The values that a parameter takes, with its default where JSON can hold it."""
    found = value(parameter.annotation, parameter.rule, nullable=parameter.default is None)
    default = parameter.default
    return {**found, "default": _jsonable(default)} if _is_jsonable(default) else found


def value(annotation: Any, rule: Rule, nullable: bool = False) -> Schema:
    """The values that fit an annotation and keep a rule, or that stand for another value.

    Arguments:
        annotation: the annotation as `get_type_hints` gives it.
        rule: the range or the choices.
        nullable: whether null is taken whatever the annotation says, as where it is the default.
    """
    forms = [*_forms(annotation, rule), *([{"type": "null"}] if nullable else [])]
    forms = [form for index, form in enumerate(forms) if form not in forms[:index]]
    if any(form["type"] == list(_ANYTHING) for form in forms if "type" in form):
        return forms[0]
    wanted = kinds.describe(annotation).replace("a text", " or ".join(rule.choices) or "a text")
    named = {} if wanted == "a value" else {"errorMessage": f"must be {wanted}"}
    single = [form["type"] for form in forms if "type" in form]
    standing = {"type": "string", "pattern": "|".join([OPEN, *_older(single)])}
    if "string" not in single:
        forms = [*forms, standing]
    if len({*single, "string"}) < len(forms):  # choices, or lists of several kinds: no one set of keywords holds them
        return {"anyOf": forms, **named}
    merged = {key: content for form in forms for key, content in form.items() if key != "type"}
    return {"type": sorted({form["type"] for form in forms}), **merged, **named}


def _older(wanted: Iterable[str]) -> list[str]:
    """What YAML 1.1, which we read, takes for truth values or numbers, and YAML 1.2, which editors read, for texts."""
    found = set(wanted)
    truth = [_OLD_TRUTH] if "boolean" in found else []
    return [*truth, *([_OLD_NUMBER] if found & {"integer", "number"} else [])]


def _forms(annotation: Any, rule: Rule) -> list[Schema]:
    """The alternatives of an annotation, each of one JSON type or a choice."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is Any or isinstance(annotation, TypeVar):
        return [{"type": list(_ANYTHING)}]
    if origin in _UNIONS:
        return [form for option in args for form in _forms(option, rule)]
    if origin is Literal:
        return [{"enum": [a for a in args if not isinstance(a, str) or a in (rule.choices or [a])]}]
    if annotation is str and rule.choices:
        return [{"enum": list(rule.choices)}]
    if annotation in (int, float):
        return [{"type": _PLAIN[annotation], **_bounds(rule)}]
    if annotation in _PLAIN:
        return [{"type": _PLAIN[annotation]}]
    if origin is collections.abc.Mapping:
        return [{"type": "object"}]
    if _is_torchs(annotation, "Tensor"):
        return [{"type": "array"}]
    if _is_torchs(annotation, "Size"):
        return [{"type": "array", "items": value(int, rule)}]
    if origin in _LISTS or annotation in _LISTS:
        return [_list(origin, args, rule)]
    return []  # YAML cannot hold it


def _bounds(rule: Rule) -> Schema:
    bounds = {
        "minimum": rule.least,
        "maximum": rule.most,
        "exclusiveMinimum": rule.above,
        "exclusiveMaximum": rule.below,
    }
    return {key: bound for key, bound in bounds.items() if bound is not None}


def _list(origin: Any, args: tuple[Any, ...], rule: Rule) -> Schema:
    if not args:
        return {"type": "array"}
    if origin is not tuple or args[-1] is Ellipsis:
        return {"type": "array", "items": value(args[0], rule)}
    alike = all(a == args[0] for a in args)
    items = value(args[0], rule) if alike else [value(a, rule) for a in args]
    return {"type": "array", "items": items, "minItems": len(args), "maxItems": len(args)}


def _is_torchs(annotation: Any, name: str) -> bool:
    return getattr(annotation, "__module__", "").startswith("torch") and getattr(annotation, "__name__", "") == name


def _is_jsonable(default: Any) -> bool:
    if isinstance(default, (tuple, list)):
        return all(map(_is_jsonable, default))
    if isinstance(default, float):
        return math.isfinite(default)
    return default is None or isinstance(default, (bool, int, str))


def _jsonable(default: Any) -> Any:
    return [_jsonable(v) for v in default] if isinstance(default, (tuple, list)) else default
