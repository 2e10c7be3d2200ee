"""The entries of a stack as JSON Schema: layers, composites with what stands inside them, and uses of blocks."""

from __future__ import annotations

from collections.abc import Mapping

from cnnexp.architecture.catalog import LAYERS, inferable, wide
from cnnexp.architecture.composites import COMPOSITES, STRUCTURE
from cnnexp.architecture.explain.formulas import summary
from cnnexp.components import Component
from cnnexp.schema.grammar import choice, layer, offered, ref, required, when
from cnnexp.schema.values import OPEN, Schema

LIST: Schema = {"type": ["array", "string"], "pattern": OPEN, "errorMessage": "must be a list"}


def types() -> dict[str, Schema]:
    """Every type as a mapping. Where a block may have the name, it is held to nothing."""
    strict = _strict()
    return {
        name: layer(component, _inside(component), _required(component)) if name in strict else offered(component)
        for name, component in _known().items()
    }


def frame() -> Schema:
    """An entry, what it consists of, and the lists that hold entries."""
    known, strict = _known(), _strict()
    words = {name: summary(name) for name in known}
    needy = [name for name, component in strict.items() if _required(component)]
    return {
        "entry": {
            "description": "a type's name, or a mapping with the type and its parameters; null is left out",
            "type": ["object", "string", "null"],
            "errorMessage": "must be a type's name, or a mapping with 'type'",
            "required": ["type"],
            "properties": {"type": ref("type"), "name": ref("name")},
            "if": {"enum": needy},
            "then": {"type": "object", "errorMessage": "this type has parameters that must be given: {type: …, …}"},
            "anyOf": choice({name: text for name, text in words.items() if name not in needy}),
            "allOf": [when(name) for name in known],
        },
        "entries": {"description": "one layer after another", **LIST, "items": ref("entry"), "minItems": 1},
        "branch": {
            "description": "an entry, or a list of entries",
            "if": {"type": "array"},
            "then": {"items": ref("entry"), "minItems": 1},
            "else": ref("entry"),
        },
        "type": {
            "description": "a layer type, a composite or a block",
            "type": "string",
            "errorMessage": "must be the name of a type",
            "anyOf": choice(words),
        },
        "name": {
            "description": "the name of the child in the network, as in its state_dict(); its position when left out",
            "type": ["string", "null"],
            "pattern": rf"^[^.]*[^.0-9][^.]*$|{OPEN}",
            "errorMessage": "must be a text without dots, and no number",
        },
    }


def _strict() -> Mapping[str, Component]:
    """The types whose names no block can take."""
    return {**LAYERS.entries, **COMPOSITES.entries}


def _known() -> Mapping[str, Component]:
    return {**_strict(), **wide().entries}


def _required(component: Component) -> list[str]:
    """The keys without which an entry of this type is refused."""
    inside = [key for key in STRUCTURE.get(component.name, ()) if key != "shortcut"]
    return [*inside, *required(component, inferable(component))]


def _inside(component: Component) -> dict[str, Schema]:
    """The keys of an entry that are not parameters: its name, and what stands inside a composite."""
    kinds: Mapping[str, Schema] = {
        "layers": {"allOf": [ref("entries")]},
        "shortcut": {"allOf": [ref("branch")]},
        "branches": {**LIST, "items": ref("branch"), "minItems": 1},
        "pool": {"type": ["object", "string"], "allOf": [ref("entry")], "errorMessage": "must be a max pool"},
    }
    return {"name": {}, **{key: kinds[key] for key in STRUCTURE.get(component.name, ())}}
