"""The modules that a stack needs beside torch's own layers, and the composite types that a stack may name.

A composite is an entry that holds other entries. `Sequential` and `Repeat` build torch's own `nn.Sequential`; the
classes here are what torch lacks. `source.py` prints them as they stand, so that they import torch alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from cnnexp.components import Catalog, Component
from cnnexp.kinds import Rule


class Residual(nn.Module):
    """What the layers make of x, added to what the shortcut makes of it; without a shortcut, to x itself."""

    def __init__(self, layers: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = layers
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out + (x if self.shortcut is None else self.shortcut(x))


class Parallel(nn.Module):
    """What every branch makes of the same x, joined: concatenated along a dimension, added or multiplied."""

    def __init__(self, branches: dict[str, nn.Module], merge: str = "concat", dim: int = 1) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)
        self.merge = merge
        self.dim = dim

    def extra_repr(self) -> str:
        return f"merge={self.merge}" + (f", dim={self.dim}" if self.merge == "concat" else "")

    def forward(self, x: Tensor) -> Tensor:
        outs = [branch(x) for branch in self.children()]
        if self.merge == "concat":
            return torch.cat(outs, self.dim)
        joined: Tensor = outs[0]
        for out in outs[1:]:
            joined = joined + out if self.merge == "add" else joined * out
        return joined


class Unpool(nn.Module):
    """A max pool, layers at the small size, and every value put back where the pool had found its maximum."""

    def __init__(self, pool: nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d, layers: nn.Module) -> None:
        super().__init__()
        self.pool = pool
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        pooled, places = self.pool(x)
        unpools: dict[int, type[nn.Module]] = {3: nn.MaxUnpool1d, 4: nn.MaxUnpool2d, 5: nn.MaxUnpool3d}
        back = unpools[x.dim()](self.pool.kernel_size, self.pool.stride, self.pool.padding)
        out: Tensor = back(self.layers(pooled), places, output_size=x.shape)
        return out


class Slice(nn.Module):
    """The part of x from `start` up to `stop` along a dimension; null stands for the end."""

    def __init__(self, dim: int = 1, start: int = 0, stop: int | None = None) -> None:
        super().__init__()
        self.dim = dim
        self.start = start
        self.stop = stop

    def extra_repr(self) -> str:
        return f"dim={self.dim}, start={self.start}, stop={self.stop}"

    def forward(self, x: Tensor) -> Tensor:
        return x[(slice(None),) * (self.dim % x.dim()) + (slice(self.start, self.stop),)]


class Repeat:
    """Independent copies one after another. It has parameters only: what is built is an `nn.Sequential`."""

    def __init__(self, times: int) -> None:
        self.times = times


MERGES = ("concat", "add", "multiply")
"""How `Parallel` joins its branches."""

MOST = 20_000
"""The most layers that a network may have, blocks and repetitions spelt out."""

STRUCTURE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Sequential": ("layers",),
        "Residual": ("layers", "shortcut"),
        "Parallel": ("branches",),
        "Repeat": ("layers",),
        "Unpool": ("pool", "layers"),
    }
)
"""The composite types, each with the keys that hold other entries."""

COMPOSITES = Catalog(
    "composite",
    MappingProxyType(
        {
            "Sequential": Component("Sequential", nn.Sequential),
            "Residual": Component("Residual", Residual, frozenset({"layers", "shortcut"})),
            "Parallel": Component("Parallel", Parallel, frozenset({"branches"}), {"merge": Rule(choices=MERGES)}),
            "Repeat": Component("Repeat", Repeat, rules={"times": Rule(least=1, most=MOST)}),
            "Unpool": Component("Unpool", Unpool, frozenset({"pool", "layers"})),
        }
    ),
)


def is_composite(component: Component) -> bool:
    """Whether entries stand inside an entry of this type."""
    return COMPOSITES.entries.get(component.name) is component


def assemble(component: Component, params: Mapping[str, Any], parts: dict[str, nn.Module]) -> nn.Module:
    """The module of a composite from the modules inside it, by their names."""
    if component.name == "Residual":
        return Residual(parts["layers"], parts.get("shortcut"))
    if component.name == "Parallel":
        return Parallel(parts, **params)
    if component.name == "Unpool":
        pool = parts["pool"]
        assert isinstance(pool, (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d))
        return Unpool(pool, parts["layers"])
    sequence = nn.Sequential()
    for name, part in parts.items():
        sequence.add_module(name, part)
    return sequence
