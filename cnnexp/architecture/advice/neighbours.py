"""Advice about layers and what stands beside them: what undoes, repeats or hides what another layer does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from cnnexp.architecture.advice.flow import (
    BATCH_NORMS,
    CONVOLUTIONS,
    DROPOUTS,
    MAX_POOLS,
    NORMS,
    TRANSPOSED,
    Finding,
    Flow,
    Network,
    Rule,
    beside,
    first,
    is_a,
    value,
    windows,
)
from cnnexp.architecture.fitting import times
from cnnexp.architecture.plan import PlannedLayer

_RISING = (
    nn.ReLU,
    nn.ReLU6,
    nn.Sigmoid,
    nn.Hardsigmoid,
    nn.LogSigmoid,
    nn.Tanh,
    nn.Softsign,
    nn.Softplus,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.Hardtanh,
)
"""Activations that never fall, whatever their parameters may be (ELU and its kin with alpha above 0)."""

_SATURATING = (nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.Softsign)
_BENT = (nn.LeakyReLU, nn.ELU, nn.CELU, nn.PReLU, nn.RReLU)
"""Activations that only change what is negative, beside ReLU."""

_KEEPING = (nn.Flatten, *MAX_POOLS, nn.modules.pooling._AdaptiveAvgPoolNd)
"""Layers whose numbers lie between the smallest and the largest of those that arrive."""

_MOST_SATURATING = 3
_INF = math.inf


def _bias_before_norm(network: Network) -> Iterator[Finding]:
    for step in network.steps:
        layer = step.layer
        if not is_a(layer, nn.Linear, *CONVOLUTIONS, *TRANSPOSED) or value(layer, "bias") is not True:
            continue
        norm = first(step.after(), nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
        if norm is not None and _takes_means(norm, layer):
            text = f"its bias is taken away again by {beside(layer, norm)}, which subtracts the mean of every "
            channel = "feature" if is_a(layer, nn.Linear) else "channel"
            yield Finding(layer, text + channel, "set bias: false", "bias")


def _takes_means(norm: PlannedLayer, layer: PlannedLayer) -> bool:
    """Whether a normalisation subtracts a mean over positions that all share one number of the layer's bias."""
    if is_a(layer, nn.Linear):
        return is_a(norm, *BATCH_NORMS) and len(norm.input_shape) == 1 and _follows(norm)
    if is_a(norm, nn.GroupNorm):
        return bool(value(norm, "num_groups") == norm.input_shape[0])
    if is_a(norm, nn.LayerNorm):
        shape = value(norm, "normalized_shape")
        return not isinstance(shape, (tuple, list)) or len(shape) < len(norm.input_shape)
    return is_a(norm, nn.modules.batchnorm._NormBase) and _follows(norm)


def _follows(norm: PlannedLayer) -> bool:
    """Whether the statistics of a normalisation follow what arrives."""
    return value(norm, "momentum") != 0 or not value(norm, "track_running_stats")


def _one_layer(network: Network) -> Iterator[Finding]:
    for step in network.steps:
        layer = step.layer
        other = first(step.after(), *DROPOUTS) if is_a(layer, nn.Linear, *CONVOLUTIONS) else None
        if other is None:
            continue
        if is_a(layer, nn.Linear) and is_a(other, nn.Linear):
            enters, middle, leaves = layer.input_shape[-1], layer.output_shape[-1], other.output_shape[-1]
            what, size = f"linear layer ({enters} → {leaves})", enters * leaves
        elif kernel := _as_one(layer, other):
            enters, middle, leaves = layer.input_shape[0], layer.output_shape[0], other.output_shape[0]
            what = f"{times(kernel)} convolution ({enters} → {leaves} channels)"
            size = enters * leaves * math.prod(kernel)
        else:
            continue
        if middle < min(enters, leaves):
            continue  # a narrow middle is a choice: fewer numbers than the one layer has
        biased = any(value(x, "bias") for x in (layer, other))
        both, alone = layer.parameters + other.parameters, size + (leaves if biased else 0)
        text = f"with {beside(layer, other)} behind it and no activation between, the two are one {what}"
        numbers = f"{both:,} parameters do what {alone:,} can"
        yield Finding(layer, f"{text}: {numbers}", "put an activation between them, or take one of them out")


def _as_one(layer: PlannedLayer, other: PlannedLayer) -> tuple[int, ...] | None:
    """The kernel of the one convolution that two are together; None where there is none."""
    pair = (layer, other)
    if not all(is_a(x, *CONVOLUTIONS) and value(x, "groups") == 1 for x in pair):
        return None
    if _is_pointwise(other):
        return tuple(w.kernel for w in windows(layer))
    # The zeros around the second convolution are not what the first one's bias makes of zeros.
    exact = not value(layer, "bias") or value(other, "padding_mode") != "zeros"
    if _is_pointwise(layer) and (exact or not any(w.left + w.right for w in windows(other))):
        return tuple(w.kernel for w in windows(other))
    return None


