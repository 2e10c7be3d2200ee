"""torchvision's small layers as stand-alone source needs them, so that it imports torch alone.

They have the names, parameters, children and results of torchvision's own, and drop the same samples for a seed.
They are only ever printed: a network that is built here holds torchvision's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """In training, x set to zero with probability p, sample by sample (row) or the whole batch at once (batch)."""

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p = p
        self.mode = mode

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode}"

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        samples = x.shape[0] if self.mode == "row" else 1
        kept = torch.empty((samples,) + (1,) * (x.dim() - 1), dtype=x.dtype, device=x.device).bernoulli_(1 - self.p)
        return x * (kept / (1 - self.p) if self.p < 1 else kept)


class Permute(nn.Module):
    """The dimensions of x in another order, the batch first."""

    def __init__(self, dims: list[int]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return torch.permute(x, self.dims)


class SqueezeExcitation(nn.Module):
    """Every channel of x weighed by a number that all channels' means decide together."""

    def __init__(self, input_channels: int, squeeze_channels: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = nn.ReLU()
        self.scale_activation = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.activation(self.fc1(self.avgpool(x)))
        weights: Tensor = self.scale_activation(self.fc2(squeezed))
        return weights * x


STAND_INS = (StochasticDepth, Permute, SqueezeExcitation)
"""The classes that stand for torchvision's of the same name."""
