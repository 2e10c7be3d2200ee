"""The tensor that leaves a layer on the meta device.

torch's own pass is the rule. Linear layers, zero-padded convolutions, averaging pools, normalisations and the
activations that look at each value alone have a short way here: torch's meta kernels for them import its compiler,
which costs `check` more time than torch itself. A property test holds both ways equal.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from cnnexp.architecture.rules import spread

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_AVERAGING = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
_KEEPING = frozenset(
    {
        nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.Identity, nn.LeakyReLU,
        nn.LogSigmoid, nn.Mish, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink,
        nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm,
        nn.Dropout, nn.Dropout2d,
    }
)  # fmt: skip
"""Layers that give the shape that they take, whatever it is, once their sizes and dimensions are known to fit."""


def leaving(module: Any, arriving: Tensor) -> Any:
    """What the layer gives for a batch on the meta device: only shape and dtype count.

    Arguments:
        module: the layer, on the meta device, already known to take what arrives.
        arriving: the batch.

    Raises:
        Exception: whatever torch raises about a layer that does not fit.
    """
    if type(module) is nn.Linear:
        return arriving.new_empty((*arriving.shape[:-1], module.out_features), dtype=module.weight.dtype)
    if type(module) in (*_CONVOLUTIONS, *_TRANSPOSED) and module.padding_mode == "zeros":
        sizes = _transposed(module, arriving) if type(module) in _TRANSPOSED else _convolved(module, arriving)
        return arriving.new_empty((arriving.shape[0], module.out_channels, *sizes), dtype=module.weight.dtype)
    if type(module) in _AVERAGING:
        wanted = spread(module.output_size, arriving.dim() - 2)
        sizes = [size if w is None else w for w, size in zip(wanted, arriving.shape[2:], strict=True)]
        return arriving.new_empty((*arriving.shape[:2], *sizes))
    if type(module) in _KEEPING and getattr(module, "eps", 1) > 0:
        return arriving.new_empty(arriving.shape)
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.momentum is None:
        module.momentum = 0.0  # with null it asks for a number, which the meta device has not
    if (
        type(module) is nn.LayerNorm
        and tuple(arriving.shape[-len(module.normalized_shape) :]) == module.normalized_shape
    ):
        return arriving.new_empty(arriving.shape)
    return module(arriving)


def _convolved(module: Any, arriving: Tensor) -> list[int]:
    n = arriving.dim() - 2
    windows = [d * (k - 1) + 1 for k, d in zip(module.kernel_size, module.dilation, strict=True)]
    if module.padding == "same":
        return list(arriving.shape[2:])
    padding = spread(0 if module.padding == "valid" else module.padding, n)
    rows = zip(arriving.shape[2:], windows, padding, module.stride, strict=True)
    return [(size + 2 * p - window) // s + 1 for size, window, p, s in rows]


def _transposed(module: Any, arriving: Tensor) -> list[int]:
    windows = [d * (k - 1) + 1 for k, d in zip(module.kernel_size, module.dilation, strict=True)]
    rows = zip(arriving.shape[2:], windows, module.padding, module.stride, module.output_padding, strict=True)
    return [max(0, (size - 1) * s - 2 * p + window + extra) for size, window, p, s, extra in rows]
