"""What a layer costs and what it sees: multiply-adds, receptive field and jump."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

from cnnexp.architecture.rules import spread

_POOLS = (nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._LPPoolNd)
_ADAPTIVE = (nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd)
_MIXING = (nn.Linear, nn.Unflatten, nn.Flatten, nn.Fold, nn.TransformerEncoderLayer)
_FRACTIONAL = (nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)
_TAPS = {"linear": 2, "bilinear": 2, "trilinear": 2, "bicubic": 4}


@dataclass(frozen=True)
class Field:
    """What one output of a layer sees of the network's input, per spatial dimension.

    Statistics that a normalisation takes over a whole image or batch do not count.

    Arguments:
        reach: the distance between the first and the last input pixel that one output depends on, in input pixels; a
            fraction where outputs lie between input pixels.
        jump: the distance in the input between two neighbouring outputs; None where there are no neighbours any more.
    """

    reach: tuple[Fraction, ...]
    jump: tuple[Fraction, ...] | None

    @property
    def size(self) -> tuple[int, ...]:
        """How many input pixels one output depends on at the most (height, width); may exceed the input.

        Exact for convolutions and pools; behind layers that make images larger it can be a little more than is seen.
        """
        return tuple(math.floor(r) + 1 for r in self.reach)


def whole(shape: tuple[int, ...]) -> Field | None:
    """The field of the input itself: every pixel sees itself. None when the samples have no spatial dimensions."""
    spatial = len(shape) - 1
    return Field((Fraction(0),) * spatial, (Fraction(1),) * spatial) if spatial > 0 else None


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
    everything = tuple(Fraction(n - 1) for n in of[1:])
    if field.jump is None:
        kept = before == after or field.reach == everything
        return Field(everything, None) if isinstance(module, nn.Linear) else field if kept else None
    if isinstance(module, nn.Flatten) and len(after) == 1:
        return Field(field.reach, None)
    halved = isinstance(module, nn.GLU) and before[0] == after[0]  # along a spatial dimension
    if len(before) != len(after) or halved or isinstance(module, _MIXING):
        return None
    windows, steps = _window(module, before[1:], after[1:])
    reach = tuple(r + (w - 1) * j for r, w, j in zip(field.reach, windows, field.jump, strict=True))
    return Field(reach, tuple(j * s for j, s in zip(field.jump, steps, strict=True)))


def joined(fields: Sequence[Field | None]) -> Field | None:
    """The field of what branches give together: the widest of theirs, side by side as closely as the closest."""
    known = [f for f in fields if f is not None]
    if len(known) < len(fields) or not known or len({len(f.reach) for f in known}) != 1:
        return None
    reach = tuple(map(max, zip(*(f.reach for f in known), strict=True)))
    jumps = [f.jump for f in known if f.jump is not None]
    return Field(reach, tuple(map(min, zip(*jumps, strict=True))) if jumps else None)


def _window(
    module: nn.Module, before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]]:
    """How wide an output's window in the layer's input is, and how far apart two outputs are, per spatial dimension.

    A layer that makes images larger by a factor r has a window of e outputs, which is (e - 1) / r + 1 inputs.
    """
    n = len(before)
    ratio = tuple(Fraction(b, a) for b, a in zip(before, after, strict=True))
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        strides = spread(module.stride, n)
        windows = (Fraction(e - 1, s) + 1 for e, s in zip(_extents(module, n), strides, strict=True))
        return tuple(windows), tuple(Fraction(1, s) for s in strides)
    if isinstance(module, (nn.modules.conv._ConvNd, *_POOLS)):
        strides = spread(getattr(module, "stride", None) or module.kernel_size, n)
        return tuple(map(Fraction, _extents(module, n))), tuple(map(Fraction, strides))
    if isinstance(module, _ADAPTIVE) or (isinstance(module, nn.Upsample) and module.mode == "area"):
        return tuple(_adaptive_extent(b, a) for b, a in zip(before, after, strict=True)), ratio
    if isinstance(module, _FRACTIONAL):
        return tuple(map(Fraction, _extents(module, n))), ratio
    if isinstance(module, nn.Upsample):
        taps = _TAPS.get(module.mode, 1)
        return tuple(taps + 1 - min(r, Fraction(1)) for r in ratio), ratio
    if isinstance(module, nn.PixelUnshuffle):
        return (Fraction(module.downscale_factor),) * n, ratio
    if isinstance(module, nn.PixelShuffle):
        return tuple(2 - r for r in ratio), ratio
    return (Fraction(1),) * n, (Fraction(1),) * n


def _extents(module: nn.Module, n: int) -> tuple[int, ...]:
    sizes = zip(spread(module.kernel_size, n), spread(getattr(module, "dilation", 1), n), strict=True)
    return tuple(d * (k - 1) + 1 for k, d in sizes)


def _adaptive_extent(before: int, after: int) -> Fraction:
    """The window of an adaptive pool from b to a positions: the i-th from ⌊i·b/a⌋ to ⌈(i+1)·b/a⌉."""
    ratio = Fraction(before, after)
    return ratio + 2 - Fraction(2, ratio.denominator)


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
