"""What a layer costs and what it sees: multiply-adds, receptive field and jump."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnexp.architecture.rules import spread

_POOLS = (nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._LPPoolNd)
_ADAPTIVE = (nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd)
_FRACTIONAL = (nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)
_UPSAMPLING_TAPS = {"linear": 2, "bilinear": 2, "trilinear": 2, "bicubic": 4}


@dataclass(frozen=True)
class Field:
    """What one output of a layer sees of the network's input, per spatial dimension.

    Statistics that a normalisation takes over a whole image or batch do not count.

    Arguments:
        size: how many input pixels one output depends on at the most (height, width); may exceed the input.
        jump: how many input pixels lie between two neighbouring outputs; None where there are no neighbours any more.
    """

    size: tuple[int, ...]
    jump: tuple[float, ...] | None


def whole(shape: tuple[int, ...]) -> Field | None:
    """The field of the input itself: every pixel sees itself. None when the samples have no spatial dimensions."""
    spatial = len(shape) - 1
    return Field((1,) * spatial, (1.0,) * spatial) if spatial else None


def advance(
    field: Field | None, module: nn.Module, before: tuple[int, ...], after: tuple[int, ...], of: tuple[int, ...]
) -> Field | None:
    """The field behind one more layer.

    Arguments:
        field: the field that arrives; None where it is not known.
        module: the layer.
        before, after: the sample shapes that enter and leave it.
        of: the sample shape of the network's input.

    Returns:
        the new field, or None where the layer mixes positions in a way that has no window.
    """
    if field is None:
        return None
    if field.jump is None:
        return Field(of[1:], None) if isinstance(module, nn.Linear) else field
    if isinstance(module, nn.Flatten) and len(after) == 1:
        return Field(field.size, None)
    if len(before) != len(after) or isinstance(
        module, (nn.Linear, nn.Unflatten, nn.Flatten, nn.Fold, nn.TransformerEncoderLayer)
    ):
        return None
    taps, steps = _window(module, before[1:], after[1:])
    size = (s + round((k - 1) * j) for s, k, j in zip(field.size, taps, field.jump, strict=True))
    jump = (j * step for j, step in zip(field.jump, steps, strict=True))
    return Field(tuple(size), tuple(jump))


def _window(
    module: nn.Module, before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """How many inputs an output of the layer reads, and how far apart two outputs are, per spatial dimension."""
    n = len(before)
    ratio = tuple(b / a for b, a in zip(before, after, strict=True))
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        extents = _extents(module, n)
        strides = spread(module.stride, n)
        return tuple(math.ceil(e / s) for e, s in zip(extents, strides, strict=True)), tuple(1 / s for s in strides)
    if isinstance(module, (nn.modules.conv._ConvNd, *_POOLS)):
        return _extents(module, n), tuple(map(float, spread(getattr(module, "stride", None) or module.kernel_size, n)))
    if isinstance(module, _ADAPTIVE):
        return tuple(_adaptive_extent(b, a) for b, a in zip(before, after, strict=True)), ratio
    if isinstance(module, _FRACTIONAL):
        return _extents(module, n), ratio
    if isinstance(module, nn.Upsample):
        area = tuple(_adaptive_extent(b, a) for b, a in zip(before, after, strict=True))
        taps = _UPSAMPLING_TAPS.get(module.mode, 1)
        return (area if module.mode == "area" else (taps,) * n), ratio
    if isinstance(module, nn.PixelUnshuffle):
        return (module.downscale_factor,) * n, ratio
    if isinstance(module, nn.PixelShuffle):
        return (1,) * n, ratio
    return (1,) * n, (1.0,) * n


def _extents(module: nn.Module, n: int) -> tuple[int, ...]:
    sizes = zip(spread(module.kernel_size, n), spread(getattr(module, "dilation", 1), n), strict=True)
    return tuple(d * (k - 1) + 1 for k, d in sizes)


def _adaptive_extent(before: int, after: int) -> int:
    return max(math.ceil((i + 1) * before / after) - i * before // after for i in range(after))


def multiply_adds(module: nn.Module, before: tuple[int, ...], after: tuple[int, ...], arriving: Tensor) -> int:
    """The multiplications that one sample costs in a layer, as torch's FlopCounterMode counts them (it counts 2 each).

    Arguments:
        module: the layer, on the meta device.
        before, after: the sample shapes that enter and leave it.
        arriving: a batch on the meta device, for modules that only torch itself can count.
    """
    if isinstance(module, nn.modules.conv._ConvNd):
        positions = before if isinstance(module, nn.modules.conv._ConvTransposeNd) else after
        kernel = math.prod(module.kernel_size) * module.in_channels * module.out_channels // module.groups
        return math.prod(positions[1:]) * kernel
    if isinstance(module, nn.Linear):
        return math.prod(after) * module.in_features
    if not any(True for _ in module.children()):
        return 0  # the counter has no rule for normalisations, poolings and activations
    from torch.utils.flop_counter import FlopCounterMode  # costs 0.3 s, and no simple layer needs it

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(arriving)
    return int(counter.get_total_flops()) // (2 * arriving.shape[0])
