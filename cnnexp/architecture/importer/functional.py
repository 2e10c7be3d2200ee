"""What torch's functions and methods do, said in layers: the part of a forward that has no modules of its own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import fx

from cnnexp.architecture.importer.nodes import (
    Layers,
    Look,
    Unsayable,
    arguments,
    built,
    first,
    operation,
    tensors,
    written,
)
from cnnexp.architecture.importer.views import VIEWS

_DROP = "p training inplace"
_POOL = "kernel_size stride padding dilation ceil_mode return_indices"
_MEAN = "kernel_size stride padding ceil_mode count_include_pad divisor_override"
# The function, the layer, and the function's parameters after the tensor, in order.
_PLAIN: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "celu": ("CELU", "alpha inplace"),
        "elu": ("ELU", "alpha inplace"),
        "gelu": ("GELU", "approximate"),
        "glu": ("GLU", "dim"),
        "hardshrink": ("Hardshrink", "lambd"),
        "hardsigmoid": ("Hardsigmoid", "inplace"),
        "hardswish": ("Hardswish", "inplace"),
        "hardtanh": ("Hardtanh", "min_val max_val inplace"),
        "leaky_relu": ("LeakyReLU", "negative_slope inplace"),
        "logsigmoid": ("LogSigmoid", ""),
        "log_softmax": ("LogSoftmax", "dim"),
        "mish": ("Mish", "inplace"),
        "relu": ("ReLU", "inplace"),
        "relu6": ("ReLU6", "inplace"),
        "rrelu": ("RReLU", "lower upper training inplace"),
        "selu": ("SELU", "inplace"),
        "sigmoid": ("Sigmoid", ""),
        "silu": ("SiLU", "inplace"),
        "softmax": ("Softmax", "dim"),
        "softmin": ("Softmin", "dim"),
        "softplus": ("Softplus", "beta threshold"),
        "softshrink": ("Softshrink", "lambd"),
        "softsign": ("Softsign", ""),
        "tanh": ("Tanh", ""),
        "tanhshrink": ("Tanhshrink", ""),
        "threshold": ("Threshold", "threshold value inplace"),
        "alpha_dropout": ("AlphaDropout", _DROP),
        "dropout": ("Dropout", _DROP),
        "dropout1d": ("Dropout1d", _DROP),
        "dropout2d": ("Dropout2d", _DROP),
        "dropout3d": ("Dropout3d", _DROP),
        "feature_alpha_dropout": ("FeatureAlphaDropout", _DROP),
        "channel_shuffle": ("ChannelShuffle", "groups"),
        "flatten": ("Flatten", "start_dim end_dim"),
        "fold": ("Fold", "output_size kernel_size dilation padding stride"),
        "unfold": ("Unfold", "kernel_size dilation padding stride"),
        "local_response_norm": ("LocalResponseNorm", "size alpha beta k"),
        "pixel_shuffle": ("PixelShuffle", "upscale_factor"),
        "pixel_unshuffle": ("PixelUnshuffle", "downscale_factor"),
        "unflatten": ("Unflatten", "dim unflattened_size"),
        "interpolate": ("Upsample", "size scale_factor mode align_corners recompute_scale_factor antialias"),
        "upsample": ("Upsample", "size scale_factor mode align_corners"),
        "avg_pool1d": ("AvgPool1d", "kernel_size stride padding ceil_mode count_include_pad"),
        "avg_pool2d": ("AvgPool2d", _MEAN),
        "avg_pool3d": ("AvgPool3d", _MEAN),
    }
    | {f"max_pool{n}d": (f"MaxPool{n}d", _POOL) for n in (1, 2, 3)}
    | {f"lp_pool{n}d": (f"LPPool{n}d", "norm_type kernel_size stride ceil_mode") for n in (1, 2, 3)}
    | {f"adaptive_avg_pool{n}d": (f"AdaptiveAvgPool{n}d", "output_size") for n in (1, 2, 3)}
    | {f"adaptive_max_pool{n}d": (f"AdaptiveMaxPool{n}d", "output_size return_indices") for n in (1, 2, 3)}
)
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "flatten": {"start_dim": 0},
    "rrelu": {"training": False},
    "alpha_dropout": {"training": False},
    "feature_alpha_dropout": {"training": False},
}  # where a function's default is not the layer's


def layers(node: fx.Node, look: Look) -> Layers:
    """The layers that do what a function or method does to one tensor.

    Arguments:
        node: a `call_function` or `call_method` that is no sum, product or concatenation.
        look: what is known about values.

    Raises:
        Unsayable: no layers do it.
    """
    name = operation(node)
    if name in ("contiguous", "clone"):
        return tensors(node)[0], []
    if name in ("expand", "expand_as"):
        if all(operation(user) in ("mul", "add") for user in node.users):
            return first(node), []  # sums and products broadcast by themselves
        raise Unsayable(f"forward calls {written(node)} outside a sum or a product")
    if name in VIEWS:
        return VIEWS[name](node, look)
    if name not in _PLAIN or len(tensors(node)) != 1:
        raise Unsayable(f"forward calls {written(node)}")
    return _plain(node, look)


def _plain(node: fx.Node, look: Look) -> Layers:
    name = operation(node)
    cls, names = _PLAIN[name]
    given = {**_DEFAULTS.get(name, {}), **look.plain_items(arguments(node, names))}
    if "training" in names.split() and not _as_trained(node, given, names, look):
        return first(node), []
    given.pop("training", None)
    if given.pop("return_indices", False) and not all(operation(user) == "getitem" for user in node.users):
        raise Unsayable(f"forward calls {written(node)} with return_indices")
    if given.pop("antialias", False):
        raise Unsayable(f"forward calls {written(node)} with antialias")
    if given.get("start_dim") == 0:
        raise Unsayable("forward flattens the batch too (torch.flatten without start_dim)")
    takes_inplace = "inplace" in names.split()
    if takes_inplace and str(getattr(node.target, "__name__", node.target)).endswith("_"):
        given["inplace"] = True
    return first(node), [built(cls, given)]


def _as_trained(node: fx.Node, given: Mapping[str, Any], names: str, look: Look) -> bool:
    """Whether a random operation works while training; it must not in eval mode."""
    if given.get("training", True):
        raise Unsayable(
            f"forward calls {written(node)} so that it goes on in eval mode (training=self.training is meant)"
        )
    other = look.training.get(node)
    return other is None or bool(arguments(other, names).get("training", False))
