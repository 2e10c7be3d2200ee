"""The plain `model` mapping of a config becomes a frozen Stack; every problem in it is collected, none is raised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import nn

from cnnexp import kinds
from cnnexp.architecture import rules
from cnnexp.architecture.catalog import LAYERS, inferable
from cnnexp.components import Component
from cnnexp.errors import Path, Problem, closest

_RESERVED = ("blocks", "init", "freeze")
_TAKEN = frozenset(dir(nn.Sequential()))


@dataclass(frozen=True)
class Layer:
    """One layer as it was written: nothing inferred yet.

    Arguments:
        component: the layer type from the catalogue.
        params: the parameters as written, lists as tuples.
        name: the name of the child in the nn.Sequential: its own, or its index there.
        path: the key path in the model mapping, such as `("layers", 3)`.
    """

    component: Component
    params: Mapping[str, Any]
    name: str
    path: Path

    @property
    def label(self) -> str:
        return f"layers[{self.path[-1]}] {self.component.name}"


@dataclass(frozen=True)
class Stack:
    """The layers of a model in order.

    Arguments:
        layers: the layers, up to the first one that could not be understood.
        whole: whether every layer could be understood.
    """

    layers: tuple[Layer, ...]
    whole: bool

    def as_dict(self) -> dict[str, Any]:
        """The model mapping that parses to this stack: plain values, fit for YAML."""
        return {"layers": [_entry(index, layer) for index, layer in enumerate(self.layers)]}


def _entry(index: int, layer: Layer) -> dict[str, Any]:
    named = {} if layer.name == str(index) else {"name": layer.name}
    return {"type": layer.component.name, **named, **{k: _plain(v) for k, v in layer.params.items()}}


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


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
    problems = [
        Problem("reserved-key", (key,), f"'{key}' is a word of the layer language that this version does not read yet")
        for key in _RESERVED
        if key in model
    ]
    entries = model.get("layers")
    if not isinstance(entries, (list, tuple)):
        text = (
            "a model needs a list 'layers'"
            if entries is None
            else f"'layers' must be a list, not {kinds.shown(entries)}"
        )
        if "layers" not in model and (near := closest("layers", map(str, model))):
            text += f"; is '{near}' meant to be it?"
        path: Path = ("layers",) if "layers" in model else (near,) if near else ()
        return nothing, [*problems, Problem("no-layers", path, text)]
    present = [(i, entry) for i, entry in enumerate(entries) if entry is not None]
    if not present:
        return nothing, [
            *problems,
            Problem("no-layers", ("layers",), "'layers' is empty: a network needs at least one layer"),
        ]
    layers: list[Layer | None] = []
    names: dict[str, int] = {}
    for position, (index, entry) in enumerate(present):
        layer, found = _layer(entry, index, position, names)
        layers.append(layer)
        problems += found
    understood = layers[: layers.index(None)] if None in layers else layers
    return Stack(tuple(x for x in understood if x), whole=None not in layers), problems


def _layer(entry: Any, index: int, position: int, names: dict[str, int]) -> tuple[Layer | None, list[Problem]]:
    path: Path = ("layers", index)
    component, params, problems = LAYERS.parse(entry, path, f"layers[{index}]", extra=("name",), optional=inferable)
    if component is None:
        return None, problems
    label = f"layers[{index}] {component.name}"
    name, naming = _name(entry, index, position, names, label)
    problems += naming
    bad = {p.path[-1] for p in problems}
    params, usable = _recovered(component, params, {str(b) for b in bad})
    clashes = rules.together(component, params, path, label) if usable else []
    problems += clashes
    usable = usable and not clashes
    layer = Layer(component, MappingProxyType(component.convert(params)), name, path)
    return (layer if usable else None), problems


def _name(entry: Any, index: int, position: int, names: dict[str, int], label: str) -> tuple[str, list[Problem]]:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    if name is None:
        return str(position), []
    path: Path = ("layers", index, "name")
    if not isinstance(name, str) or not name or "." in name:
        text = f"{label}: name must be a text without dots, not {kinds.shown(name)}"
        return str(position), [Problem("bad-name", path, text)]
    if name in _TAKEN or name.isdigit():
        text = f"{label}: the name '{name}' is taken by nn.Sequential itself"
        return str(position), [Problem("bad-name", path, text, "choose another name")]
    if name in names:
        text = f"{label}: the name '{name}' is taken by layers[{names[name]}]"
        return str(position), [Problem("bad-name", path, text, "choose another name")]
    names[name] = index
    return name, []


def _recovered(component: Component, params: dict[str, Any], bad: set[str]) -> tuple[dict[str, Any], bool]:
    """The parameters that the rest of the check can go on with, and whether they suffice.

    A misspelt parameter counts as the one that was meant and a wrong truth value as the default, so that the problems
    further down the network are found in the same go.
    """
    if component.takes_anything:
        return params, True
    good: dict[str, Any] = {}
    usable = True
    for name, value in params.items():
        parameter = component.parameters.get(name)
        meant = parameter or component.parameters.get(closest(str(name), component.parameters) or "")
        if meant is None or (parameter is None and (meant.name in params or meant.complaint(value))):
            continue
        if parameter and name in bad:
            usable &= parameter.annotation is bool
            continue
        good[meant.name] = value
    optional = inferable(component)
    missing = [p for p, q in component.parameters.items() if q.required and p not in good and p not in optional]
    return good, usable and not missing
