"""A Plan becomes stand-alone PyTorch source, as a person would write it."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping
from typing import Any

from cnnexp.architecture.catalog import DTYPES
from cnnexp.architecture.fitting import times
from cnnexp.architecture.plan import Plan, PlannedLayer


def source(plan: Plan, title: str) -> str:
    """Source that imports torch alone and leaves the network in `model`.

    Arguments:
        plan: the network.
        title: the first words of the module's docstring.

    Returns:
        Python text; executing it with the same seed draws the same weights as `plan.build(seed)`.
    """
    named = any(layer.name != str(i) for i, layer in enumerate(plan.layers))
    calls = [call(layer) for layer in plan.layers]
    heading = "".join(c if c.isprintable() and c not in '\\"' else " " for c in title)
    lines = ['"""', f"{heading}: {times(plan.input_shape)} in, {times(plan.output_shape)} out.", '"""', ""]
    if named:
        lines += ["from collections import OrderedDict", ""]
    lines += ["import torch", ""] if any("torch." in c for c in calls) else []
    lines += ["from torch import nn", "", "model = nn.Sequential("]
    if named:
        pairs = [f"            ({_text('name', x.name)}, {c})," for x, c in zip(plan.layers, calls, strict=True)]
        lines += ["    OrderedDict(", "        [", *pairs, "        ]", "    )"]
    else:
        lines += [f"    {c}," for c in calls]
    text = "\n".join([*lines, ")", ""])
    return text.replace('"""\n', '"""', 1).replace('\n"""', '"""', 1)


def call(layer: PlannedLayer) -> str:
    """One layer as a constructor call: required parameters by position, the others by name, defaults left out."""
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
    return f"nn.{layer.type}({', '.join([*positional, *named])})"


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
