"""One row per case: a layer as YAML would write it, the sample that arrives and the sample that must leave.

The output shapes are worked out by hand from the formulas in torch's documentation; test_layers.py holds both torch and
the plan to them. Its tests of the table want a row for every type of the catalogue and a use of every parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from cnnexp.architecture.composites import Slice


@dataclass(frozen=True)
class Row:
    """A layer type, its parameters as plain values, the sample shapes before and after it, and the samples' dtype."""

    type: str
    params: Mapping[str, Any]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    dtype: str = "float32"


# Which size of a layer may be left out, by the beginning of its type's name.
_LEFT_OUT = {"Conv": "in_channels", "BatchNorm": "num_features", "SyncBatchNorm": "num_features"}
_LEFT_OUT |= {"InstanceNorm": "num_features", "GroupNorm": "num_channels", "Linear": "in_features"}
_LEFT_OUT |= {"LayerNorm": "normalized_shape", "RMSNorm": "normalized_shape"}
# Rows whose layers torch comments on when it builds or runs them.
_SPOKEN = {
    "Conv1d": "ignore:Using padding='same' with even kernel lengths:UserWarning",
    "Hardtanh": "ignore:keyword argument `m.._value` is deprecated:FutureWarning",
    "LogSoftmax": "ignore:Implicit dimension choice for log_softmax:UserWarning",
    "Softmax": "ignore:Implicit dimension choice for softmax:UserWarning",
}


def by_hand(type_: str, params: Mapping[str, Any], shape: tuple[int, ...]) -> nn.Module:
    """The layer as a person would write it for this sample shape, without any help of the library under test."""
    arguments = {name: tuple(value) if isinstance(value, list) else value for name, value in params.items()}
    sizes = {"in_features": shape[-1], "normalized_shape": shape}
    for beginning, name in _LEFT_OUT.items():
        if type_.startswith(beginning):
            arguments.setdefault(name, sizes.get(name, shape[0]))
    if "dtype" in arguments:
        arguments["dtype"] = getattr(torch, arguments["dtype"])
    layer: nn.Module = (Slice if type_ == "Slice" else getattr(nn, type_))(**arguments)
    return layer


def batch(shape: tuple[int, ...], dtype: str = "float32") -> torch.Tensor:
    """Two samples, the same ones every time."""
    return torch.randn(2, *shape, dtype=getattr(torch, dtype), generator=torch.Generator().manual_seed(0))


_NORM = {"eps": 1e-3, "momentum": 0.2, "affine": True, "track_running_stats": True, "device": "cpu", "bias": False}
_PLACE = {"device": "cpu", "dtype": "float64"}
_DOWN = {"groups": 2, "bias": False, "padding_mode": "reflect", **_PLACE}
_UP = {"groups": 2, "bias": False, "padding_mode": "zeros", **_PLACE}
_AVERAGE = {"ceil_mode": True, "count_include_pad": False}
_LARGEST = {"ceil_mode": True, "return_indices": False}

