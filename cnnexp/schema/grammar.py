"""The grammar of components as JSON Schema: a name, or a mapping with `type` and that type's parameters."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from cnnexp.architecture.explain.formulas import meaning, summary
from cnnexp.components import Component
from cnnexp.schema.values import Schema, of_parameter


def ref(name: str) -> Schema:
    """A reference to a definition."""
    return {"$ref": f"#/definitions/{name}"}


def line(content: Any) -> str:
    """Anything as JSON in one line."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def choice(names: Mapping[str, str]) -> list[Schema]:
    """Names for an editor to offer, each with what it does, and anything else."""
    return [*({"const": name, **_words(words)} for name, words in names.items()), {}]


def when(name: str) -> Schema:
    """What holds for mappings whose type is this one: the definition of that name."""
    return {"if": {"type": "object", "required": ["type"], "properties": {"type": {"const": name}}}, "then": ref(name)}


def required(component: Component, left_out: Collection[str] = ()) -> list[str]:
    """The parameters that a mapping of this type must have, but for those that may be left out."""
    return [name for name, p in component.parameters.items() if p.required and name not in left_out]


def layer(component: Component, inside: Mapping[str, Schema], required: Collection[str]) -> Schema:
    """A mapping that is held to a layer type, with what its keys mean.

    Arguments:
        component: the type.
        inside: what it takes beside the type's parameters, by key.
        required: the keys that must be given.
    """
    found = held(component, inside, required)
    described = {k: {**_words(meaning(component.name, k)), **v} for k, v in found["properties"].items()}
    return {**_words(summary(component.name)), **found, "properties": described}


def held(component: Component, inside: Mapping[str, Schema], required: Collection[str]) -> Schema:
    """A mapping that is held to the parameters of its type."""
    own = {name: of_parameter(parameter) for name, parameter in component.parameters.items()}
    found: Schema = {"properties": {"type": {}, **inside, **own}}
    if required:
        found["required"] = list(required)
    return found if component.takes_anything else {**found, "additionalProperties": False}


def offered(component: Component) -> Schema:
    """What an editor can say of a mapping of this type, holding it to nothing."""
    words = {name: _words(meaning(component.name, name)) for name in component.parameters}
    return {**_words(summary(component.name)), "properties": words}


def _words(text: str) -> Schema:
    return {"description": text} if text else {}


def shared(types: Mapping[str, Schema]) -> Schema:
    """The parameters that several types have alike, named after the first of them; in the types, references."""
    forms = Counter(line(content) for kind in types.values() for content in kind["properties"].values() if content)
    found: dict[str, tuple[str, Any]] = {}
    for kind, definition in types.items():
        for key, content in definition["properties"].items():
            form = line(content)
            if forms[form] > 1:
                place, _ = found.setdefault(form, (f"{kind}.{key}", content))
                definition["properties"][key] = ref(place)
    return dict(found.values())
