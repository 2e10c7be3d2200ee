"""Advice about windows: what they leave out, what they see, and how a whole network sees its input."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from torch import nn

from cnnexp.architecture.advice.flow import (
    CONVOLUTIONS,
    POOLS,
    TRANSPOSED,
    Finding,
    Network,
    Rule,
    Step,
    Window,
    first,
    is_a,
    value,
    windows,
)
from cnnexp.architecture.fitting import times
from cnnexp.architecture.plan import PlannedLayer
from cnnexp.architecture.rules import spread

_LINES = {1: ("position",), 2: ("row", "column"), 3: ("slice", "row", "column")}
_SEVERAL = 4
"""How many inputs wide a receptive field must be to be told of."""


def _rows_left_out(network: Network) -> Iterator[Finding]:
    for step in network.steps:
        walks = windows(step.layer)
        if any(w.left_out for w in walks):
            lines = zip(walks, _LINES[len(walks)], strict=True)
            ends = " and ".join(_last(w, line) for w, line in lines if w.left_out)
            key = "padding" if is_a(step.layer, *CONVOLUTIONS) else "ceil_mode"
            yield Finding(step.layer, f"its windows never reach the last {ends}", _reaching(step.layer, walks), key)


def _last(window: Window, line: str) -> str:
    many = f"{window.left_out} of " if window.left_out > 1 else "of "
    return f"{many}{window.size} {line}s"


def _reaching(layer: PlannedLayer, walks: Sequence[Window]) -> str:
    """How the windows of a layer come to reach everything."""
    if not is_a(layer, *CONVOLUTIONS):
        return "set ceil_mode: true"
    enough = [_enough(w) if w.left_out else w.left for w in walks]
    if any(p >= w.extent for p, w in zip(enough, walks, strict=True)):
        return "choose a kernel_size and a stride that fit the size, or pad it before"
    return f"set padding: {enough[0] if len(set(enough)) == 1 else enough}"


def _enough(window: Window) -> int:
    """The smallest padding, at least its own, with which the last window reaches the end."""
    choices = range(window.left, window.left + window.stride)
    return next(p for p in choices if (window.size + 2 * p - window.extent) % window.stride <= p)


def _padding_beyond_half(network: Network) -> Iterator[Finding]:
    for step in network.steps:
        layer, walks = step.layer, windows(step.layer)
        if not is_a(layer, *CONVOLUTIONS) or value(layer, "padding_mode") != "zeros":
            continue
        beyond = [w for w in walks if 2 * -(-w.left // w.dilation) > w.kernel and w.left == w.right]
        if not beyond:
            continue
        total = math.prod(w.outputs for w in walks)
        blind = total - math.prod(w.outputs - w.blind for w in walks)
        kernel = times([w.kernel for w in walks])
        is_more = f"its padding ({_listed([w.left for w in walks])}) is more than half of its {kernel} window"
        sees = f"{blind:,} of its {total:,} windows see" if blind else "its outermost windows see"
        rest = "nothing but zeros" if blind else "more zeros than input"
        half = _listed([w.extent // 2 for w in walks])
        yield Finding(layer, f"{is_more}, so {sees} {rest}", f"set padding: {half} or less", "padding")


def _listed(values: Sequence[int]) -> str:
    """One number where all are the same, else a list as YAML has it."""
    return str(values[0]) if len(set(values)) == 1 else str(list(values))


def _dead_padding_mode(network: Network) -> Iterator[Finding]:
    for step in network.steps:
        layer = step.layer
        mode = value(layer, "padding_mode")
        if is_a(layer, *CONVOLUTIONS) and mode != "zeros" and not any(w.left + w.right for w in windows(layer)):
            written = layer.params.get("padding")
            reason = f"padding is {_plain(written)}" if written is not None else "padding is 0 when it is left out"
            if written == "same":
                reason = "a window of 1 needs no padding"
            text = f"padding_mode {mode} has no effect: {reason}"
            yield Finding(layer, text, "set a padding, or take padding_mode out", "padding_mode")


def _plain(padding: object) -> str:
    return str(list(padding)) if isinstance(padding, (tuple, list)) else str(padding)


def _checkerboard(network: Network) -> Iterator[Finding]:
    for step in network.steps:
        layer = step.layer
        if not is_a(layer, *TRANSPOSED):
            continue
        n = len(layer.input_shape) - 1
        kernels, strides, dilations = (spread(value(layer, name), n) for name in ("kernel_size", "stride", "dilation"))
        met = list(map(_meetings, kernels, strides, dilations))
        fewest, most = math.prod(map(min, met)), math.prod(map(max, met))
        if fewest == most:
            continue
        uneven = f"each of its outputs is the sum of {fewest} to {most} windows, which shows as a checkerboard"
        if any(k % s for k, s in zip(kernels, strides, strict=True)):
            what = f"its kernel_size ({_listed(kernels)}) is no multiple of its stride ({_listed(strides)})"
            yield Finding(layer, f"{what}: {uneven}", _fitting(kernels, strides), "kernel_size")
        else:
            what = f"its dilation ({_listed(dilations)}) and its stride ({_listed(strides)}) have a divisor in common"
            yield Finding(layer, f"{what}: {uneven}", "set dilation: 1", "dilation")


def _meetings(kernel: int, stride: int, dilation: int) -> list[int]:
    """How many windows meet in an output, for each of the outputs that one step brings forth."""
    met = [0] * stride
    for tap in range(kernel):
        met[tap * dilation % stride] += 1
    return met


def _fitting(kernels: Sequence[int], strides: Sequence[int]) -> str:
    """The next larger kernel that overlaps evenly, and the padding with which sizes are multiplied exactly."""
    fitting = [-(-k // s) * s for k, s in zip(kernels, strides, strict=True)]
    spare = [k - s for k, s in zip(fitting, strides, strict=True)]
    if any(x % 2 for x in spare):
        return f"set kernel_size: {_listed(fitting)}"
    padding = _listed([x // 2 for x in spare])
    return (
        f"set kernel_size: {_listed(fitting)}; with padding: {padding} it makes sizes exactly {_listed(strides)}-fold"
    )


def _small_field(network: Network) -> Iterator[Finding]:
    plan = network.plan
    if len(plan.output_shape) != 1 or len(plan.input_shape) < 2:
        return
    pooled = [step for step in network.steps if step.flow.end is None and _pools_all(step.layer)]
    for step in pooled[-1:]:
        before = next(step.before(), None)
        field = before.field if before else None
        inputs = plan.input_shape[1:]
        if field and field.jump and all(2 * f < n for f, n in zip(field.size, inputs, strict=True)):
            sees = f"what it pools sees {times(field.size)} of the {times(inputs)} input at a time"
            half = "half" if len(inputs) == 1 else "half in each direction"
            text = f"{sees}, less than {half}, so no part of the network sees a whole object"
            cure = "let more layers, strides or dilation stand before it; or a Flatten in its place"
            yield Finding(step.layer, text, cure)


def _pools_all(layer: PlannedLayer) -> bool:
    """Whether a layer makes one position of many."""
    entering, leaving = layer.input_shape[1:], layer.output_shape[1:]
    return is_a(layer, *POOLS) and max(entering, default=1) > 1 and set(leaving) == {1}


def _large_field(network: Network) -> Iterator[Finding]:
    inputs = network.plan.input_shape[1:]
    wide = [step for step in network.steps if _sees_several(step, inputs)]
    shrunk = [x for x in wide if all(w.size < w.extent for w in windows(x.layer))]
    even = all(x.layer.output_shape[1:] == inputs for x in network.steps if is_a(x.layer, *CONVOLUTIONS))
    chosen = shrunk[:1] or (wide[-1:] if even else [])
    for step in chosen:
        layer, field = step.layer, step.layer.field
        assert field is not None
        many = min(f // n for f, n in zip(field.size, inputs, strict=True))
        text = f"one of its outputs sees {times(field.size)}, {many} times the {times(inputs)} input: "
        if shrunk:
            sizes = times(layer.input_shape[1:]), times([w.extent for w in windows(layer)])
            text += f"only {sizes[0]} is left for its {sizes[1]} window, the rest is padding"
            yield Finding(layer, text, "use fewer strides and pools before it, or larger inputs")
        else:
            text += "layers before it see all of the input already"
            yield Finding(layer, text, "use fewer layers or smaller windows, unless the depth itself is wanted")


def _sees_several(step: Step, inputs: Sequence[int]) -> bool:
    layer, walks = step.layer, windows(step.layer)
    if not is_a(layer, *CONVOLUTIONS) or not all(w.extent > 1 for w in walks) or layer.field is None:
        return False
    return all(f > _SEVERAL * n for f, n in zip(layer.field.size, inputs, strict=True))


def _heavy(network: Network) -> Iterator[Finding]:
    total = network.plan.totals.parameters
    learning = [
        s
        for s in network.steps
        if not s.layer.composite and (value(s.layer, "out_channels") or value(s.layer, "out_features"))
    ]
    for step in learning if len(learning) > 1 else []:
        layer = step.layer
        if layer.parameters > 0.8 * total:
            share = f"{layer.parameters:,} of the network's {total:,} parameters"
            text = f"holds {share}, {math.floor(100 * layer.parameters / total)} %"
            yield Finding(layer, text, _lighter(step))


def _lighter(step: Step) -> str:
    flatten = first(step.before(), nn.Dropout)
    if is_a(step.layer, nn.Linear) and flatten is not None and is_a(flatten, nn.Flatten):
        arriving = flatten.input_shape
        if len(arriving) > 1 and max(arriving[1:]) > 1:
            return f"pool the {times(arriving)} before {flatten.type}, or give it fewer out_features"
    return "give it fewer outputs, or the others more"


RULES = (
    Rule(
        "rows-left-out",
        "the windows of a convolution or pool end before the last rows or columns, which then count for nothing",
        "ceil_mode: true for a pool, padding for a convolution",
        _rows_left_out,
    ),
    Rule(
        "small-field",
        "what a classifier pools over the whole image sees less than half of the input at a time",
        "more layers, strides or dilation before the pool; or a Flatten in its place",
        _small_field,
    ),
    Rule(
        "large-field",
        f"a convolution sees more than {_SEVERAL} times the input: most of it is padding, or was seen before",
        "fewer strides and pools, fewer layers, or larger inputs",
        _large_field,
    ),
    Rule(
        "padding-beyond-half",
        "zeros beyond half of a convolution's window: windows at the border see more zeros than input, or nothing else",
        "a padding of at most half the window",
        _padding_beyond_half,
    ),
    Rule(
        "dead-padding-mode",
        "padding_mode has no effect on a convolution without padding",
        "set a padding, or take padding_mode out",
        _dead_padding_mode,
    ),
    Rule(
        "checkerboard",
        "the windows of a transposed convolution overlap unevenly, which shows as a checkerboard in what it gives",
        "a kernel_size that is a multiple of the stride",
        _checkerboard,
    ),
    Rule(
        "heavy-layer",
        "one layer holds more than 80 % of all parameters",
        "pool before it, or give it fewer outputs",
        _heavy,
    ),
)
"""The rules about windows and sizes, in the order in which they are listed."""
