"""How values flow through a planned network: its plain layers in order, whatever groups them.

A `Sequential`, a `Repeat` and a block only group layers. A `Residual`, a `Parallel` and an `Unpool` stand in a flow
themselves, as the place where branches meet; each of their branches is a flow of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from cnnexp.architecture.plan import Plan, PlannedLayer
from cnnexp.architecture.rules import spread
from cnnexp.errors import Path

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
MAX_POOLS = (nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd)
_WINDOWED_POOLS = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._LPPoolNd,
)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
POOLS = (*_WINDOWED_POOLS, nn.modules.pooling._AdaptiveMaxPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd)
BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)
NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
    nn.CrossMapLRN2d,
)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
ANY_DROPOUTS = (*DROPOUTS, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True, eq=False)
class Flow:
    """Layers that follow one another.

    Arguments:
        layers: plain layers, and the composites where branches meet.
        end: the composite to which it is a branch; None for the network's own flow.
    """

    layers: tuple[PlannedLayer, ...]
    end: Step | None


@dataclass(frozen=True, eq=False)
class Step:
    """A layer at its place in a flow."""

    flow: Flow
    index: int

    @property
    def layer(self) -> PlannedLayer:
        return self.flow.layers[self.index]

    def before(self) -> Iterator[PlannedLayer]:
        """The layers before it in its flow, the nearest first."""
        return (self.flow.layers[i] for i in range(self.index - 1, -1, -1))

    def after(self) -> Iterator[PlannedLayer]:
        """The layers after it in its flow."""
        return (self.flow.layers[i] for i in range(self.index + 1, len(self.flow.layers)))


def steps(plan: Plan) -> list[Step]:
    """Every step of every flow; a composite before what stands in its branches."""
    return list(_steps(plan.layers, None))


@dataclass(frozen=True)
class Network:
    """What rules look at.

    Arguments:
        plan: the whole network.
        steps: every step of every flow.
        loss: the name of the loss class; None where there is none.
    """

    plan: Plan
    steps: list[Step]
    loss: str | None


@dataclass(frozen=True)
class Finding:
    """What a rule has found.

    Arguments:
        layer: the layer that it is told about.
        text: what and why, to be read behind the layer's label.
        hint: the cure.
        key: the parameter at which it is told, where that is written.
    """

    layer: PlannedLayer
    text: str
    hint: str
    key: str | None = None

    @property
    def path(self) -> Path:
        """The key path in the model mapping."""
        written = self.key is not None and self.key in self.layer.params
        return self.layer.place(str(self.key)) if written else self.layer.path


def nothing(network: Network) -> Iterator[Finding]:
    """Finds nothing."""
    return iter(())


@dataclass(frozen=True)
class Rule:
    """One kind of advice.

    Arguments:
        code: its short stable name.
        why: one line that says what is found and why it matters.
        cure: one line that says what to do.
        find: finds it in a network.
    """

    code: str
    why: str
    cure: str
    find: Callable[[Network], Iterator[Finding]] = nothing


def _steps(layers: Iterable[PlannedLayer], end: Step | None) -> Iterator[Step]:
    flow = Flow(tuple(x for layer in layers for x in _spelt_out(layer)), end)
    for index, layer in enumerate(flow.layers):
        step = Step(flow, index)
        yield step
        branches = [layer.children] if layer.component.name == "Unpool" else [(child,) for child in layer.children]
        for branch in branches:
            yield from _steps(branch, step)


def _spelt_out(layer: PlannedLayer) -> Iterator[PlannedLayer]:
    if layer.composite and layer.component.name in ("Sequential", "Repeat"):
        for child in layer.children:
            yield from _spelt_out(child)
    else:
        yield layer


def is_a(layer: PlannedLayer | None, *classes: type) -> bool:
    """Whether a layer is one of torch's own classes; one derived from them may do something else."""
    if layer is None:
        return False
    cls = layer.component.cls
    return issubclass(cls, classes) and cls.__module__.startswith("torch.nn.")


def value(layer: PlannedLayer, name: str) -> Any:
    """A parameter of a layer, its default where it is not written, None where there is no such parameter."""
    if name in layer.params:
        return layer.params[name]
    parameter = layer.component.parameters.get(name)
    return None if parameter is None or parameter.required else parameter.default


def does_nothing(layer: PlannedLayer) -> bool:
    """Whether a layer hands on what it gets, always."""
    if is_a(layer, *ANY_DROPOUTS):
        return bool(value(layer, "p") == 0)
    return is_a(layer, nn.Identity) or (is_a(layer, nn.Flatten) and layer.input_shape == layer.output_shape)


def first(layers: Iterable[PlannedLayer], *passing: type) -> PlannedLayer | None:
    """The first layer that does something and is of none of the passing classes."""
    return next((x for x in layers if not does_nothing(x) and not is_a(x, *passing)), None)


def beside(layer: PlannedLayer, other: PlannedLayer) -> str:
    """How a message about a layer names another one: by what their labels do not have in common."""
    mine, parts = layer.label.split(" › "), other.label.split(" › ")
    while len(parts) > 1 and mine[:1] == parts[:1]:
        mine, parts = mine[1:], parts[1:]
    return " › ".join(parts)


@dataclass(frozen=True)
class Window:
    """How a convolution or a pool walks along one spatial dimension.

    Arguments:
        size: the positions that arrive.
        kernel, stride, dilation: those of the layer.
        left: the padding before the first position.
        right: the padding behind the last position.
        outputs: the positions that leave.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    left: int
    right: int
    outputs: int

    @property
    def extent(self) -> int:
        """From the first to the last position that one window looks at, both counted."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def left_out(self) -> int:
        """How many positions at the end no window reaches, where it is more than lies between any two windows."""
        lost = self.size + self.left - (self.outputs - 1) * self.stride - self.extent
        return lost if lost > max(0, self.stride - self.extent) else 0

    @property
    def blind(self) -> int:
        """How many windows look at nothing but padding."""
        starts = range(-self.left, -self.left + self.outputs * self.stride, self.stride)
        return sum(not any(0 <= at + tap < self.size for tap in self.taps) for at in starts)

    @property
    def taps(self) -> range:
        """Where a window looks, from its first position."""
        return range(0, self.extent, self.dilation)


def windows(layer: PlannedLayer) -> tuple[Window, ...]:
    """The windows of a convolution or pool, one for each spatial dimension; none for any other layer."""
    if not is_a(layer, *CONVOLUTIONS, *_WINDOWED_POOLS):
        return ()
    n = len(layer.input_shape) - 1
    kernels, dilations = (_each(layer, name, n) for name in ("kernel_size", "dilation"))
    strides = _each(layer, "stride", n) if value(layer, "stride") is not None else kernels
    padding = value(layer, "padding")
    totals = [d * (k - 1) for k, d in zip(kernels, dilations, strict=True)]
    lefts = [t // 2 for t in totals] if padding == "same" else spread(0 if padding == "valid" else padding or 0, n)
    rights = [t - t // 2 for t in totals] if padding == "same" else lefts
    inputs, outputs = layer.input_shape[1:], layer.output_shape[1:]
    return tuple(map(Window, inputs, kernels, strides, dilations, lefts, rights, outputs))


def _each(layer: PlannedLayer, name: str, n: int) -> tuple[int, ...]:
    found = value(layer, name)
    return spread(1 if found is None else found, n)
