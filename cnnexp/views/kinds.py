"""What the axes of an output mean, as far as a picture of it asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import nn

from cnnexp.architecture.plan import Plan, PlannedLayer

_APART = ("pooling", "padding", "dropout", "upsampling", "activation", "linear")
"""The modules of torch whose layers without weights work on each channel by itself; of `linear` that is Identity."""

_MIXING = (nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax, nn.GLU)
_ON_TOKENS = (nn.Linear, nn.Bilinear, nn.LayerNorm, nn.RMSNorm, nn.TransformerEncoderLayer)


def like_pixels(plan: Plan) -> frozenset[str]:
    """The names of the layers whose outputs are still pictures in the data's own channels.

    These are the first layers of a network of pictures as long as nothing is learned and no channels meet: pools,
    paddings, activations, dropout, and what holds only such.
    """
    found: list[str] = []
    if len(plan.input_shape) == 3 and plan.input_shape[0] in (1, 3):
        for layer in plan.layers:
            inside = list(layer.walk())
            if not all(_apart(one, plan.input_shape[0]) for _, _, one in inside):
                break
            found += [name for _, name, _ in inside]
    return frozenset(found)


def _apart(layer: PlannedLayer, channels: int) -> bool:
    if layer.parameters or len(layer.output_shape) != 3 or layer.output_shape[0] != channels:
        return False
    cls = layer.component.cls
    if layer.composite:
        return layer.component.name in ("Sequential", "Repeat")
    return cls.__module__.startswith("torch.nn.") and cls.__module__.endswith(_APART) and not issubclass(cls, _MIXING)


def first_reader(plan: Plan) -> str | None:
    """The name of the convolution that reads the pixels; None where the first layer with weights is another one."""
    for _, name, layer in plan.walk():
        if not layer.composite and layer.parameters:
            same = layer.input_shape[:1] == plan.input_shape[:1]
            return name if same and issubclass(layer.component.cls, nn.Conv2d) else None
    return None


def tokens(plan: Plan) -> frozenset[str]:
    """The names of the layers whose two axes are tokens and their features, not channels and a length."""
    return frozenset(name for name, kind in _kinds("", plan.layers, False) if kind)


def _kinds(prefix: str, layers: Iterable[PlannedLayer], before: bool) -> Iterator[tuple[str, bool]]:
    for layer in layers:
        name = f"{prefix}{layer.name}"
        if layer.composite:
            inside = list(_kinds(f"{name}.", layer.children, before))
            yield from inside
            before = inside[-1][1] if inside else before
        elif issubclass(layer.component.cls, _ON_TOKENS):
            before = True
        elif layer.component.cls.__name__.endswith("1d"):
            before = False
        yield name, before
