"""Networks of the layer language as a person would write them: modules by hand, sizes from batches that really run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tests import layer_table


class Sum(nn.Module):
    def __init__(self, layers: nn.Module, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.layers = layers
        if shortcut is not None:
            self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        other = self.shortcut(x) if "shortcut" in dict(self.named_children()) else x
        out: Tensor = torch.add(self.layers(x), other)
        return out


class Join(nn.Module):
    def __init__(self, branches: Mapping[str, nn.Module], merge: str, dim: int) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.register_module(name, branch)
        self.how, self.along = merge, dim

    def forward(self, x: Tensor) -> Tensor:
        parts = [branch(x) for branch in self.children()]
        if self.how == "concat":
            return torch.concat(parts, dim=self.along)
        total: Tensor = parts[0]
        for part in parts[1:]:
            total = torch.add(total, part) if self.how == "add" else torch.mul(total, part)
        return total


class BackAgain(nn.Module):
    def __init__(self, pool: nn.Module, layers: nn.Module) -> None:
        super().__init__()
        self.pool = pool
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        small, places = self.pool(x)
        unpool = {3: nn.functional.max_unpool1d, 4: nn.functional.max_unpool2d, 5: nn.functional.max_unpool3d}[x.dim()]
        pool: Any = self.pool
        out: Tensor = unpool(self.layers(small), places, pool.kernel_size, pool.stride, pool.padding, list(x.shape))
        return out


class _Parameters(dict[str, Any]):
    """What the names in a block stand for; a default is looked at when it is asked for."""

    def __init__(self, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.defaults = defaults

    def __missing__(self, name: str) -> Any:
        return spelt_out(self.defaults[name], self)


def spelt_out(value: Any, names: Mapping[str, Any]) -> Any:
    if isinstance(value, str) and value.startswith("$"):
        return names[value[1:]]
    if isinstance(value, Mapping):
        return {k: spelt_out(v, names) for k, v in value.items()}
    return [spelt_out(v, names) for v in value] if isinstance(value, list) else value


class Hand:
    """Makes modules; every method gives the module and what leaves it."""

    def __init__(self, blocks: Mapping[str, Any]) -> None:
        self.blocks = blocks

    def row(self, entries: Sequence[Any], x: Tensor) -> tuple[nn.Sequential, Tensor]:
        row = nn.Sequential()
        for entry in (e for e in entries if e is not None):
            name = entry.get("name") if isinstance(entry, Mapping) else None
            module, x = self.one(entry, x)
            row.add_module(name or str(len(row)), module)
        return row, x

    def one_or_more(self, written: Any, x: Tensor) -> tuple[nn.Module, Tensor]:
        return self.row(written, x) if isinstance(written, list) else self.one(written, x)

    def one(self, entry: Any, x: Tensor) -> tuple[nn.Module, Tensor]:
        entry = {"type": entry} if isinstance(entry, str) else entry
        kind, more = entry["type"], {k: v for k, v in entry.items() if k not in ("type", "name")}
        if kind in self.blocks:
            block = self.blocks[kind]
            names = _Parameters(more, block.get("params") or {})
            return self.row(spelt_out(block["layers"], names), x)
        if kind == "Sequential":
            return self.row(more["layers"], x)
        if kind in ("Residual", "Parallel", "Repeat", "Unpool"):
            return getattr(self, kind.lower())(x, **more)  # type: ignore[no-any-return]
        module = layer_table.by_hand(kind, more, tuple(x.shape[1:]))
        out: Tensor = module(x)
        if not out.numel():
            raise ValueError("torch lets tensors without elements pass, a stack does not")
        return module, out

    def residual(self, x: Tensor, layers: list[Any], shortcut: Any = None) -> tuple[nn.Module, Tensor]:
        other = None if shortcut is None else self.one_or_more(shortcut, x)[0]
        module = Sum(self.row(layers, x)[0], other)
        return module, module(x)

    def parallel(self, x: Tensor, branches: list[Any], merge: str = "concat", dim: int = 1) -> tuple[nn.Module, Tensor]:
        made: dict[str, nn.Module] = {}
        for branch in (b for b in branches if b is not None):
            name = branch.get("name") if isinstance(branch, Mapping) else None
            made[name or str(len(made))] = self.one_or_more(branch, x)[0]
        module = Join(made, merge, dim)
        return module, module(x)

    def repeat(self, x: Tensor, times: int, layers: list[Any]) -> tuple[nn.Module, Tensor]:
        copies = nn.Sequential()
        entries = [entry for entry in layers if entry is not None]
        alone = len(entries) == 1 and not (isinstance(entries[0], Mapping) and entries[0].get("name"))
        for _ in range(times):
            copy, x = self.one(entries[0], x) if alone else self.row(entries, x)
            copies.append(copy)
        return copies, x

    def unpool(self, x: Tensor, pool: Mapping[str, Any], layers: list[Any]) -> tuple[nn.Module, Tensor]:
        params = {k: v for k, v in pool.items() if k != "type"}
        module = layer_table.by_hand(pool["type"], {**params, "return_indices": True}, tuple(x.shape[1:]))
        back = BackAgain(module, self.row(layers, module(x)[0])[0])
        return back, back(x)


def network(model: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[nn.Sequential, tuple[int, ...]]:
    """The network of a model mapping, and the sample shape that leaves it; raises what torch raises."""
    with torch.no_grad():
        module, out = Hand(model.get("blocks") or {}).row(model["layers"], torch.randn(2, *shape))
    return module, tuple(out.shape[1:])
