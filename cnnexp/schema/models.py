"""JSON Schemas (draft-07) of a model file and of a file of blocks, made from the catalogue.

An editor must not call something wrong that is right, so that the schemas are strict only where they can be sure:

- An entry whose `type` is spelt as in the library, and whose name no block can take (torch.nn, the language's own
  types, composites), is held to that type's parameters, their types, ranges and choices.
- Any other name may be a block, an extension or another spelling (case and underscores do not count), and passes with
  whatever it is given. torchvision's types and extensions, whose names a block can take, are offered all the same.
- A text with `${…}` in it, a `$name` and `???` may stand for any value. So may what YAML 1.1 reads as a number or a
  truth value and YAML 1.2, which editors speak, as a text: `1_000`, `no`.

What stands in a block is held to the same, whether or not the block is used. What needs more than one value to be seen
(shapes, rules between parameters, names that are taken) is left to `check`.
"""

from __future__ import annotations

import json
from importlib.metadata import version

from cnnexp.architecture.advice import RULES
from cnnexp.architecture.initialize import INITIALISERS
from cnnexp.schema import entries
from cnnexp.schema.grammar import choice, held, line, ref, required, shared, when
from cnnexp.schema.values import OPEN, Schema

MODEL_FILE = "model.schema.json"
"""The name under which a model's schema lies in the folder of configs."""

_DRAFT = "http://json-schema.org/draft-07/schema#"
_WORD = r"[A-Za-z_][^ -/:-@\[-^`{-~]*$"  # as lenient about letters as Python, in words that JavaScript knows
_MAPPING_OR_OPEN: Schema = {
    "type": ["object", "null", "string"],
    "pattern": OPEN,
}
_PATTERNS: Schema = {
    "type": ["array", "string"],
    "errorMessage": "must be a layer type, a name or a list of them",
    "items": {"type": "string", "minLength": 1},
    "minLength": 1,
}
_EXTENDS: Schema = {
    "required": ["defaults"],
    "properties": {
        "defaults": {
            "contains": {
                "type": ["string", "object"],
                "not": {"const": "_self_"},
                "propertyNames": {"not": {"pattern": "^override |blocks"}},
            }
        }
    },
}
"""A file that starts from another model, which may hold the layers."""


def of_model() -> Schema:
    """The schema of a model file."""
    whole = {"required": ["layers"]}
    return {
        **_head("A network of cnnexp"),
        "type": "object",
        "properties": {
            "defaults": ref("defaults"),
            "layers": ref("entries"),
            "blocks": ref("blocks"),
            "init": ref("init"),
            "freeze": {
                "description": "what does not learn: layer types, or dotted names with * for any text",
                **_PATTERNS,
                "type": ["array", "string", "null"],
            },
            "no_advice": {
                "description": "codes of advice that this model does not want",
                "type": ["array", "string", "null"],
                "pattern": OPEN,
                "errorMessage": "must be a list of codes",
                "items": {"type": "string", "anyOf": choice({code: rule.why for code, rule in RULES.items()})},
            },
        },
        "allOf": [
            {"if": _EXTENDS, "else": whole},
            {"if": {"required": ["defaults"]}, "else": {"properties": {"blocks": {"additionalProperties": whole}}}},
        ],
        "definitions": _definitions(),
    }


def of_blocks() -> Schema:
    """The schema of a file of shared blocks: a part of the model's schema, which must lie beside it as `MODEL_FILE`."""
    return {**_head("Blocks of cnnexp"), "allOf": [{"$ref": f"{MODEL_FILE}#/definitions/blocks_file"}]}


def text(schema: Schema) -> str:
    """A schema as it stands in a file: one line for every definition."""
    lines = [f"{json.dumps(key)}: {line(content)}" for key, content in schema.items() if key != "definitions"]
    if definitions := schema.get("definitions"):
        rows = ",\n".join(f"  {json.dumps(key)}: {line(content)}" for key, content in definitions.items())
        lines.append(f'"definitions": {{\n{rows}\n}}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _head(title: str) -> Schema:
    made = f"made with torch {version('torch')} and torchvision {version('torchvision')}"
    return {"$schema": _DRAFT, "$comment": made, "title": title}


def _definitions() -> Schema:
    around = {**_files(), "init": _init(), "initialiser": _initialiser()}
    drawn = {name: held(component, {}, required(component)) for name, component in INITIALISERS.entries.items()}
    types = {**entries.types(), **drawn}
    parameters = shared(types)
    return {**around, **entries.frame(), **types, **parameters}


def _init() -> Schema:
    rule = {
        "type": ["object", "null", "string"],
        "pattern": OPEN,
        "errorMessage": "must be a mapping with 'match' and a weight, or with 'from'",
        "properties": {
            "match": {
                "description": "a layer type, or a dotted name with * for any text; or a list of them",
                **_PATTERNS,
            },
            "from": {"description": "the file or the folder of a run that holds the weights", "type": "string"},
            "weight": {"description": "how the weights are drawn", "allOf": [ref("initialiser")]},
            "bias": {"description": "how the biases are drawn", "allOf": [ref("initialiser")]},
        },
        "additionalProperties": ref("initialiser"),
        "if": {"type": "object", "required": ["from"]},
        "else": {"required": ["match"], "minProperties": 2},
    }
    return {
        "description": "rules for the first values of weights; the last one that matches counts",
        "type": ["array", "null", "string"],
        "pattern": OPEN,
        "errorMessage": "must be a list of rules",
        "items": rule,
    }


def _initialiser() -> Schema:
    names = dict.fromkeys(INITIALISERS.entries, "")
    needy = [name for name, component in INITIALISERS.entries.items() if required(component)]
    return {
        "description": "a function of torch.nn.init, or a mapping with the type and its parameters",
        "type": ["object", "string"],
        "required": ["type"],
        "properties": {"type": {"type": "string", "anyOf": choice(names)}},
        "if": {"enum": needy},
        "then": {"type": "object", "errorMessage": "this one has parameters that must be given: {type: …, …}"},
        "anyOf": choice({name: "" for name in names if name not in needy}),
        "allOf": [when(name) for name in names],
    }


def _files() -> Schema:
    """What stands around the entries."""
    parameters = {
        "description": "the parameters with their defaults; ??? where every user must give the value",
        **_MAPPING_OR_OPEN,
        "propertyNames": {"pattern": rf"^(?!(type|name)$){_WORD}", "errorMessage": "cannot be the name of a parameter"},
    }
    layers = {"description": "the layers; $name stands for a parameter", **entries.LIST, "items": ref("entry")}
    return {
        "defaults": {
            "description": "files that this one builds on: shared blocks, another data set or task",
            "type": "array",
            "items": {"type": ["string", "object"], "minProperties": 1, "maxProperties": 1},
        },
        "blocks": {
            "description": "pieces of a network that layers use like types",
            **_MAPPING_OR_OPEN,
            **_named("^"),
        },
        "blocks_file": {
            "type": "object",
            "properties": {"defaults": ref("defaults")},
            **_named("^(?!defaults$)"),
        },
        "block": {
            **_MAPPING_OR_OPEN,
            "properties": {"params": parameters, "layers": layers},
            "additionalProperties": False,
            "errorMessage": "a block is a mapping with params and layers, and no other keys",
        },
    }


def _named(start: str) -> Schema:
    """Blocks by their names, which begin like this."""
    nameless = {"type": "null", "errorMessage": "a block's name must be a word of letters, digits and underscores"}
    return {"patternProperties": {f"{start}{_WORD}": ref("block")}, "additionalProperties": nameless}
