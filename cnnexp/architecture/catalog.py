"""The layer types that a stack may name: torch.nn's, torchvision.ops' and the user's own, read from their signatures.

What cannot stand in a stack (losses, recurrent modules, modules with several inputs, …) is kept by name with the
sentence that says why, so that naming it is answered with a reason and not with "unknown".
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any, get_origin

from torch import nn

from cnnexp import kinds
from cnnexp.architecture.composites import COMPOSITES, Slice
from cnnexp.components import Catalog, Component
from cnnexp.errors import normalised
from cnnexp.kinds import Rule

_SIZES: Mapping[str, int | None] = MappingProxyType(
    {"in_channels": 0, "in_features": -1, "num_features": 0, "num_channels": 0, "normalized_shape": None}
)
"""Sizes that follow from the shape that arrives and may be left out, each with its axis."""

DTYPES = ("float16", "bfloat16", "float32", "float64")
"""The dtypes that weights may have, as a config writes them."""

_COUNTS = (
    "in_channels",
    "out_channels",
    "in_features",
    "out_features",
    "num_features",
    "num_channels",
    "normalized_shape",
    "groups",
    "num_groups",
    "kernel_size",
    "stride",
    "dilation",
    "output_size",
    "size",
    "upscale_factor",
    "downscale_factor",
    "num_parameters",
    "d_model",
    "nhead",
    "dim_feedforward",
    "divisor_override",
)
_COUNT = Rule(least=1)
_NOT_NEGATIVE = Rule(least=0)
_RULES: Mapping[str, Rule] = MappingProxyType(
    dict.fromkeys(_COUNTS, _COUNT)
    | {
        "padding": _NOT_NEGATIVE,
        "output_padding": _NOT_NEGATIVE,
        "p": Rule(least=0, most=1),
        "dropout": Rule(least=0, most=1),
        "momentum": Rule(least=0, most=1),
        "eps": _NOT_NEGATIVE,
        "scale_factor": Rule(above=0),
        "output_ratio": Rule(above=0, below=1),
        "norm_type": Rule(above=0),
        "dtype": Rule(choices=DTYPES),
    }
)
_CHOICES: Mapping[str, Mapping[str, Rule]] = {
    "GELU": {"approximate": Rule(choices=("none", "tanh"))},
    "Upsample": {
        "mode": Rule(choices=("nearest", "linear", "bilinear", "bicubic", "trilinear", "area", "nearest-exact"))
    },
    "TransformerEncoderLayer": {"activation": Rule(choices=("relu", "gelu"))},
}
_CONVOLUTION_PADDING = {"padding": Rule(least=0, choices=("valid", "same"))}
_ANY_PADDING = {"padding": Rule()}  # a negative padding crops


def dimensions(name: str) -> int | None:
    """The number of spatial dimensions that a layer's name promises: 2 for Conv2d, None for Linear."""
    match = re.search(r"([123])d$", name)
    return int(match[1]) if match else None


def _rules(name: str, cls: type) -> Mapping[str, Rule]:
    rules = dict(_RULES) | dict(_CHOICES.get(name, {}))
    if issubclass(cls, nn.modules.conv._ConvNd):
        rules |= _CONVOLUTION_PADDING
    elif re.search(r"Pad[123]d$", name):
        rules |= _ANY_PADDING
    return MappingProxyType(rules)


