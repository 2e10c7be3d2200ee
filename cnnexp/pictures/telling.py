"""What a picture says of a layer: its kind, its parameters, sizes and costs, in few words."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from cnnexp.architecture.catalog import inferable
from cnnexp.architecture.fitting import times
from cnnexp.architecture.plan import PlannedLayer
from cnnexp.architecture.python.expressions import construct
from cnnexp.pictures.folding import Part

_BY_NAME = {
    "*Shuffle": "resize",
    "Conv*": "convolution",
    "*Pool*": "pool",
    "Upsampl*": "resize",
    "*Linear": "linear",
    "MLP": "linear",
    "*Dropout*": "dropout",
    "DropBlock*": "dropout",
    "StochasticDepth": "dropout",
    "*Norm*": "normalisation",
    "*ResponseNorm": "normalisation",
    "CrossMapLRN2d": "normalisation",
    "*Pad?d": "reshape",
}
_BY_MODULE = {"activation": "activation", "flatten": "reshape", "fold": "reshape", "channelshuffle": "reshape"}
_RESHAPING = ("Slice", "Permute", "Flatten", "Unflatten")
_SIDES = ("left", "right", "top", "bottom", "front", "back")
_QUIET = {"out_channels", "out_features", "inplace", "return_indices"}


def kind(layer: PlannedLayer) -> str:
    """The kind of a layer, one of `palette.KINDS`."""
    name, module = layer.component.name, layer.component.cls.__module__
    if name in _RESHAPING:
        return "reshape"
    if not module.startswith("torch"):
        return "other"
    found = next((kind for pattern, kind in _BY_NAME.items() if fnmatchcase(name, pattern)), None)
    return found or _BY_MODULE.get(module.rsplit(".", 1)[-1], "other")


def attached(layer: PlannedLayer) -> bool:
    """Whether a layer is drawn on the side of the one before it: it keeps the shape and looks at values alone."""
    kept = layer.input_shape == layer.output_shape
    return not layer.composite and kept and kind(layer) in ("activation", "normalisation", "dropout")


def parameters(layer: PlannedLayer) -> list[str]:
    """The parameters that matter, each in a word or two: `kernel 3×3`, `stride 2`, `no bias`."""
    found = []
    sizes = inferable(layer.component)
    for name, value in layer.params.items():
        known = layer.component.parameters.get(name)
        default = known is not None and not known.required and known.default == value
        if name in sizes or name in _QUIET or default or value is None:
            continue
        if name == "padding" and fnmatchcase(layer.component.name, "*Pad?d") and not isinstance(value, int):
            sides = [f"{side} {size}" for side, size in zip(_SIDES, value, strict=False)]
            found += [f"padding {sides[0]}", *sides[1:]]
        else:
            found.append(_parameter(name, value, len(layer.input_shape) - 1))
    return found


def _parameter(name: str, value: Any, dimensions: int) -> str:
    if name == "kernel_size":
        sizes = [value] * dimensions if isinstance(value, int) else value
        return f"kernel {times(sizes)}"
    if name == "padding_mode":
        return f"{value} padding"
    if name == "count_include_pad":
        return "mean with padding" if value else "mean without padding"
    if isinstance(value, bool):
        return name.replace("_", " ") if value else f"no {name.replace('_', ' ')}"
    if isinstance(value, (list, tuple)) and all(isinstance(v, int) for v in value):
        return f"{name.replace('_', ' ')} {times(value)}"
    if isinstance(value, (list, tuple)):
        return f"{name.replace('_', ' ')} {', '.join(map(str, value))}"
    return f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"


def settings(part: Part) -> list[str]:
    """The parameters that matter, of all copies."""
    return [between(texts) for texts in zip(*(parameters(layer) for layer in part.copies), strict=False)]


def between(texts: Iterable[str]) -> str:
    """One text for all copies: the text itself, or the first and the last of them."""
    every = list(texts)
    return every[0] if len(set(every)) == 1 else f"{every[0]} … {every[-1]}"


def shape(part: Part) -> str:
    """The output's shape; of copies that grow, the first and the last."""
    return between(times(layer.output_shape) for layer in part.copies)


def costs(part: Part) -> list[str]:
    """Learned numbers and multiply-adds, where there are any; of copies what each of them has."""
    found = []
    learned = between(f"{layer.parameters:,}" for layer in part.copies)
    paid = between(_rounded(layer.multiply_adds) for layer in part.copies)
    for text, unit in ((learned, "params"), (paid, "mult-adds")):
        each = " each" if len(part.copies) > 1 and "…" not in text else ""
        found += [f"{text} {unit}{each}"] if text != "0" else []
    return found


def _rounded(number: int) -> str:
    for size, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "K")):
        if number >= size and number >= 10**5:
            return f"{number / size:.3g} {letter}"
    return f"{number:,}"


def field(part: Part) -> str:
    """What one output sees of the network's input; empty where nothing is known."""
    sizes = [layer.field.size for layer in part.copies if layer.field]
    return f"sees {between(map(times, sizes))}" if len(sizes) == len(part.copies) else ""


def whole(part: Part) -> str:
    """Everything about a layer, for who points at it: its names first."""
    layer = part.layer
    call = layer.type if layer.composite else str(construct(layer, library=False))
    if layer.composite and layer.params and not layer.block:
        call = f"{call}({', '.join(f'{k}={v}' for k, v in layer.params.items())})"
    shapes = f"{between(times(x.input_shape) for x in part.copies)} → {shape(part)}"
    learned = between(f"{x.parameters:,}" for x in part.copies)
    paid = between(f"{x.multiply_adds:,}" for x in part.copies)
    lines = [", ".join(part.names), call, shapes, f"{learned} parameters, {paid} multiply-adds"]
    return "\n".join([*lines, *filter(None, [field(part)])])