def _is_pointwise(layer: PlannedLayer) -> bool:
    return all(w.kernel == w.stride == 1 and w.left == w.right == 0 for w in windows(layer))


def _depthwise_alone(network: Network) -> Iterator[Finding]:
    fates: dict[Flow, list[_Fate]] = {}
    for step in network.steps:
        layer = step.layer
        if not _is_depthwise(layer):
            continue
        meets = _fates(step.flow, fates)[step.index + 1].straight
        if meets is _MIXED:
            continue
        missing = "no layer behind it mixes them"
        if isinstance(meets, PlannedLayer):
            missing = f"{beside(layer, meets)} filters every channel by itself again before any layer mixes them"
        channels = layer.input_shape[0]
        text = f"is depthwise ({channels} groups for {channels} channels), and {missing}"
        cure = "put a convolution with kernel_size: 1 behind it, which mixes the channels"
        yield Finding(layer, text, cure, "groups")


def _is_depthwise(layer: PlannedLayer) -> bool:
    # One of 1×1 sees no neighbours: it only weighs every channel, as the scale of a ConvNeXt block does.
    grouped = is_a(layer, *CONVOLUTIONS) and value(layer, "groups") == layer.input_shape[0] > 1
    return grouped and not _is_pointwise(layer)


_MIXED = "mixed"
_END = "end"


@dataclass(frozen=True)
class _Fate:
    """What a filtered channel meets first: a layer that mixes, the next depthwise convolution, or the network's end.

    Arguments:
        straight: from here on; two depthwise convolutions with nothing but linear layers between are one.
        bent: from here on, after an activation.
    """

    straight: str | PlannedLayer
    bent: str | PlannedLayer


def _fates(flow: Flow, known: dict[Flow, list[_Fate]]) -> list[_Fate]:
    """The fates of the channels before each layer of a flow, and behind its last; worked out once for each flow."""
    if flow not in known:
        fate = _Fate(_END, _END) if flow.end is None else _fates(flow.end.flow, known)[flow.end.index + 1]
        backwards = [fate]
        for layer in reversed(flow.layers):
            if _is_depthwise(layer):
                fate = _Fate(fate.straight, layer)
            elif _mixes(layer):
                fate = _Fate(_MIXED, _MIXED)
            elif _bends(layer):
                fate = _Fate(fate.bent, fate.bent)
            backwards.append(fate)
        known[flow] = backwards[::-1]
    return known[flow]


def _mixes(layer: PlannedLayer) -> bool:
    """Whether every output of a layer may depend on every channel; a layer that is not known may do anything."""
    if layer.composite:
        inside = [any(_mixes(x) for x in _leaves(child)) for child in layer.children]
        return all(inside) if value(layer, "merge") == "multiply" else any(inside)
    if layer.component.name in ("SqueezeExcitation", "FrozenBatchNorm2d"):
        return False
    known = layer.component.cls.__module__.startswith(("torch.nn.", "torchvision.ops.", "cnnexp."))
    return not known or (layer.parameters > 0 and not is_a(layer, *NORMS, nn.PReLU) and not _is_depthwise(layer))


def _leaves(layer: PlannedLayer) -> Iterator[PlannedLayer]:
    if not layer.composite:
        yield layer
    for child in layer.children:
        yield from _leaves(child)


def _bends(layer: PlannedLayer) -> bool:
    """Whether something in a layer is no linear function of what arrives."""
    return (
        any(x.component.cls.__module__ == nn.ReLU.__module__ or is_a(x, *MAX_POOLS) for x in _leaves(layer))
        or value(layer, "merge") == "multiply"
    )


def _saturating(network: Network) -> Iterator[Finding]:
    for flow in dict.fromkeys(step.flow for step in network.steps):
        learning = [i for i, layer in enumerate(flow.layers) if layer.parameters]
        end = max(learning, default=-1) if flow.end is None else len(flow.layers)
        stack: list[PlannedLayer] = []
        for layer in (*flow.layers[: max(end, 0)], None):
            if layer is None or layer.composite or is_a(layer, *NORMS):
                if len(stack) > _MOST_SATURATING:
                    yield _too_many(stack)
                stack = []
            elif is_a(layer, *_SATURATING):
                stack.append(layer)


def _too_many(stack: list[PlannedLayer]) -> Finding:
    text = f"is the first of {len(stack)} saturating activations with no normalisation between them"
    if all(is_a(x, nn.Sigmoid, nn.Hardsigmoid) for x in stack):
        left = f"each hands back a quarter of a gradient at the most, all together 1/{4 ** len(stack):,}"
    else:
        left = "a gradient shrinks in each of them that saturates"
    return Finding(stack[0], f"{text}: {left}", "use ReLU, or put a normalisation before each of them")


