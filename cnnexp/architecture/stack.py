"""What a model mapping says, as values: Layers in a Stack, nothing inferred yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cnnexp.architecture.composites import is_composite
from cnnexp.architecture.initialize import Init
from cnnexp.components import Component
from cnnexp.errors import Path


@dataclass(frozen=True)
class Layer:
    """One entry as it was written: nothing inferred yet.

    Arguments:
        component: the layer type from the catalogue, or the composite type; a block is a Sequential.
        params: the parameters as written, lists as tuples; those of the block where it is one.
        name: the name of the child in the module that holds it: its own, or its index there.
        path: the key path in the model mapping, such as `("layers", 3)`.
        label: how messages name it, such as `layers[3] Residual › layers[0] Conv2d`.
        origins: where a parameter was written that reached the entry through a `$name`.
        children: what stands inside a composite, as the children of its module; of a `Repeat`, one copy.
        block: the block that the entry uses.
        whole: whether everything inside could be understood.
    """

    component: Component
    params: Mapping[str, Any]
    name: str
    path: Path
    label: str
    origins: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    children: tuple[Layer, ...] = ()
    block: str | None = None
    whole: bool = True

    @property
    def composite(self) -> bool:
        """Whether other entries stand inside it."""
        return is_composite(self.component)

    def place(self, *keys: str) -> Path:
        """The key path at which a parameter was written."""
        return (*self.origins[keys[0]], *keys[1:]) if keys and keys[0] in self.origins else (*self.path, *keys)

    def walk(self) -> Iterator[Layer]:
        """The entry and everything inside it, outer ones first."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class Stack:
    """The layers of a model in order.

    Arguments:
        layers: the layers, up to the first one that could not be understood.
        whole: whether every layer could be understood.
        init: the rules for the first values of the weights.
        freeze: the patterns of what does not learn.
        raw: the plain values of the keys `blocks`, `init` and `freeze`, as far as they were given.
    """

    layers: tuple[Layer, ...]
    whole: bool
    init: tuple[Init, ...] = ()
    freeze: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def as_dict(self) -> dict[str, Any]:
        """The model mapping that parses to this stack: plain values, fit for YAML."""
        return {**self.raw, "layers": _entries(self.layers)}


def _entries(layers: tuple[Layer, ...]) -> list[dict[str, Any]]:
    return [_entry(layer, str(index)) for index, layer in enumerate(layers)]


def _entry(layer: Layer, unnamed: str) -> dict[str, Any]:
    """One entry as plain values; its name is left out where it is the one that it would have anyway."""
    named = {} if layer.name == unnamed else {"name": layer.name}
    params = {k: _plain(v) for k, v in layer.params.items()}
    if layer.block is not None:
        return {"type": layer.block, **named, **params}
    return {"type": layer.component.name, **named, **params, **(_inside(layer) if layer.composite else {})}


def _inside(layer: Layer) -> dict[str, Any]:
    """The keys of a composite that hold other entries."""
    children, kind = layer.children, layer.component.name
    if kind == "Sequential":
        return {"layers": _entries(children)}
    if kind == "Parallel":
        return {"branches": _entries(children)}
    if kind == "Repeat":
        (copy,) = children
        alone = len(copy.children) == 1 and copy.children[0].name == "0"  # then it would be the copy itself
        together = copy.component.name == "Sequential" and copy.block is None and not alone
        return {"layers": _entries(copy.children) if together else [_entry(copy, copy.name)]}
    parts = {child.name: child for child in children}
    inside = {"layers": _entries(parts["layers"].children)}
    for key in ("pool", "shortcut"):
        if key in parts:
            inside[key] = _entry(parts[key], key)  # type: ignore[assignment]  # one entry, no list
    return inside


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value
