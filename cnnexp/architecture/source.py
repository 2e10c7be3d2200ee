"""A Plan becomes stand-alone PyTorch source, as a person would write it."""

from __future__ import annotations

import inspect
import keyword
import math
from collections.abc import Iterator, Mapping
from typing import Any

from cnnexp.architecture import composites
from cnnexp.architecture.catalog import DTYPES
from cnnexp.architecture.fitting import times
from cnnexp.architecture.plan import Plan, PlannedLayer

_INDENT = "    "
_WIDTH = 110
_OWN = (composites.Residual, composites.Parallel, composites.Unpool, composites.Slice)


def source(plan: Plan, title: str) -> str:
    """Source that imports torch alone and leaves the network in `model`.

    Arguments:
        plan: the network.
        title: the first words of the module's docstring.

    Returns:
        Python text; executing it with the same seed draws the same weights as `plan.build(seed)`.
    """
    body = f"model = {_sequential(plan.layers, '')}"
    classes = [inspect.getsource(cls) for cls in _OWN if f"{cls.__name__}(" in body]
    text = "\n\n".join([*classes, body])
    heading = "".join(c if c.isprintable() and c not in '\\"' else " " for c in title)
    docstring = f'"""{heading}: {times(plan.input_shape)} in, {times(plan.output_shape)} out."""'
    imports = list(_imports(text, plan))
    return "\n".join([docstring, "", *imports, "" if not classes else "\n", text, ""])


def _imports(text: str, plan: Plan) -> Iterator[str]:
    if "OrderedDict(" in text:
        yield from ("from collections import OrderedDict", "")
    if "torch." in text.replace("torch.nn", ""):
        yield from ("import torch",)
    yield "from torch import Tensor, nn" if "Tensor" in text else "from torch import nn"
    if "ops." in text:
        yield "from torchvision import ops"
    foreign = {x.component.cls for _, _, x in plan.walk() if not (x.composite or x.component.cls in _OWN)}
    own = sorted((cls.__module__, cls.__name__) for cls in foreign if not _library(cls))
    if own:
        yield ""
    yield from (f"from {module} import {name}" for module, name in own)


def _sequential(layers: tuple[PlannedLayer, ...], indent: str) -> str:
    """A Sequential of layers; one that holds names needs an OrderedDict."""
    inner = indent + _INDENT
    if all(layer.name == str(i) for i, layer in enumerate(layers)):
        return _lines("nn.Sequential(", [_module(layer, inner) for layer in layers], ")", indent)
    pairs = [f"({_text('name', x.name)}, {_module(x, inner + _INDENT * 2)})" for x in layers]
    entries = "".join(f"{inner}{_INDENT * 2}{pair},\n" for pair in pairs)
    return f"nn.Sequential(\n{inner}OrderedDict(\n{inner}{_INDENT}[\n{entries}{inner}{_INDENT}]\n{inner})\n{indent})"


def _module(layer: PlannedLayer, indent: str) -> str:
    """The expression that makes a layer, composites with all that stands inside them."""
    if not layer.composite:
        return call(layer)
    inner, parts = indent + _INDENT, {child.name: child for child in layer.children}
    if layer.component.name == "Parallel":
        pairs = [f"{_text('name', name)}: {_module(part, inner + _INDENT)}" for name, part in parts.items()]
        branches = _lines("{", pairs, "}", inner)
        return _lines("Parallel(", [branches, *(f"{k}={_text(k, v)}" for k, v in layer.params.items())], ")", indent)
    if layer.component.name in ("Residual", "Unpool"):
        return _lines(f"{layer.component.name}(", [_module(part, inner) for part in parts.values()], ")", indent)
    return _sequential(layer.children, indent)


def _lines(opening: str, items: list[str], closing: str, indent: str) -> str:
    """Items between brackets: in one line where they fit, else each in its own."""
    flat = f"{opening}{', '.join(items)}{closing}"
    if len(indent) + len(flat) <= _WIDTH and "\n" not in flat and indent:
        return flat
    return f"{opening}\n" + "".join(f"{indent}{_INDENT}{item},\n" for item in items) + f"{indent}{closing}"


def call(layer: PlannedLayer) -> str:
    """One layer as a constructor call, with the library that it comes from."""
    return f"{_library(layer.component.cls)}{construction(layer)}"


def _library(cls: type) -> str:
    return (
        "nn." if cls.__module__.startswith("torch.nn.") else "ops." if cls.__module__.startswith("torchvision.") else ""
    )


def construction(layer: PlannedLayer) -> str:
    """One layer as a constructor call without its library: required parameters by position, the others by name, defaults left out."""
    known = layer.component.parameters
    positional = []
    for name, parameter in known.items():
        if not parameter.required:
            break
        positional.append(_text(name, layer.params[name]))
    named = [
        _keyword(name, value)
        for name, value in list(_in_order(known, layer.params).items())[len(positional) :]
        if name not in known or known[name].required or _differs(value, known[name].default)
    ]
    return f"{layer.component.name}({', '.join([*positional, *named])})"


def _keyword(name: str, value: Any) -> str:
    """A keyword argument; one whose name is no Python name (only Identity takes such) goes through a mapping."""
    if name.isidentifier() and not keyword.iskeyword(name):
        return f"{name}={_text(name, value)}"
    return f"**{{{_text('name', name)}: {_text(name, value)}}}"


def _in_order(known: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    return {p: params[p] for p in known if p in params} | dict(params)


def _differs(value: Any, default: Any) -> bool:
    return type(value) is not type(default) or bool(value != default)


def _text(name: str, value: Any) -> str:
    if name == "dtype" and value in DTYPES:
        return f"torch.{value}"
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    plain = isinstance(value, str) and value.isprintable() and '"' not in value and "\\" not in value
    return f'"{value}"' if plain else repr(value)
