"""The kernels of a network's convolutions, all turned the same way."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from cnnexp.architecture.plan import Plan


@dataclass(frozen=True)
class Kernels:
    """The kernels of one convolution.

    Arguments:
        name: the dotted name of the layer.
        type: its type, such as `Conv2d`.
        weight: (output channels, input channels of the group, *window), on the CPU, float. A window stands as it is
            laid on the input; of a transposed convolution, as it is laid onto the output.
        groups: how many groups of channels there are; the i-th input of an output channel is the i-th of its group.
    """

    name: str
    type: str
    weight: Tensor
    groups: int = 1


def kernels(model: nn.Sequential, plan: Plan) -> list[Kernels]:
    """The kernels of every convolution, also of those inside a layer of another library, in the plan's order."""
    types = {name: layer.type for _, name, layer in plan.walk()}
    return [
        Kernels(name, types.get(name, type(module).__name__), _turned(module), module.groups)
        for name, module in model.named_modules()
        if isinstance(module, _ConvNd)
    ]


def _turned(module: _ConvNd) -> Tensor:
    """The weight as (out, in of the group, *window); a transposed convolution keeps it as (in, out of the group, …)."""
    weight = module.weight.detach().to("cpu", torch.float32, copy=True, memory_format=torch.contiguous_format)
    if not module.transposed:
        return weight
    inputs, outputs, *window = weight.shape
    grouped = weight.reshape(module.groups, inputs // module.groups, outputs, *window)
    return grouped.transpose(1, 2).reshape(module.groups * outputs, inputs // module.groups, *window)
