"""The plain `model` mapping of a config becomes a frozen Stack; every problem in it is collected, none is raised."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cnnexp import kinds
from cnnexp.architecture.advice import unknown_codes
from cnnexp.architecture.blocks import Scope, Written, define
from cnnexp.architecture.catalog import LAYERS
from cnnexp.architecture.composites import COMPOSITES, MOST
from cnnexp.architecture.entries import Reader
from cnnexp.architecture.initialize import parse_freeze, parse_init
from cnnexp.architecture.stack import Stack
from cnnexp.errors import Path, Problem, closest, normalised

_LANGUAGE = ("blocks", "init", "freeze")


def parse(model: Any) -> tuple[Stack, list[Problem]]:
    """Read a model mapping into a Stack.

    Arguments:
        model: plain data, with the list `layers` and any variables of the author's.

    Returns:
        the stack up to the first layer that cannot be understood, and all problems of all layers.
    """
    nothing = Stack((), whole=False)
    if not isinstance(model, Mapping):
        return nothing, [
            Problem("not-a-mapping", (), f"a model must be a mapping with a list 'layers', not {kinds.shown(model)}")
        ]
    types = {normalised(name): name for name in (*LAYERS.entries, *COMPOSITES.entries)}
    blocks, problems = define(model.get("blocks"), types)
    init, ill = parse_init(model.get("init"))
    freeze, unclear = parse_freeze(model.get("freeze"))
    problems += [*ill, *unclear, *unknown_codes(model.get("no_advice"))]
    entries = model.get("layers")
    if not isinstance(entries, (list, tuple)):
        return nothing, [*problems, _no_list(model)]
    if not any(entry is not None for entry in entries):
        text = "'layers' is empty: a network needs at least one layer"
        return nothing, [*problems, Problem("no-layers", ("layers",), text)]
    reader = Reader(blocks, _defined(model.get("blocks")))
    layers, whole = reader.sequence(Written(entries, ("layers",), Scope()), "layers")
    if reader.count > MOST:
        text = f"the network has more than {MOST:,} layers, blocks and repetitions spelt out"
        return nothing, [*problems, *reader.problems, Problem("too-many-layers", ("layers",), text)]
    raw = {key: model[key] for key in _LANGUAGE if model.get(key)}
    return Stack(layers, whole, init, freeze, MappingProxyType(raw)), [*problems, *reader.problems]


def _defined(raw: Any) -> set[str]:
    """The names of all blocks, also of those whose definition cannot be read; null is none."""
    return {str(name) for name, body in raw.items() if body is not None} if isinstance(raw, Mapping) else set()


def _no_list(model: Mapping[str, Any]) -> Problem:
    entries = model.get("layers")
    text = (
        "a model needs a list 'layers'" if entries is None else f"'layers' must be a list, not {kinds.shown(entries)}"
    )
    near = closest("layers", map(str, model)) if "layers" not in model else None
    if near:
        text += f"; is '{near}' meant to be it?"
    path: Path = ("layers",) if "layers" in model else (near,) if near else ()
    blocks = [str(k) for k, v in model.items() if isinstance(v, Mapping) and "layers" in v]
    hint = f"this is a file of blocks ({', '.join(blocks)}); a model names it under defaults: [blocks: NAME]"
    return Problem("no-layers", path, text, hint if blocks and len(blocks) == len(model) else None)
