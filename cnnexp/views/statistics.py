"""Numbers about a network at work: activations, gradients and histograms."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnexp.architecture.plan import Plan, PlannedLayer
from cnnexp.views.look import Seen

NEAR = 0.01
"""How near to an end of its range, as a share of the range, an output counts as saturated."""

_BINS = 30
_BELOW, _ABOVE, _FAR, _FARTHER = (-6.0, -5.0, -4.0), (2.0, 4.0), 1e6, 1e8
_FEATURES_LAST = (
    *(nn.Linear, nn.Bilinear, nn.LayerNorm, nn.RMSNorm, nn.Embedding, nn.RNNBase, nn.MultiheadAttention),
    *(nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.TransformerEncoder, nn.TransformerDecoder),
)


@dataclass(frozen=True)
class Behaviour:
    """What a layer that works on every value by itself does to very small and very large ones.

    Arguments:
        rectified: whether zero and everything well below becomes zero, as ReLU does it.
        low, high: the ends of a range that it never leaves, as of sigmoid and tanh; None where it has not both.
    """

    rectified: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Activation:
    """The output of one layer in numbers, over all samples of the probe.

    Arguments:
        name, type: of the layer.
        shape: the sample shape of its output.
        mean, sd: of all values; the standard deviation is that of the values themselves (divided by n).
        dead: of a rectified output, the share of its units (channels, or features) that are zero for every sample.
        saturated: of an output with two ends, the share of values nearer to an end than `NEAR` of the range; of
            a rectified one only the upper end counts.
        gradient_norm: the length of the gradient of all its parameters together; None where it has none.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    mean: float
    sd: float
    dead: float | None = None
    saturated: float | None = None
    gradient_norm: float | None = None


@dataclass(frozen=True)
class Histogram:
    """How values are spread: `counts[i]` of them lie below `limits[i]` and not below the limit before it.

    Values that are not finite are left out.
    """

    low: float
    high: float
    number: int
    total: float
    squares: float
    limits: Sequence[float]
    counts: Sequence[float]


def behaviours(model: nn.Sequential, plan: Plan) -> dict[str, Behaviour]:
    """What the activations of a network do, by their dotted names: found by trying copies of them, not by their types.

    Only layers without parameters, buffers and layers inside are tried, and torch's generator is left as it was.
    """
    found = {}
    with torch.random.fork_rng(devices=[]), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a Softmax without `dim` has something to say
        known: dict[tuple[str, int], Behaviour] = {}
        for _, name, layer in plan.walk():
            module = model.get_submodule(name)
            if _is_plain(module, layer):
                kind = (repr(module), len(layer.input_shape))
                if kind not in known:
                    known[kind] = _behaviour(module, len(layer.input_shape))
                if known[kind] != Behaviour():
                    found[name] = known[kind]
    return found


def _is_plain(module: nn.Module, layer: PlannedLayer) -> bool:
    inside = (module.children(), module.parameters(), module.buffers())
    return layer.input_shape == layer.output_shape and not any(next(iter(x), None) is not None for x in inside)


def _behaviour(module: nn.Module, dimensions: int) -> Behaviour:
    points = torch.tensor([*_BELOW, 0.0, *_ABOVE, -_FARTHER, -_FAR, _FAR, _FARTHER], dtype=torch.float64)
    try:
        # One value to a sample, so that a layer that joins values is told from one that works on each by itself.
        out = copy.deepcopy(module).eval()(points.reshape(-1, *(1,) * dimensions))
        values: list[float] = out.reshape(-1).tolist()
    except Exception:  # a layer may refuse such a shape or dtype in its own way; it is then no activation
        return Behaviour()
    if len(values) != len(points):
        return Behaviour()
    below, (zero, *above), (lowest, low, high, highest) = values[:3], values[3:6], values[6:]
    rectified = zero == 0 and not any(below) and all(above)
    width = highest - lowest
    bounded = 0 < width < math.inf and max(abs(low - lowest), abs(high - highest)) < 1e-4 * width
    return Behaviour(rectified, lowest, highest) if bounded else Behaviour(rectified)