# fmt: off
_CONVOLUTIONS = (
    Row("Conv1d", {"out_channels": 4, "kernel_size": 3}, (3, 9), (4, 7)),
    Row("Conv1d", {"in_channels": 4, "out_channels": 6, "kernel_size": [3], "stride": [2], "padding": [1],
        "dilation": [2], **_DOWN}, (4, 9), (6, 4), "float64"),
    Row("Conv1d", {"out_channels": 2, "kernel_size": 4, "padding": "same"}, (3, 7), (2, 7)),
    Row("Conv1d", {"out_channels": 2, "kernel_size": 7, "padding": 2, "padding_mode": "circular"}, (1, 5), (2, 3)),
    Row("Conv1d", {"out_channels": 3, "kernel_size": 3, "stride": 4, "padding": "valid"}, (3, 8), (3, 2)),
    Row("Conv2d", {"out_channels": 4, "kernel_size": 3}, (3, 8, 6), (4, 6, 4)),
    Row("Conv2d", {"in_channels": 4, "out_channels": 6, "kernel_size": [3, 2], "stride": [2, 1], "padding": [1, 2],
        "dilation": [1, 3], **_DOWN}, (4, 7, 8), (6, 4, 9), "float64"),
    Row("Conv2d", {"out_channels": 3, "kernel_size": [1, 5], "padding": "same", "dilation": 2, "groups": 3},
        (3, 4, 6), (3, 4, 6)),
    Row("Conv2d", {"out_channels": 2, "kernel_size": 3, "padding": "same", "padding_mode": "replicate"},
        (2, 5, 4), (2, 5, 4)),
    Row("Conv2d", {"out_channels": 2, "kernel_size": 5, "stride": 3, "padding": 2}, (1, 10, 11), (2, 4, 4)),
    Row("Conv2d", {"out_channels": 2, "kernel_size": 2, "padding": "valid", "stride": [1, 2]}, (1, 3, 4), (2, 2, 2)),
    Row("Conv3d", {"out_channels": 2, "kernel_size": 3}, (3, 5, 6, 4), (2, 3, 4, 2)),
    Row("Conv3d", {"in_channels": 2, "out_channels": 4, "kernel_size": [1, 2, 3], "stride": [1, 2, 2],
        "padding": [0, 1, 1], "dilation": [1, 2, 1], **_DOWN}, (2, 3, 5, 6), (4, 3, 3, 3), "float64"),
    Row("Conv3d", {"out_channels": 2, "kernel_size": 3, "padding": "same"}, (1, 3, 2, 4), (2, 3, 2, 4)),
    Row("Conv3d", {"out_channels": 1, "kernel_size": 2, "padding": 1, "padding_mode": "circular"},
        (1, 2, 3, 3), (1, 3, 4, 4)),
    Row("ConvTranspose1d", {"out_channels": 4, "kernel_size": 3}, (3, 5), (4, 7)),
    Row("ConvTranspose1d", {"in_channels": 4, "out_channels": 2, "kernel_size": [3], "stride": [2], "padding": [1],
        "output_padding": [1], "dilation": [2], **_UP}, (4, 5), (2, 12), "float64"),
    Row("ConvTranspose1d", {"out_channels": 2, "kernel_size": 2, "stride": 3, "output_padding": 2}, (3, 4), (2, 13)),
    Row("ConvTranspose2d", {"out_channels": 2, "kernel_size": 2, "stride": 2}, (3, 4, 5), (2, 8, 10)),
    Row("ConvTranspose2d", {"in_channels": 4, "out_channels": 6, "kernel_size": [3, 2], "stride": [2, 1],
        "padding": [1, 0], "output_padding": [1, 0], "dilation": [1, 2], **_UP}, (4, 3, 4), (6, 6, 6), "float64"),
    Row("ConvTranspose2d", {"out_channels": 3, "kernel_size": 3, "padding": 1, "groups": 3}, (3, 4, 4), (3, 4, 4)),
    Row("ConvTranspose3d", {"out_channels": 2, "kernel_size": 2}, (3, 2, 3, 2), (2, 3, 4, 3)),
    Row("ConvTranspose3d", {"in_channels": 2, "out_channels": 2, "kernel_size": [1, 2, 3], "stride": [1, 2, 2],
        "padding": [0, 0, 1], "output_padding": [0, 1, 1], "dilation": [1, 2, 1], **_UP},
        (2, 2, 2, 3), (2, 2, 6, 6), "float64"),
    Row("ConvTranspose3d", {"out_channels": 1, "kernel_size": 3, "stride": 2, "padding": 1},
        (2, 2, 3, 1), (1, 3, 5, 1)),
)
_POOLS = (
    Row("MaxPool1d", {"kernel_size": 2}, (3, 9), (3, 4)),
    Row("MaxPool1d", {"kernel_size": [3], "stride": [2], "padding": [1], "dilation": [2], **_LARGEST}, (2, 8), (2, 4)),
    Row("MaxPool1d", {"kernel_size": 3, "stride": 1, "padding": 1}, (2, 5), (2, 5)),
    Row("MaxPool2d", {"kernel_size": 2}, (3, 7, 6), (3, 3, 3)),
    Row("MaxPool2d", {"kernel_size": [3, 2], "stride": [2, 1], "padding": [1, 0], "dilation": [1, 2], **_LARGEST},
        (2, 6, 5), (2, 4, 3)),
    Row("MaxPool2d", {"kernel_size": 3, "stride": 2, "ceil_mode": True}, (2, 6, 7), (2, 3, 3)),
    Row("MaxPool2d", {"kernel_size": 2, "stride": 3, "ceil_mode": True}, (1, 4, 6), (1, 2, 2)),
    Row("MaxPool3d", {"kernel_size": 2}, (2, 5, 4, 6), (2, 2, 2, 3)),
    Row("MaxPool3d", {"kernel_size": [1, 2, 3], "stride": [1, 2, 2], "padding": [0, 1, 1], "dilation": [1, 1, 2],
        **_LARGEST}, (2, 3, 4, 6), (2, 3, 3, 3)),
    Row("MaxPool3d", {"kernel_size": 3, "stride": 1, "padding": 1}, (1, 2, 3, 3), (1, 2, 3, 3)),
    Row("AvgPool1d", {"kernel_size": 2}, (3, 9), (3, 4)),
    Row("AvgPool1d", {"kernel_size": [3], "stride": [2], "padding": [1], **_AVERAGE}, (2, 8), (2, 5)),
    Row("AvgPool1d", {"kernel_size": 3, "stride": 1, "padding": 1}, (2, 6), (2, 6)),
    Row("AvgPool2d", {"kernel_size": 3}, (3, 7, 6), (3, 2, 2)),
    Row("AvgPool2d", {"kernel_size": [3, 2], "stride": [2, 2], "padding": [1, 0], "divisor_override": 5, **_AVERAGE},
        (2, 6, 5), (2, 4, 3)),
    Row("AvgPool2d", {"kernel_size": 2, "stride": 1}, (2, 3, 4), (2, 2, 3)),
    Row("AvgPool3d", {"kernel_size": 2}, (2, 5, 4, 6), (2, 2, 2, 3)),
    Row("AvgPool3d", {"kernel_size": [1, 2, 3], "stride": [1, 2, 3], "padding": [0, 1, 1], "divisor_override": 2,
        **_AVERAGE}, (2, 2, 5, 6), (2, 2, 3, 3)),
    Row("AvgPool3d", {"kernel_size": 2, "stride": 1}, (1, 2, 3, 4), (1, 1, 2, 3)),
    Row("LPPool1d", {"norm_type": 2, "kernel_size": 3}, (2, 10), (2, 3)),
    Row("LPPool1d", {"norm_type": 2.0, "kernel_size": 3, "stride": 2, "ceil_mode": True}, (2, 8), (2, 4)),
    Row("LPPool1d", {"norm_type": 4, "kernel_size": 2, "stride": 1}, (1, 4), (1, 3)),
    Row("LPPool2d", {"norm_type": 2, "kernel_size": 2}, (2, 5, 6), (2, 2, 3)),
    Row("LPPool2d", {"norm_type": 2, "kernel_size": [3, 2], "stride": [2, 1], "ceil_mode": True}, (2, 6, 5), (2, 3, 4)),
    Row("LPPool2d", {"norm_type": 2, "kernel_size": 3, "stride": 1}, (1, 4, 4), (1, 2, 2)),
    Row("LPPool3d", {"norm_type": 2, "kernel_size": 2}, (2, 4, 5, 2), (2, 2, 2, 1)),
    Row("LPPool3d", {"norm_type": 2, "kernel_size": [1, 2, 3], "stride": [1, 2, 2], "ceil_mode": True},
        (2, 2, 5, 6), (2, 2, 3, 3)),
    Row("LPPool3d", {"norm_type": 2, "kernel_size": 2, "stride": 1}, (1, 3, 2, 3), (1, 2, 1, 2)),
    Row("FractionalMaxPool2d", {"kernel_size": 2, "output_size": 3}, (2, 6, 7), (2, 3, 3)),
    Row("FractionalMaxPool2d", {"kernel_size": [2, 3], "output_size": [4, 2], "return_indices": False},
        (2, 6, 7), (2, 4, 2)),
    Row("FractionalMaxPool2d", {"kernel_size": 2, "output_ratio": [0.5, 0.75]}, (2, 6, 7), (2, 3, 5)),
    Row("FractionalMaxPool3d", {"kernel_size": 2, "output_size": 2}, (2, 4, 5, 6), (2, 2, 2, 2)),
    Row("FractionalMaxPool3d", {"kernel_size": [1, 2, 3], "output_size": [3, 2, 4], "return_indices": False},
        (1, 5, 4, 7), (1, 3, 2, 4)),
    Row("FractionalMaxPool3d", {"kernel_size": 2, "output_ratio": 0.5}, (2, 4, 5, 6), (2, 2, 2, 3)),
    Row("AdaptiveAvgPool1d", {"output_size": 4}, (3, 9), (3, 4)),
    Row("AdaptiveAvgPool1d", {"output_size": [5]}, (2, 12), (2, 5)),
    Row("AdaptiveAvgPool1d", {"output_size": 6}, (2, 4), (2, 6)),
    Row("AdaptiveAvgPool2d", {"output_size": 2}, (3, 7, 5), (3, 2, 2)),
    Row("AdaptiveAvgPool2d", {"output_size": [3, 4]}, (2, 9, 4), (2, 3, 4)),
    Row("AdaptiveAvgPool2d", {"output_size": [None, 2]}, (2, 6, 9), (2, 6, 2)),
    Row("AdaptiveAvgPool3d", {"output_size": 1}, (3, 4, 5, 3), (3, 1, 1, 1)),
    Row("AdaptiveAvgPool3d", {"output_size": [2, 3, 1]}, (2, 5, 4, 3), (2, 2, 3, 1)),
    Row("AdaptiveAvgPool3d", {"output_size": [None, 1, None]}, (2, 3, 4, 5), (2, 3, 1, 5)),
    Row("AdaptiveMaxPool1d", {"output_size": 4}, (3, 9), (3, 4)),
    Row("AdaptiveMaxPool1d", {"output_size": [5], "return_indices": False}, (2, 12), (2, 5)),
    Row("AdaptiveMaxPool1d", {"output_size": 1}, (2, 4), (2, 1)),
    Row("AdaptiveMaxPool2d", {"output_size": 2}, (3, 7, 5), (3, 2, 2)),
    Row("AdaptiveMaxPool2d", {"output_size": [3, 4], "return_indices": False}, (2, 9, 4), (2, 3, 4)),
    Row("AdaptiveMaxPool2d", {"output_size": [2, None]}, (2, 6, 5), (2, 2, 5)),
    Row("AdaptiveMaxPool3d", {"output_size": 1}, (3, 4, 5, 3), (3, 1, 1, 1)),
    Row("AdaptiveMaxPool3d", {"output_size": [2, 3, 1], "return_indices": False}, (2, 5, 4, 3), (2, 2, 3, 1)),
    Row("AdaptiveMaxPool3d", {"output_size": [None, 2, None]}, (2, 3, 4, 5), (2, 3, 2, 5)),
)
_NORMALISATIONS = (
    Row("BatchNorm1d", {}, (4,), (4,)),
    Row("BatchNorm1d", {"num_features": 3, "dtype": "float64", **_NORM}, (3, 5), (3, 5), "float64"),
    Row("BatchNorm2d", {"affine": False, "momentum": None}, (3, 4, 5), (3, 4, 5)),
    Row("BatchNorm2d", {"num_features": 3, "dtype": "float64", **_NORM}, (3, 4, 5), (3, 4, 5), "float64"),
    Row("BatchNorm3d", {"track_running_stats": False}, (2, 3, 2, 4), (2, 3, 2, 4)),
    Row("BatchNorm3d", {"num_features": 2, "dtype": "float64", **_NORM}, (2, 3, 2, 4), (2, 3, 2, 4), "float64"),
    Row("SyncBatchNorm", {}, (3, 4, 5), (3, 4, 5)),
    Row("SyncBatchNorm", {"num_features": 3, "process_group": None, "dtype": "float64", **_NORM},
        (3, 4), (3, 4), "float64"),
    Row("InstanceNorm1d", {}, (3, 5), (3, 5)),
    Row("InstanceNorm1d", {"num_features": 3, "dtype": "float64", **_NORM}, (3, 5), (3, 5), "float64"),
    Row("InstanceNorm2d", {"affine": True}, (3, 4, 5), (3, 4, 5)),
    Row("InstanceNorm2d", {"num_features": 3, "dtype": "float64", **_NORM}, (3, 4, 5), (3, 4, 5), "float64"),
    Row("InstanceNorm3d", {}, (2, 3, 2, 4), (2, 3, 2, 4)),
    Row("InstanceNorm3d", {"num_features": 2, "dtype": "float64", **_NORM}, (2, 3, 2, 4), (2, 3, 2, 4), "float64"),
    Row("GroupNorm", {"num_groups": 2}, (6, 4, 5), (6, 4, 5)),
    Row("GroupNorm", {"num_groups": 3, "num_channels": 6, "eps": 1e-3, "affine": True, "bias": False, **_PLACE},
        (6, 3), (6, 3), "float64"),
    Row("LayerNorm", {}, (3, 4, 5), (3, 4, 5)),
    Row("LayerNorm", {"normalized_shape": [4, 5], "eps": 1e-3, "elementwise_affine": True, "bias": False, **_PLACE},
        (3, 4, 5), (3, 4, 5), "float64"),
    Row("LayerNorm", {"normalized_shape": 5, "elementwise_affine": False}, (3, 5), (3, 5)),
    Row("RMSNorm", {}, (3, 4, 5), (3, 4, 5)),
    Row("RMSNorm", {"normalized_shape": 5, "eps": 1e-3, "elementwise_affine": True, **_PLACE},
        (3, 5), (3, 5), "float64"),
    Row("RMSNorm", {"normalized_shape": [4, 5], "eps": None, "elementwise_affine": False}, (3, 4, 5), (3, 4, 5)),
    Row("LocalResponseNorm", {"size": 2}, (3, 4), (3, 4)),
    Row("LocalResponseNorm", {"size": 3, "alpha": 0.1, "beta": 0.5, "k": 2}, (4, 3, 5), (4, 3, 5)),
    Row("CrossMapLRN2d", {"size": 3}, (4, 3, 5), (4, 3, 5)),
    Row("CrossMapLRN2d", {"size": 3, "alpha": 0.1, "beta": 0.5, "k": 2}, (4, 3, 5), (4, 3, 5)),
)
_ACTIVATIONS = (
    Row("CELU", {"alpha": 0.7, "inplace": True}, (3, 4), (3, 4)),
    Row("ELU", {"alpha": 0.7, "inplace": True}, (3, 4), (3, 4)),
    Row("GELU", {"approximate": "tanh"}, (3, 4), (3, 4)),
    Row("GLU", {}, (4, 6), (4, 3)),
    Row("GLU", {"dim": 1}, (4, 6), (2, 6)),
    Row("Hardshrink", {"lambd": 0.3}, (3, 4), (3, 4)),
    Row("Hardsigmoid", {"inplace": True}, (3, 4), (3, 4)),
    Row("Hardswish", {"inplace": True}, (3, 4), (3, 4)),
    Row("Hardtanh", {"min_val": -0.5, "max_val": 2, "inplace": True}, (3, 4), (3, 4)),
    Row("Hardtanh", {"min_value": -0.5, "max_value": 0.5}, (3, 4), (3, 4)),
    Row("LeakyReLU", {"negative_slope": 0.2, "inplace": True}, (3, 4), (3, 4)),
    Row("LogSigmoid", {}, (3, 4), (3, 4)),
    Row("LogSoftmax", {"dim": 1}, (3, 4, 5), (3, 4, 5)),
    Row("LogSoftmax", {"dim": None}, (3,), (3,)),
    Row("Mish", {"inplace": True}, (3, 4), (3, 4)),
    Row("PReLU", {}, (3, 4), (3, 4)),
    Row("PReLU", {"num_parameters": 3, "init": 0.1, **_PLACE}, (3, 4), (3, 4), "float64"),
    Row("RReLU", {"lower": 0.1, "upper": 0.5, "inplace": True}, (3, 4), (3, 4)),
    Row("ReLU", {}, (3, 4), (3, 4)),
    Row("ReLU", {"inplace": True}, (5,), (5,)),
    Row("ReLU6", {"inplace": True}, (3, 4), (3, 4)),
    Row("SELU", {"inplace": True}, (3, 4), (3, 4)),
    Row("SiLU", {"inplace": True}, (3, 4), (3, 4)),
    Row("Sigmoid", {}, (3, 4), (3, 4)),
    Row("Softmax", {"dim": -1}, (3, 4), (3, 4)),
    Row("Softmax", {}, (3,), (3,)),
    Row("Softmax2d", {}, (3, 4, 5), (3, 4, 5)),
    Row("Softmin", {"dim": 1}, (3, 4), (3, 4)),
    Row("Softplus", {"beta": 2, "threshold": 5.5}, (3, 4), (3, 4)),
    Row("Softshrink", {"lambd": 0.3}, (3, 4), (3, 4)),
    Row("Softsign", {}, (3, 4), (3, 4)),
    Row("Tanh", {}, (3, 4), (3, 4)),
    Row("Tanhshrink", {}, (3, 4), (3, 4)),
    Row("Threshold", {"threshold": 0.1, "value": -2, "inplace": True}, (3, 4), (3, 4)),
)
_PADDINGS = (
    Row("CircularPad1d", {"padding": [2, 1]}, (3, 5), (3, 8)),
    Row("CircularPad2d", {"padding": [1, 2, 0, 3]}, (2, 4, 5), (2, 7, 8)),
    Row("CircularPad3d", {"padding": 1}, (2, 2, 3, 4), (2, 4, 5, 6)),
    Row("ConstantPad1d", {"padding": [2, 1], "value": 0.5}, (3, 5), (3, 8)),
    Row("ConstantPad2d", {"padding": 2, "value": 1}, (2, 4, 5), (2, 8, 9)),
    Row("ConstantPad3d", {"padding": [0, 1, 2, 0, 1, 1], "value": -1.5}, (2, 2, 3, 4), (2, 4, 5, 5)),
    Row("ReflectionPad1d", {"padding": [2, 1]}, (3, 5), (3, 8)),
    Row("ReflectionPad2d", {"padding": [1, 2, 0, 3]}, (2, 4, 5), (2, 7, 8)),
    Row("ReflectionPad3d", {"padding": 1}, (2, 2, 3, 4), (2, 4, 5, 6)),
    Row("ReplicationPad1d", {"padding": 2}, (3, 5), (3, 9)),
    Row("ReplicationPad2d", {"padding": [1, 2, 0, 3]}, (2, 4, 5), (2, 7, 8)),
    Row("ReplicationPad3d", {"padding": [0, 1, 2, 0, 1, 1]}, (2, 2, 3, 4), (2, 4, 5, 5)),
    Row("ZeroPad1d", {"padding": [-1, 2]}, (3, 5), (3, 6)),
    Row("ZeroPad2d", {"padding": [1, 0, -1, -1]}, (2, 4, 5), (2, 2, 6)),
    Row("ZeroPad3d", {"padding": 1}, (2, 2, 3, 4), (2, 4, 5, 6)),
)
_SHAPES = (
    Row("Flatten", {}, (3, 4, 5), (60,)),
    Row("Flatten", {"start_dim": 2, "end_dim": 3}, (3, 4, 5), (3, 20)),
    Row("Unflatten", {"dim": 1, "unflattened_size": [2, 3]}, (6, 4), (2, 3, 4)),
    Row("Unflatten", {"dim": -1, "unflattened_size": [-1, 2]}, (6,), (3, 2)),
    Row("Fold", {"output_size": [4, 5], "kernel_size": [2, 3]}, (12, 9), (2, 4, 5)),
    Row("Fold", {"output_size": [4, 5], "kernel_size": 2, "dilation": [1, 2], "padding": 1, "stride": [2, 1]},
        (8, 15), (2, 4, 5)),
    Row("Unfold", {"kernel_size": [2, 3]}, (2, 4, 5), (12, 9)),
    Row("Unfold", {"kernel_size": 2, "dilation": [1, 2], "padding": 1, "stride": [2, 1]}, (2, 4, 5), (8, 15)),
    Row("PixelShuffle", {"upscale_factor": 2}, (8, 3, 4), (2, 6, 8)),
    Row("PixelUnshuffle", {"downscale_factor": 2}, (2, 6, 8), (8, 3, 4)),
    Row("ChannelShuffle", {"groups": 2}, (6, 3, 4), (6, 3, 4)),
    Row("Upsample", {"size": [7]}, (3, 4), (3, 7)),
    Row("Upsample", {"scale_factor": 2}, (3, 4, 5), (3, 8, 10)),
    Row("Upsample", {"scale_factor": 1.5, "mode": "linear", "align_corners": True}, (3, 5), (3, 7)),
    Row("Upsample", {"scale_factor": [1.5, 2], "mode": "bilinear", "align_corners": False,
        "recompute_scale_factor": True}, (3, 5, 4), (3, 7, 8)),
    Row("Upsample", {"size": [6, 9], "mode": "bicubic"}, (3, 4, 5), (3, 6, 9)),
    Row("Upsample", {"size": 4, "mode": "trilinear"}, (1, 2, 3, 2), (1, 4, 4, 4)),
    Row("Upsample", {"size": [3, 2], "mode": "area"}, (2, 6, 5), (2, 3, 2)),
    Row("Upsample", {"scale_factor": 3.0, "mode": "nearest-exact"}, (2, 2, 3, 1), (2, 6, 9, 3)),
    Row("UpsamplingBilinear2d", {"scale_factor": 2}, (3, 4, 5), (3, 8, 10)),
    Row("UpsamplingBilinear2d", {"size": [6, 5]}, (3, 4, 5), (3, 6, 5)),
    Row("UpsamplingNearest2d", {"scale_factor": [2, 1.5]}, (3, 4, 5), (3, 8, 7)),
    Row("UpsamplingNearest2d", {"size": 6}, (3, 4, 5), (3, 6, 6)),
)
_OTHERS = (
    Row("AlphaDropout", {"p": 0.3, "inplace": True}, (3, 4), (3, 4)),
    Row("Dropout", {"p": 0.3, "inplace": True}, (3, 4), (3, 4)),
    Row("Dropout1d", {"p": 0.3, "inplace": True}, (3, 4), (3, 4)),
    Row("Dropout2d", {"p": 0.3, "inplace": True}, (3, 4, 5), (3, 4, 5)),
    Row("Dropout3d", {"p": 0.3, "inplace": True}, (3, 2, 4, 2), (3, 2, 4, 2)),
    Row("FeatureAlphaDropout", {"p": 0.3, "inplace": True}, (3, 4, 5), (3, 4, 5)),
    Row("Identity", {}, (3, 4), (3, 4)),
    Row("Identity", {"anything": [1, 2], "more": "words"}, (3,), (3,)),
    Row("Slice", {}, (3, 4), (3, 4)),
    Row("Slice", {"dim": -1, "start": 1, "stop": 3}, (3, 4), (3, 2)),
    Row("Linear", {"out_features": 6}, (5,), (6,)),
    Row("Linear", {"in_features": 5, "out_features": 2, "bias": False, **_PLACE}, (3, 4, 5), (3, 4, 2), "float64"),
    Row("TransformerEncoderLayer", {"d_model": 8, "nhead": 2, "dim_feedforward": 16, "batch_first": True},
        (5, 8), (5, 8)),
    Row("TransformerEncoderLayer", {"d_model": 4, "nhead": 1, "dim_feedforward": 6, "dropout": 0.2,
        "activation": "gelu", "layer_norm_eps": 1e-4, "batch_first": True, "norm_first": True, "bias": False, **_PLACE},
        (3, 4), (3, 4), "float64"),
)
# fmt: on

ROWS: tuple[Row, ...] = (*_CONVOLUTIONS, *_POOLS, *_NORMALISATIONS, *_ACTIVATIONS, *_PADDINGS, *_SHAPES, *_OTHERS)


def _case(index: int, row: Row) -> Any:
    number = sum(r.type == row.type for r in ROWS[:index]) + 1
    marks = [pytest.mark.filterwarnings(_SPOKEN[row.type])] if row.type in _SPOKEN else []
    return pytest.param(row, id=f"{row.type}-{number}", marks=marks)


EVERY_ROW = pytest.mark.parametrize("row", [_case(index, row) for index, row in enumerate(ROWS)])