def refusal(name: str, cls: type[nn.Module]) -> str | None:
    """Why a module cannot stand in a stack, or None when it can."""
    if name.endswith("Loss") or cls.__module__.endswith(".loss"):
        return "it is a loss, which compares an output with a target; write it under 'loss'"
    if issubclass(cls, (nn.RNNBase, nn.RNNCellBase)):
        return (
            "a recurrent module hands on a state beside its output, and a stack passes one tensor from layer to layer"
        )
    if issubclass(cls, nn.modules.lazy.LazyModuleMixin):
        plain = name.removeprefix("Lazy")
        return f"write {plain}, whose sizes may be left out and are inferred before anything runs"
    if name.startswith("Embedding"):
        return "it looks up whole-number indices, and a stack passes on real numbers"
    if cls.forward is nn.Module.forward or cls.__module__.endswith((".container", ".data_parallel")):
        return "it is a container of other modules, not a layer; Sequential, Residual and Parallel hold other layers"
    inputs = [
        p.name
        for p in list(inspect.signature(cls.forward).parameters.values())[1:]
        if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    if inputs and get_origin(cls.forward.__annotations__.get(inputs[0])) in (dict, list, tuple):
        return "it takes several tensors at once, and a stack passes one tensor from layer to layer"
    if len(inputs) > 1:
        return f"it takes {len(inputs)} inputs ({', '.join(inputs)}), and a stack passes one tensor from layer to layer"
    component = Component(name, cls)
    for parameter in component.parameters.values():
        if parameter.required and not kinds.expressible(parameter.annotation):
            return f"its parameter '{parameter.name}' must be a module, which YAML cannot hold"
    return None


def _component(name: str, cls: type[nn.Module], sizes: Mapping[str, int | None] = _SIZES) -> Component:
    component = Component(name, cls, rules=_rules(name, cls))
    required = {p: axis for p, axis in sizes.items() if p in component.parameters and component.parameters[p].required}
    return replace(component, sizes=MappingProxyType(required))


def _read(library: Any, without: tuple[type, ...], sizes: Mapping[str, Mapping[str, int | None]]) -> Catalog:
    """The catalogue of a library's modules; those that cannot stand in a stack are refused with a reason."""
    entries, refused = {}, {}
    for name in dir(library):
        cls = getattr(library, name)
        if not (inspect.isclass(cls) and issubclass(cls, nn.Module) and cls not in without):
            continue
        if reason := refusal(name, cls):
            refused[name] = reason
        else:
            entries[name] = _component(name, cls, sizes.get(name, _SIZES))
    return Catalog("layer type", MappingProxyType(entries), MappingProxyType(refused))


def _build() -> Catalog:
    torchs = _read(nn, (nn.Module, nn.Sequential), {})
    entries = {**torchs.entries, "Slice": _component("Slice", Slice)}
    return Catalog("layer type", MappingProxyType(entries), torchs.refused)


LAYERS = _build()
"""The layer types of torch.nn and of the layer language itself."""


_declared: dict[str, Component] = {}


def declare(cls: type[nn.Module], infer: Mapping[str, int], rules: Mapping[str, Rule]) -> None:
    """Add a user's own class to the layer types.

    Arguments:
        cls: the class.
        infer: the sizes that may be left out, each with its axis in the arriving sample.
        rules: value rules by parameter, beside those that hold for every parameter of its name.
    """
    found = _component(cls.__name__, cls)
    sizes, own = {**found.sizes, **infer}, {**found.rules, **rules}
    _declared[normalised(cls.__name__)] = replace(found, rules=MappingProxyType(own), sizes=MappingProxyType(sizes))


def taken(cls: type) -> bool:
    """Whether another layer type or a composite has the name of this class."""
    name = cls.__name__
    own = _declared.get(normalised(name))
    same = own and (own.cls.__module__, own.cls.__qualname__) == (cls.__module__, cls.__qualname__)
    return bool(LAYERS.find(name) or LAYERS.refuses(name) or COMPOSITES.find(name) or (own and not same))


def catalog_of(name: str) -> Catalog:
    """The catalogue that knows a layer type, or could: torch's first, then the user's own layers, then torchvision's.

    torchvision takes longer to import than everything else in a check, so that it is asked last.
    """
    if LAYERS.find(name) or LAYERS.refuses(name):
        return LAYERS
    return _own() if normalised(name) in _declared else wide()


def wide() -> Catalog:
    """All layer types: of torch.nn, of the layer language, of the loaded extensions and of torchvision.ops."""
    own, ops = _own(), _torchvision()
    return Catalog("layer type", {**ops.entries, **own.entries}, {**ops.refused, **own.refused})


def _own() -> Catalog:
    return Catalog("layer type", {**LAYERS.entries, **{c.name: c for c in _declared.values()}}, LAYERS.refused)


@cache
def _torchvision() -> Catalog:
    from torchvision import ops

    return _read(ops, (), {"MLP": {"in_channels": -1}, "SqueezeExcitation": {"input_channels": 0}})


def inferable(component: Component) -> tuple[str, ...]:
    """The sizes of a layer that may be left out because they follow from the arriving shape."""
    return tuple(component.sizes)
