"""What changes the shape of a tensor, as layers: views, slices, pads, and means over whole dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from torch import fx, nn
from torchvision.ops import Permute

from cnnexp.architecture.composites import Slice
from cnnexp.architecture.importer.nodes import (
    NEEDS_SAMPLE,
    Layers,
    Look,
    Unsayable,
    arguments,
    built,
    first,
    is_number,
    operation,
    spread,
    view_sizes,
    written,
)


def _pad(node: fx.Node, look: Look) -> Layers:
    given = look.plain_items(arguments(node, "pad mode value"))
    widths, value, mode = tuple(given["pad"]), given.get("value") or 0, given.get("mode", "constant")
    kinds = {
        "constant": "ZeroPad",
        "reflect": "ReflectionPad",
        "replicate": "ReplicationPad",
        "circular": "CircularPad",
    }
    n = len(widths) // 2
    if n > 3:
        raise Unsayable(f"forward pads {n} dimensions")
    if value:
        return first(node), [built(f"ConstantPad{n}d", {"padding": widths, "value": value})]
    return first(node), [built(f"{kinds[mode]}{n}d", {"padding": widths})]


def _clamp(node: fx.Node, look: Look) -> Layers:
    given = look.plain_items(arguments(node, "min max"))
    low, high = given.get("min"), given.get("max")
    if low == 0 and high is None:
        return first(node), [nn.ReLU()]
    if isinstance(low, (int, float)) and isinstance(high, (int, float)):
        return first(node), [nn.Hardtanh(low, high)]
    raise Unsayable(f"forward calls {written(node)} with one bound")


def _permute(node: fx.Node, look: Look) -> Layers:
    dims = spread(node.args[1:], node.kwargs.get("dims"))
    if dims[0] != 0:
        raise Unsayable("forward moves the dimension of the batch")
    return first(node), [Permute(list(look.plain(dims)))]


def _transpose(node: fx.Node, look: Look) -> Layers:
    given = look.plain_items(arguments(node, "dim0 dim1"))
    rank = look.rank(first(node))
    if rank is None:
        raise Unsayable(f"forward calls {written(node)} {NEEDS_SAMPLE}")
    order = list(range(rank))
    a, b = given["dim0"] % rank, given["dim1"] % rank
    order[a], order[b] = b, a
    if order[0]:
        raise Unsayable("forward moves the dimension of the batch")
    return first(node), [Permute(order)]


def _pooled(node: fx.Node, look: Look) -> Layers:
    """`mean` and `amax` over all spatial dimensions, or over some of them."""
    given = look.plain_items(arguments(node, "dim keepdim"))
    x, dims = first(node), given.get("dim")
    wanted = (dims,) if isinstance(dims, int) else tuple(dims or ())
    rank = look.rank(x) or (max(wanted, default=0) + 1 if min(wanted, default=0) > 1 and len(wanted) > 1 else None)
    if not wanted or rank is None:
        raise Unsayable(f"forward calls {written(node)} {NEEDS_SAMPLE if wanted else 'over everything'}")
    places = sorted(d % rank for d in wanted)
    n = rank - 2
    if (places, n, given.get("keepdim", False)) == ([1], 1, False):  # over the steps of a sequence of vectors
        kind = "AdaptiveAvgPool1d" if operation(node) == "mean" else "AdaptiveMaxPool1d"
        return x, [Permute([0, 2, 1]), built(kind, {"output_size": 1}), nn.Flatten()]
    if places[0] < 2 or not 1 <= n <= 3:
        raise Unsayable(f"forward calls {written(node)} over the batch or the channels")
    whole = len(places) == n
    kind = "AdaptiveAvgPool" if operation(node) == "mean" else "AdaptiveMaxPool"
    size = 1 if whole else tuple(1 if d in places else None for d in range(2, rank))
    found = [built(f"{kind}{n}d", {"output_size": size})]
    if not given.get("keepdim"):
        found += [nn.Flatten()] if whole else [nn.Flatten(d - 1, d) for d in reversed(places)]
    return x, found


def _squeeze(node: fx.Node, look: Look) -> Layers:
    dims = look.plain(arguments(node, "dim").get("dim", ()))
    x, found = first(node), list[nn.Module]()
    for dim in sorted((dims,) if isinstance(dims, int) else dims, reverse=True):
        if dim in (0, 1) or not isinstance(dim, int):
            raise Unsayable(f"forward calls {written(node)} on dimension {dim}")
        shape = look.shape(x)
        if shape is None or shape[dim] == 1:
            found.append(nn.Flatten(dim - 1, dim))
    if not found and not dims:
        raise Unsayable(f"forward calls {written(node)} without a dimension, which may take the batch away")
    return x, found


def _unsqueeze(node: fx.Node, look: Look) -> Layers:
    dim = look.plain(arguments(node, "dim")["dim"])
    if dim < -1 or dim == 0:
        raise Unsayable(f"forward calls {written(node)} on dimension {dim}")
    return first(node), [nn.Unflatten(dim, (1, -1) if dim > 0 else (-1, 1))]


def _narrow(node: fx.Node, look: Look) -> Layers:
    given = look.plain_items(arguments(node, "dim start length"))
    return first(node), [_slice(given["dim"], given["start"], given["start"] + given["length"])]


def _slice(dim: int, start: int | None, stop: int | None) -> nn.Module:
    if dim == 0:
        raise Unsayable("forward takes a part of the batch")
    return Slice(dim, start or 0, stop)


def _getitem(node: fx.Node, look: Look) -> Layers:
    source, index = node.args
    assert isinstance(source, fx.Node)
    name = operation(source) if source.op.startswith("call_") and source.op != "call_module" else ""
    if isinstance(index, int) and name in ("chunk", "split", "tensor_split"):
        return first(source), [_piece(source, index, look)]
    if isinstance(index, int) and name:
        raise Unsayable(f"forward takes one of the results of {written(source)}")
    index = index if isinstance(index, tuple) else (index,)
    kept = len(index) - next((n for n, i in enumerate(reversed(index)) if i is not None), len(index))
    shape = look.shape(source)
    whole = Ellipsis in index or shape is None or len(shape) == kept
    # A None behind all dimensions adds one of size 1 at the end.
    added = [nn.Unflatten(-1, (-1, 1)) for _ in index[kept:]] if whole else []
    return source, [*_parts(index[:kept] if whole else index, look), *added]


def _parts(index: Sequence[Any], look: Look) -> list[nn.Module]:
    """The layers of x[index]: slices, and steps over all spatial dimensions as a pool whose window is one wide."""
    if any(not isinstance(i, slice) and i is not Ellipsis for i in index):
        raise Unsayable("forward picks elements by their indices")
    after = index[::-1].index(Ellipsis) if Ellipsis in index else 0
    found, steps = [], {}
    for place, part in enumerate(index):
        if part is Ellipsis:
            continue
        dim = place if Ellipsis not in index[:place] else place - len(index)
        start, stop, step = (look.plain(v) for v in (part.start, part.stop, part.step))
        if step not in (None, 1):
            steps[dim] = step
        if (start, stop) != (None, None) and (start or stop is not None):
            found.append(_slice(dim, start, stop))
    if steps:
        n = len(index) - 2
        if after or not 1 <= n <= 3 or min(steps) < 2:
            raise Unsayable("forward takes every so many elements of a dimension")
        found.append(
            built(f"MaxPool{n}d", {"kernel_size": 1, "stride": tuple(steps.get(d, 1) for d in range(2, n + 2))})
        )
    return found


def _piece(node: fx.Node, index: int, look: Look) -> nn.Module:
    """The slice that is one of the pieces of a chunk or split."""
    given = look.plain_items(arguments(node, "chunks dim" if operation(node) == "chunk" else "size dim"))
    how = next(v for k, v in given.items() if k != "dim")
    dim = given.get("dim", 0)
    if operation(node) == "split" and not isinstance(how, int):
        before = sum(how[:index])
        return _slice(dim, before, before + how[index])
    shape = look.shape(first(node))
    if operation(node) != "split" and shape is None:
        raise Unsayable(f"forward calls {written(node)} {NEEDS_SAMPLE}")
    width = how if shape is None or operation(node) == "split" else math.ceil(shape[dim] / how)
    stop = (index + 1) * width
    return _slice(dim, index * width, None if shape and stop >= shape[dim] else stop)


def _is_size(value: Any, dim: int) -> bool:
    """Whether a number is x.size(dim) or x.shape[dim]."""
    if not isinstance(value, fx.Node) or not is_number(value):
        return False
    return tuple(value.args[1:]) == (dim,) and operation(value) in ("size", "getitem")


def _is_batch(value: Any) -> bool:
    return _is_size(value, 0)


def _view(node: fx.Node, look: Look) -> Layers:
    x, sizes = first(node), view_sizes(node)
    if len(sizes) == 1 and isinstance(sizes[0], fx.Node):
        sizes = (-1, *look.plain(sizes[0])[1:])
    front, rest = sizes[0], sizes[1:]
    if not rest or not (_is_batch(front) or (front == -1 and -1 not in rest)):
        raise Unsayable(f"forward calls {written(node)} with another size than the batch's in front")
    before = look.shape(x)
    counted = math.prod(rest) if all(isinstance(r, int) and r > 0 for r in rest) else None
    if before and counted and counted != math.prod(before[1:]):
        raise Unsayable(f"forward calls {written(node)} so that samples are split or merged")
    if len(rest) == 1:
        return x, [nn.Flatten()]
    if shuffled := _shuffle(x, look):
        return shuffled
    if rest[-1] == -1 and all(_is_size(r, i) for i, r in enumerate(rest[:-1], 1)):
        return x, [nn.Flatten(len(rest))]
    wanted = tuple(-1 if isinstance(r, fx.Node) else r for r in rest)  # one size follows from the others
    if wanted.count(-1) > 1:
        wanted = look.plain(rest)
    flatten: list[nn.Module] = [] if look.rank(x) == 2 else [nn.Flatten()]
    return x, [*flatten, nn.Unflatten(1, wanted)]


def _shuffle(x: fx.Node, look: Look) -> Layers | None:
    """The channel shuffle whose groups were split and swapped before `x` is viewed in the old shape again."""
    while operation(x) == "contiguous":
        x = first(x)
    if operation(x) != "transpose" or tuple(x.args[1:]) not in ((1, 2), (2, 1)):
        return None
    split = first(x)
    sizes = view_sizes(split) if operation(split) in ("view", "reshape") else ()
    if len(sizes) < 4 or not _is_batch(sizes[0]):
        return None
    groups = look.plain(sizes[1])
    return (first(split), [nn.ChannelShuffle(groups)]) if groups != -1 else None


VIEWS: Mapping[str, Callable[[fx.Node, Look], Layers]] = MappingProxyType(
    {
        "amax": _pooled,
        "clamp": _clamp,
        "clip": _clamp,
        "getitem": _getitem,
        "mean": _pooled,
        "narrow": _narrow,
        "pad": _pad,
        "permute": _permute,
        "reshape": _view,
        "squeeze": _squeeze,
        "transpose": _transpose,
        "unsqueeze": _unsqueeze,
        "view": _view,
    }
)
