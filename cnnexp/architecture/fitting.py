"""Does a layer fit what arrives? Sizes are inferred or compared.

What torch would say on the first batch is said now, in words that name the layer and the sizes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from cnnexp.architecture.catalog import LAYERS, dimensions
from cnnexp.architecture.rules import spread
from cnnexp.architecture.stack import Layer
from cnnexp.errors import Problem
from cnnexp.kinds import shown

Shape = tuple[int, ...]
_AXES = {1: "channels×length", 2: "channels×height×width", 3: "channels×depth×height×width"}
_WINDOWED = (
    nn.modules.conv._ConvNd,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._LPPoolNd,
)


class Placed(Protocol):
    """A layer whose shapes are known."""

    @property
    def label(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def input_shape(self) -> Shape: ...
    @property
    def output_shape(self) -> Shape: ...


def times(shape: Sequence[int | str]) -> str:
    """A shape as people write it: 3×32×32."""
    return "×".join(map(str, shape)) or "a single number"


def fill(layer: Layer, earlier: Sequence[Placed], arriving: Tensor) -> tuple[Mapping[str, Any] | None, list[Problem]]:
    """The parameters of a layer with its sizes filled in, or None when what arrives cannot be what it takes.

    Arguments:
        layer: the layer as written.
        earlier: the layers before it, with shapes.
        arriving: the batch that arrives, on the meta device.

    Returns:
        the full parameters in the signature's order with what arrives in place of a wrong size, and the problems.
    """
    shape = tuple(arriving.shape[1:])
    if not shape and layer.component.sizes:
        text = f"{layer.label}: takes samples with dimensions, but a single number arrives from {_origin(earlier)}"
        return None, [Problem("wrong-dimensions", layer.path, text)]
    if (
        problem := _wrong_rank(layer, shape, earlier)
        or _wrong_groups(layer, shape)
        or _wrong_dim(layer, shape, earlier)
    ):
        return None, [problem]
    params = dict(layer.params)
    problems = []
    for name, axis in layer.component.sizes.items():
        if axis is not None and not -len(shape) <= axis < len(shape):
            continue
        arrives = _sizes(shape, params.get(name)) if axis is None else shape[axis]
        if name in params and _as_shape(params[name]) != _as_shape(arrives):
            must = f"{name} (={shown(params[name])}) must be {shown(arrives)}"
            text = f"{layer.label}: {must}, the size arriving from {_origin_and_shape(earlier, shape)}"
            hint = None if axis is None else f"leave {name} out to have it inferred"
            problems.append(Problem("wrong-size", layer.place(name), text, hint))
            params[name] = arrives
        params.setdefault(name, arrives)
    order = [p for p in layer.component.parameters if p in params]
    ordered = {p: params[p] for p in order} | params
    groups = params.get("groups")
    if problems and isinstance(groups, int) and shape[0] % groups:
        return None, problems  # what arrives cannot be grouped either; torch would say so in its own words
    if problem := _window_too_large(layer, ordered, shape, earlier) or _wraps_too_far(layer, ordered, shape, earlier):
        return None, [*problems, problem]
    return MappingProxyType(ordered), problems


def _sizes(shape: Shape, written: Any) -> Any:
    """The last sizes of a shape, as many as were written; all of them where none was."""
    n = len(_as_shape(written)) if written is not None else len(shape)
    sizes = shape[-n:] if n <= len(shape) else shape
    return sizes[0] if isinstance(written, int) else sizes


def _as_shape(size: Any) -> tuple[Any, ...]:
    return tuple(size) if isinstance(size, (list, tuple)) else (size,)


def _origin(earlier: Sequence[Placed]) -> str:
    return earlier[-1].label if earlier else "the input"


def _origin_and_shape(earlier: Sequence[Placed], shape: Shape) -> str:
    # What a Flatten flattened says more than its one number, which the message holds already.
    flattened = earlier and earlier[-1].type == "Flatten"
    return f"{_origin(earlier)} ({times(earlier[-1].input_shape if flattened else shape)})"


def _wrong_rank(layer: Layer, shape: Shape, earlier: Sequence[Placed]) -> Problem | None:
    n = dimensions(layer.component.name)
    if n is None:
        return None
    name = layer.component.name
    allowed = {2, 1} if name == "BatchNorm1d" else {n + 1}
    if name.startswith(("ConstantPad", "ZeroPad")):
        allowed |= set(range(n, len(shape) + 1))
    if len(shape) in allowed:
        return None
    text = f"{layer.label}: takes {_AXES[n]}, but {times(shape)} arrives from {_origin(earlier)}"
    other = LAYERS.find(f"{name[:-2]}{len(shape) - 1}d")
    hint = "put an Unflatten before it" if len(shape) < n + 1 else f"use {other.name}" if other else None
    return Problem("wrong-dimensions", layer.path, text, hint)


def _wrong_dim(layer: Layer, shape: Shape, earlier: Sequence[Placed]) -> Problem | None:
    rank = len(shape) + 1
    for name in ("dim", "start_dim", "end_dim"):
        value = layer.params.get(name)
        if isinstance(value, int) and not -rank <= value < rank:
            limits = f"{name} must be between {-rank} and {rank - 1}, not {value}"
            text = f"{layer.label}: {limits}: batch and {times(shape)} arrive from {_origin(earlier)}"
            return Problem("bad-value", layer.place(name), text)
    dim, sizes = layer.params.get("dim", 1), layer.params.get("unflattened_size", ())
    cuts = layer.component.name == "Slice" or (layer.component.name == "Unflatten" and sizes[:1] != (-1,))
    if cuts and isinstance(dim, int) and dim % rank == 0:
        text = f"{layer.label}: would merge or split the samples of a batch; dimension 0 is the batch"
        return Problem("batch-lost", layer.place("dim"), text, "count the dimensions from 1")
    return None


def _wrong_groups(layer: Layer, shape: Shape) -> Problem | None:
    for by, name in (("groups", "in_channels"), ("num_groups", "num_channels")):
        groups = layer.params.get(by)
        inferred = name in layer.component.parameters and name not in layer.params
        if inferred and isinstance(groups, int) and shape[0] % groups:
            text = f"{layer.label}: {name} (={shape[0]}, inferred) must be divisible by {by} (={groups})"
            return Problem("bad-value", layer.place(by), text)
    return None


def _wraps_too_far(layer: Layer, params: Mapping[str, Any], shape: Shape, earlier: Sequence[Placed]) -> Problem | None:
    """A circular padding that asks for more than a cut leaves: torch hands on memory that nobody has written."""
    padding = params.get("padding")
    if not layer.component.name.startswith("CircularPad") or not isinstance(padding, (tuple, list)):
        return None
    for size, pads in zip(reversed(shape), zip(padding[::2], padding[1::2], strict=False), strict=False):
        kept = size + min(0, *pads)
        if max(pads) > max(kept, 0) and kept < size:
            left = f"only {max(kept, 0)} of the {size} are left when the other end is cut"
            text = f"{layer.label}: padding (={shown(padding)}) goes on with {max(pads)} from the other end, but {left}"
            return Problem(
                "bad-value", layer.place("padding"), f"{text}: {times(shape)} arrives from {_origin(earlier)}"
            )
    return None


def _window_too_large(
    layer: Layer, params: Mapping[str, Any], shape: Shape, earlier: Sequence[Placed]
) -> Problem | None:
    cls, n = layer.component.cls, len(shape) - 1
    if not issubclass(cls, _WINDOWED) or issubclass(cls, nn.modules.conv._ConvTransposeNd):
        return None
    padding = params.get("padding", 0)
    if isinstance(padding, str) and padding == "same":
        return None
    pads = spread(0 if isinstance(padding, str) else padding, n)
    sizes = list(zip(spread(params["kernel_size"], n), spread(params.get("dilation", 1), n), strict=True))
    extents = [d * (k - 1) + 1 for k, d in sizes]
    room = [s + 2 * p for s, p in zip(shape[1:], pads, strict=True)]
    steps = spread(params.get("stride") or params["kernel_size"], n)
    # With ceil_mode a window counts that is not filled, if it begins inside.
    short = [s - 1 if params.get("ceil_mode") else 0 for s in steps]
    if all(e <= r + s for e, r, s in zip(extents, room, short, strict=True)):
        return None
    padded = f", {times(room)} with its padding" if any(pads) else ""
    spreading = " (spread by its dilation)" if any(d != 1 for _, d in sizes) else ""
    window = f"its {times(extents)} window{spreading}"
    text = f"{layer.label}: {window} is larger than the {times(shape[1:])} that arrives{padded}"
    return Problem("empty-shape", layer.place("kernel_size"), text, _journey(earlier, shape))


def _journey(earlier: Sequence[Placed], shape: Shape) -> str | None:
    """How the sizes came down to what arrives, for the hint of a shape that ran out."""
    if not earlier:
        return None
    steps = [times(earlier[0].input_shape[1:])]
    for layer in earlier:
        size = times(layer.output_shape[1:])
        if size != steps[-1].split(" ")[0] and len(layer.output_shape) == len(shape):
            steps.append(f"{size} after {layer.label}")
    return f"the sizes on the way: {' → '.join(steps)}" if len(steps) > 1 else None


def wrong_dtype(layer: Layer, own: torch.dtype, arriving: torch.dtype) -> Problem:
    """The problem of a layer whose weights have another dtype than what arrives."""
    mine, theirs = (str(d).removeprefix("torch.") for d in (own, arriving))
    path = layer.place("dtype") if "dtype" in layer.params else layer.path
    precision = {"float64": "64-true", "float16": "16-true", "bfloat16": "bf16-true"}.get(mine)
    hint = f"for a network that is all {mine} set trainer.precision={precision} and leave dtype out"
    hint = hint if precision else "leave dtype out of the layers before it"
    text = f"{layer.label}: has {mine} weights, but {theirs} arrives"
    return Problem("wrong-dtype", path, text, hint)


def unusable(layer: Layer, leaving: Any, arriving: Tensor, earlier: Sequence[Placed]) -> Problem | None:
    """The problem of an output that no next layer can take, or None."""
    if not isinstance(leaving, Tensor):
        text = f"{layer.label}: gives {type(leaving).__name__}, and a stack passes one tensor from layer to layer"
        return Problem("not-a-tensor", layer.path, text)
    if leaving.dim() == 0 or leaving.shape[0] != arriving.shape[0]:
        text = f"{layer.label}: would merge or split the samples of a batch; dimension 0 is the batch"
        dims = next((p for p in ("start_dim", "dim") if p in layer.params), None)
        return Problem("batch-lost", layer.place(dims) if dims else layer.path, text, "count the dimensions from 1")
    if 0 in leaving.shape:
        text = f"{layer.label}: {times(arriving.shape[1:])} arrives, and {times(leaving.shape[1:])} would be left"
        return Problem("empty-shape", layer.path, text, _journey(earlier, tuple(arriving.shape[1:])))
    return None


def refused_by_torch(layer: Layer, error: Exception, arriving: Tensor, earlier: Sequence[Placed]) -> Problem:
    """The problem of a layer that torch itself refuses, in torch's words with our shapes."""
    shape = tuple(arriving.shape[1:])
    reason = re.sub(r"\s+", " ", str(error)).strip().split(" Exception raised from ")[0]
    reason = reason.split(". ")[0].rstrip(".") or type(error).__name__
    reason = reason.replace(str(list(arriving.shape)), times(shape)).replace("torch.Size(", "(")
    if len(reason) > 200:
        reason = reason[:199] + "…"
    text = f"{layer.label}: torch refuses it for the {times(shape)} arriving from {_origin(earlier)}: {reason}"
    return Problem("refused-by-torch", layer.path, text)
