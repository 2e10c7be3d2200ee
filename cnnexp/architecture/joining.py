"""What can be wrong where branches meet again: shapes that cannot be joined, an input that a branch has overwritten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from cnnexp.architecture.fitting import Shape, times
from cnnexp.architecture.plan import PlannedLayer
from cnnexp.architecture.stack import Layer
from cnnexp.errors import Problem

_PASSING = (
    *("Identity", "Flatten", "Unflatten", "Slice", "Permute", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d"),
    *("AlphaDropout", "FeatureAlphaDropout", "StochasticDepth", "DropBlock2d", "DropBlock3d"),
)
"""Layers whose output can be the memory of their input, at the latest when the network is used."""


def unequal(layer: Layer, arriving: Shape, body: Shape, shortcut: Shape) -> Problem:
    """The problem of a `Residual` whose two sides cannot be added, with the shortcut that would make them equal."""
    given = next((child for child in layer.children if child.name == "shortcut"), None)
    other = f"the shortcut gives {times(shortcut)}" if given else f"{times(shortcut)} arrives"
    text = f"{layer.label}: the layers give {times(body)}, but {other}, and the two must be equal to be added"
    path = given.path if given else layer.path
    return Problem("cannot-merge", path, text, _projection(arriving, body, given is not None))


def _projection(arriving: Shape, body: Shape, given: bool) -> str | None:
    """The 1×1 convolution that makes the shortcut's shape the one of the layers, where there is one."""
    n = len(arriving) - 1
    if len(body) != len(arriving) or n not in (1, 2, 3):
        return None
    strides = {
        s for s in range(1, 17) if all((a - 1) // s + 1 == b for a, b in zip(arriving[1:], body[1:], strict=True))
    }
    if not strides:
        return None
    stride = f", stride: {min(strides)}" if min(strides) > 1 else ""
    layer = f"{{type: Conv{n}d, out_channels: {body[0]}, kernel_size: 1{stride}}}"
    return f"{'a shortcut that fits:' if given else 'give it a shortcut:'} {layer}"


def merge(layer: Layer, batches: Sequence[Tensor]) -> Tensor | Problem:
    """What a `Parallel` gives for what its branches give, or the problem of branches that cannot be joined."""
    how, dim = layer.params.get("merge", "concat"), layer.params.get("dim", 1)
    shapes = [tuple(b.shape[1:]) for b in batches]
    if how == "concat" and not 1 <= (dim if dim >= 0 else dim + batches[0].dim()) < batches[0].dim():
        limits = f"dim must be between 1 and {batches[0].dim() - 1}, not {dim}"
        text = f"{layer.label}: {limits}: batch and {times(shapes[0])} are joined"
        return Problem("bad-value", layer.place("dim"), text, "dimension 0 is the batch")
    for number, shape in enumerate(shapes):
        if unlike := [n for n in range(number) if not _fit(how, dim, shapes[n], shape)]:
            return _apart(layer, unlike[0], number, shapes)
    return batches[0].new_empty((batches[0].shape[0], *_joined(how, dim, shapes)))


def _joined(how: str, dim: int, shapes: Sequence[Shape]) -> Shape:
    """The shape of branches that fit; torch's own way to find it would import its compiler."""
    if how != "concat":
        return tuple(map(max, zip(*shapes, strict=True)))
    along = (dim if dim >= 0 else dim + len(shapes[0]) + 1) - 1
    return tuple(sum(s[i] for s in shapes) if i == along else size for i, size in enumerate(shapes[0]))


def _fit(how: str, dim: int, one: Shape, other: Shape) -> bool:
    if len(one) != len(other):
        return False
    along = (dim if dim >= 0 else dim + len(one) + 1) - 1
    pairs = enumerate(zip(one, other, strict=True))
    if how == "concat":
        return all(a == b or i == along for i, (a, b) in pairs)
    return all(a == b or 1 in (a, b) for _, (a, b) in pairs)


def _apart(layer: Layer, earlier: int, later: int, shapes: Sequence[Shape]) -> Problem:
    how, dim = layer.params.get("merge", "concat"), layer.params.get("dim", 1)
    first, this = (layer.children[n].label.removeprefix(f"{layer.label} › ") for n in (earlier, later))
    rule = {
        "concat": f"to be concatenated along dimension {dim} they must agree in all others",
        "add": "to be added their sizes must be equal, or 1",
        "multiply": "to be multiplied their sizes must be equal, or 1",
    }[how]
    text = f"{layer.label}: {first} gives {times(shapes[earlier])}, but {this} gives {times(shapes[later])}; {rule}"
    return Problem("cannot-merge", layer.children[later].path, text)


def not_undone(layer: Layer, pooled: Shape, leaving: Shape) -> Problem:
    """The problem of an `Unpool` whose layers change the shape that its pool remembers places for."""
    rule = "the pool remembers one place for each of its own values"
    text = f"{layer.label}: the pool gives {times(pooled)}, but the layers make {times(leaving)} of it; {rule}"
    return Problem("cannot-merge", layer.place("layers"), text)


def overwritten(layer: Layer, planned: Sequence[PlannedLayer]) -> Iterator[Problem]:
    """The problems of layers that work in place on an input which the other side still needs.

    torch adds or multiplies what is left of the input without a word.
    """
    for branch in planned if len(planned) > 1 or layer.component.name == "Residual" else ():
        for leaf in _leaves(branch):
            if leaf.params.get("inplace") is True:
                text = f"{leaf.label}: inplace must be false here: {layer.label} needs the same input once more"
                yield Problem("overwritten", leaf.place("inplace"), text)
                break
            if leaf.component.name not in _PASSING:
                break


def _leaves(layer: PlannedLayer) -> Iterator[PlannedLayer]:
    """What works on an input one after another; a composite that joins branches makes memory of its own."""
    kind = layer.component.name
    alone = kind == "Parallel" and len(layer.children) == 1
    if kind in ("Sequential", "Repeat") or alone:
        for child in layer.children:
            yield from _leaves(child)
    if not (kind in ("Sequential", "Repeat") or (alone and layer.params.get("merge", "concat") != "concat")):
        yield layer
