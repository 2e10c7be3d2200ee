"""Rules that tie the parameters of one layer together.

torch accepts several breaches in silence, or fails on the first batch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from cnnexp.architecture.catalog import dimensions
from cnnexp.components import Component
from cnnexp.errors import Path, Problem
from cnnexp.kinds import shown

_PER_DIMENSION = ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size", "output_ratio")

Finding = tuple[str, str, str | None]
"""A parameter, what is wrong with it, and the cure."""


def together(component: Component, params: Mapping[str, Any], path: Path, label: str) -> list[Problem]:
    """Every problem between the (well-typed) parameters of one layer.

    Arguments:
        component: the layer type.
        params: its parameters as written; sizes to be inferred may be missing.
        path: the key path of the layer.
        label: how messages name the layer.
    """
    values = {name: p.default for name, p in component.parameters.items()} | dict(params)
    found = [
        *_lengths(component, values),
        *_indices(values),
        *_order(component, values),
        *_one_of(component, values),
        *_device(values),
    ]
    if not found:
        if issubclass(component.cls, nn.modules.conv._ConvNd):
            found += _convolution(component, values)
        if issubclass(component.cls, (nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd)):
            found += _pooling(component, values)
        if "num_groups" in params and isinstance(params.get("num_channels"), int):
            found += _divides("num_channels", params["num_channels"], "num_groups", params["num_groups"])
    return [Problem("bad-value", (*path, name), f"{label}: {text}", hint) for name, text, hint in found]


def _lengths(component: Component, values: Mapping[str, Any]) -> Iterator[Finding]:
    n = dimensions(component.name)
    if n is None or "Pad" in component.name:
        return
    for name in _PER_DIMENSION:
        value = values.get(name)
        if isinstance(value, (list, tuple)) and len(value) != n:
            yield name, f"{name} must be one value or a list of {n}, one per dimension, not {shown(value)}", None


def _indices(values: Mapping[str, Any]) -> Iterator[Finding]:
    if values.get("return_indices") is True:
        text = "return_indices must be false here: with it the layer gives a pair, and a stack passes one tensor"
        yield "return_indices", text, None


def _order(component: Component, values: Mapping[str, Any]) -> Iterator[Finding]:
    dims = values.get("dims")
    if component.name != "Permute" or not isinstance(dims, (list, tuple)):
        return
    if not dims or dims[0] != 0:
        yield "dims", f"dims must begin with 0, the batch, not be {shown(dims)}", "count the sample's dimensions from 1"
    elif sorted(dims) != list(range(len(dims))) and min(dims) >= 0:
        yield "dims", f"dims must hold each of 0 to {len(dims) - 1} once, not be {shown(dims)}", None


def _one_of(component: Component, values: Mapping[str, Any]) -> Iterator[Finding]:
    pair = {"Upsamp": ("size", "scale_factor"), "Fracti": ("output_size", "output_ratio")}.get(component.name[:6])
    if pair and sum(values[p] is not None for p in pair) != 1:
        state = "both are" if values[pair[0]] is not None else "neither is"
        yield pair[1], f"exactly one of {pair[0]} and {pair[1]} must be given; {state}", None


def _device(values: Mapping[str, Any]) -> Iterator[Finding]:
    device = values.get("device")
    if isinstance(device, str) and not re.fullmatch(r"(cpu|mps|(cuda|xpu)(:\d+)?)", device):
        yield (
            "device",
            f"device must be cpu, mps, cuda or cuda:N, not {shown(device)}",
            "leave device out; the trainer places the network",
        )


def _convolution(component: Component, values: Mapping[str, Any]) -> Iterator[Finding]:
    groups = values["groups"]
    for name in ("in_channels", "out_channels"):
        if isinstance(values[name], int):
            yield from _divides(name, values[name], "groups", groups)
    if values["padding"] == "same" and any(s != 1 for s in spread(values["stride"], 1)):
        text = f"padding 'same' works only with stride 1, not {shown(values['stride'])}"
        yield "padding", text, "give the padding as a number; half the kernel size keeps the size before the stride"
    if issubclass(component.cls, nn.modules.conv._ConvTransposeNd):
        yield from _transposed(values)


def _transposed(values: Mapping[str, Any]) -> Iterator[Finding]:
    if values["padding_mode"] != "zeros":
        mode = shown(values["padding_mode"])
        yield "padding_mode", f"padding_mode must be zeros in a transposed convolution, not {mode}", None
    extra = values["output_padding"]
    n = max(len(v) if isinstance(v, (list, tuple)) else 1 for v in (extra, values["stride"], values["dilation"]))
    rows = zip(spread(extra, n), spread(values["stride"], n), spread(values["dilation"], n), strict=True)
    if any(e >= max(s, d) for e, s, d in rows):
        limits = f"stride (={shown(values['stride'])}) or dilation (={shown(values['dilation'])})"
        yield "output_padding", f"output_padding (={shown(extra)}) must be smaller than {limits}", None


def _pooling(component: Component, values: Mapping[str, Any]) -> Iterator[Finding]:
    n = dimensions(component.name) or 1
    # On the CPU torch compares with the kernel itself, not with the window that dilation spreads out.
    limits = [k // 2 for k in spread(values["kernel_size"], n)]
    if any(p > limit for p, limit in zip(spread(values["padding"], n), limits, strict=True)):
        kernel = shown(values["kernel_size"])
        yield "padding", f"padding (={shown(values['padding'])}) must be at most half of kernel_size (={kernel})", None


def no_pool_to_undo(component: Component, params: Mapping[str, Any]) -> tuple[str | None, str] | None:
    """Why a layer cannot be the pool of an `Unpool`: the parameter at fault (or None) and a sentence; else None."""
    if not issubclass(component.cls, nn.modules.pooling._MaxPoolNd):
        return None, "only MaxPool1d, MaxPool2d and MaxPool3d remember where their values came from"
    if any(d != 1 for d in spread(params.get("dilation", 1), 1)):
        return "dilation", f"dilation must be 1 where the pool is undone, not {shown(params['dilation'])}"
    return None


def _divides(name: str, value: int, by: str, groups: int) -> Iterator[Finding]:
    if value % groups:
        yield by, f"{name} (={value}) must be divisible by {by} (={groups})", None


def spread(value: Any, n: int) -> tuple[Any, ...]:
    """One value for each of `n` dimensions, from one value or a list."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,) * n