def activations(
    seen: Iterable[Seen], model: nn.Sequential, behaviour: Mapping[str, Behaviour], norms: Mapping[str, float]
) -> list[Activation]:
    """The outputs of layers in numbers.

    Arguments:
        seen: the outputs, in the order of the network.
        model: the network.
        behaviour: as `behaviours` gives it.
        norms: as `gradient_norms` gives it.
    """
    found, last = [], False
    for one in seen:
        module = model.get_submodule(one.name) if one.name != "input" else None
        if module is not None and next(module.parameters(), None) is not None:
            last = isinstance(module, _FEATURES_LAST)
        out = one.output
        mean = out.mean(dtype=torch.float64)
        sd = torch.linalg.vector_norm(out - mean.to(out.dtype), dtype=torch.float64) / max(out.numel(), 1) ** 0.5
        does = behaviour.get(one.name, Behaviour())
        dead, saturated = _dead(out, last) if does.rectified else None, _saturated(out, does)
        shape = tuple(out.shape[1:])
        norm = norms.get(one.name)
        found.append(Activation(one.name, one.type, shape, float(mean), float(sd), dead, saturated, norm))
    return found


def _dead(output: Tensor, features_last: bool) -> float:
    axis = output.dim() - 1 if features_last else min(1, output.dim() - 1)
    used = (output != 0).movedim(axis, 0).flatten(1).any(1)
    return 1 - float(used.sum()) / len(used)


def _saturated(output: Tensor, does: Behaviour) -> float | None:
    if does.low is None or does.high is None:
        return None
    near = NEAR * (does.high - does.low)
    ends = output >= does.high - near
    if not does.rectified:
        ends |= output <= does.low + near
    return float(ends.sum()) / max(output.numel(), 1)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """The gradients that the parameters hold, by name."""
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None and not p.grad.is_sparse}


def gradient_norms(gradients: Mapping[str, Tensor], plan: Plan) -> dict[str, float]:
    """The Euclidean length of the gradient of every layer with parameters; a composite's holds all that is inside."""
    if not gradients:
        return {}
    lengths = torch._foreach_norm([g.float() for g in gradients.values()])
    squares = torch.stack(list(lengths)).double().square().tolist()
    sums: dict[str, float] = {}
    for name, square in zip(gradients, squares, strict=True):
        parts = name.split(".")
        for end in range(1, len(parts)):
            layer = ".".join(parts[:end])
            sums[layer] = sums.get(layer, 0.0) + square
    return {name: math.sqrt(sums[name]) for _, name, _ in plan.walk() if name in sums}


def histogram(values: Tensor) -> Histogram | None:
    """How the finite values of a tensor are spread over 30 bins of equal width; None where there are none."""
    flat = values.detach().flatten()
    flat = flat if flat.dtype in (torch.float32, torch.float64) else flat.float()
    if not flat.numel():
        return None
    low, high = torch.stack(torch.aminmax(flat)).tolist()
    if not math.isfinite(low) or not math.isfinite(high):
        flat = flat[flat.isfinite()]
        if not flat.numel():
            return None
        low, high = torch.stack(torch.aminmax(flat)).tolist()
    total, length = flat.sum(dtype=torch.float64), torch.linalg.vector_norm(flat, dtype=torch.float64)
    spread = high - low
    if spread > torch.finfo(flat.dtype).max:  # torch counts in the dtype of the values
        flat = flat.double()
    if spread > 0 and math.isfinite(spread):
        counts = torch.histc(flat, _BINS, low, high).tolist()
        limits = [low + spread * (i + 1) / _BINS for i in range(_BINS - 1)] + [high]
    else:
        counts, limits = [float(flat.numel())], [high]
    return Histogram(low, high, flat.numel(), float(total), float(length) ** 2, limits, counts)