def _activation_before_pool(network: Network) -> Iterator[Finding]:
    for step in network.steps:
        pool = step.layer
        before = first(step.before()) if is_a(pool, *MAX_POOLS) else None
        if before is None or not _rises(before):
            continue
        if any(w.dilation > 1 and w.blind for w in windows(pool)):
            continue  # a window without input gives minus infinity, which an activation would change
        many, few = math.prod(pool.input_shape), math.prod(pool.output_shape)
        if few < many:
            share = f"on {few:,} numbers in place of {many:,}, {_share(few / many)}"
            text = f"in front of {beside(pool, before)} it would give the same, and {before.type} would work {share}"
            yield Finding(pool, text, f"write {pool.type} before {before.type}")


def _rises(layer: PlannedLayer) -> bool:
    """Whether a larger number never becomes a smaller one, so that the largest stays the largest."""
    if is_a(layer, nn.LeakyReLU):
        return bool(value(layer, "negative_slope") >= 0)
    return is_a(layer, *_RISING) and (value(layer, "alpha") or 1) > 0


def _share(part: float) -> str:
    whole = round(1 / part)
    return f"1/{whole} of the work" if math.isclose(whole * part, 1) else f"{100 * part:.0f} % of the work"


def _dropout_before_norm(network: Network) -> Iterator[Finding]:
    for step in network.steps:
        layer = step.layer
        norm = first(step.after()) if is_a(layer, *DROPOUTS) and 0 < value(layer, "p") < 1 else None
        if norm is not None and is_a(norm, *BATCH_NORMS) and value(norm, "track_running_stats"):
            many = f"{1 / (1 - value(layer, 'p')):.3g}"
            text = f"in training it makes the variance that {beside(layer, norm)} remembers at least {many} times"
            yield Finding(layer, f"{text} as large as it is in evaluation", f"put it behind {norm.type}")


def _idle_activation(network: Network) -> Iterator[Finding]:
    for step in network.steps:
        layer = step.layer
        kept = _unchanged(layer)
        before = first(step.before(), *_KEEPING) if kept else None
        given = _range(before)
        if before is not None and kept and given and kept[0] <= given[0] and given[1] <= kept[1]:
            low, high = (f"{x:g}" for x in given)
            what = f"below {low}" if given[1] == _INF else f"outside of {low} to {high}"
            text = f"changes nothing: {beside(layer, before)} gives no number {what}"
            yield Finding(layer, text, "take it out")


def _unchanged(layer: PlannedLayer) -> tuple[float, float] | None:
    """The numbers that an activation hands on as they are."""
    if is_a(layer, nn.ReLU6):
        return 0, 6
    if is_a(layer, nn.Hardtanh):
        return value(layer, "min_val"), value(layer, "max_val")
    return (0, _INF) if is_a(layer, nn.ReLU, *_BENT) else None


def _range(layer: PlannedLayer | None) -> tuple[float, float] | None:
    """The smallest and the largest number that an activation can give."""
    if is_a(layer, nn.ReLU, nn.Softplus):
        return 0, _INF
    if is_a(layer, nn.ReLU6):
        return 0, 6
    if is_a(layer, nn.Sigmoid, nn.Hardsigmoid, nn.Softmax, nn.Softmin, nn.Softmax2d):
        return 0, 1
    return (-1, 1) if is_a(layer, nn.Tanh, nn.Softsign) else None


RULES = (
    Rule(
        "bias-before-norm",
        "a bias that the normalisation behind it subtracts again is learned for nothing",
        "bias: false",
        _bias_before_norm,
    ),
    Rule(
        "one-layer",
        "two linear layers or convolutions with no activation between them are one",
        "an activation between them, or one of them out",
        _one_layer,
    ),
    Rule(
        "depthwise-alone",
        "a depthwise convolution filters every channel by itself, and no layer behind it mixes the channels",
        "a convolution with kernel_size: 1 behind it",
        _depthwise_alone,
    ),
    Rule(
        "saturating-stack",
        f"more than {_MOST_SATURATING} sigmoids or tanhs without a normalisation between them let gradients vanish",
        "ReLU, or normalisations before them",
        _saturating,
    ),
    Rule(
        "activation-before-max-pool",
        "an activation that never falls gives the same behind a max pool, on fewer numbers",
        "the pool before the activation",
        _activation_before_pool,
    ),
    Rule(
        "dropout-before-norm",
        "dropout enlarges the variance in training only, and a batch norm remembers it for evaluation",
        "dropout behind the normalisation",
        _dropout_before_norm,
    ),
    Rule(
        "idle-activation",
        "an activation that changes nothing of what the activation before it gives",
        "take it out",
        _idle_activation,
    ),
)
"""The rules about neighbours, in the order in which they are listed."""
