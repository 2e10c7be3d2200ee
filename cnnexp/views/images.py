"""What a network sees, as pictures: the batch, the output of every layer, the kernels of every convolution."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor, nn

from cnnexp.architecture.plan import Plan
from cnnexp.pictures.scale import Scale
from cnnexp.views import drawing
from cnnexp.views.kernels import kernels
from cnnexp.views.kinds import first_reader, like_pixels, tokens
from cnnexp.views.look import Seen


@dataclass(frozen=True)
class View:
    """A named picture.

    Arguments:
        kind: `input`, `output`, `kernels`, or what else is drawn of a run, such as `wrong` and `confusion`.
        layer: the dotted name of the layer; empty where it is none.
        type: its type, such as `Conv2d`.
        shape: the shape of what is drawn: of one sample's output, or (outputs, inputs of a group, *window).
        picture: what is drawn, in both forms.
        stem: the file's name without `.png`; the kind where it is empty.
    """

    kind: str
    layer: str
    type: str
    shape: tuple[int, ...]
    picture: drawing.Picture
    stem: str = ""

    @property
    def image(self) -> Image.Image:
        """With its title and labels."""
        return self.picture.image

    @property
    def plain(self) -> Image.Image:
        """Small and without any text."""
        return self.picture.plain

    @property
    def file(self) -> str:
        """A file name that every system can hold: `input.png`, `00_Conv2d_output.png`; in the order of the layers."""
        return f"{self.stem or self.kind}.png"


def outputs(seen: Sequence[Seen], plan: Plan, pixels: Tensor, channels: int | None) -> Iterator[View]:
    """The batch and the output of every layer.

    Arguments:
        seen: what `look` found, of the samples that are drawn.
        plan: the plan of the network.
        pixels: (n, *sample shape), the whole batch as it is in the data, uint8 or float.
        channels: how many channels are drawn at most; all of them when None. Vectors and tokens are drawn whole.
    """
    raw = pixels[: len(seen[0].output)].cpu().numpy()
    shape = tuple(raw.shape[1:])
    yield View("input", "", "", shape, drawing.pixels(raw, f"input, {_counted(len(raw), len(pixels))}"))
    batch, stems, in_colour, as_tokens = seen[0].output, _stems(plan), like_pixels(plan), tokens(plan)
    for one in seen[1:]:
        colours = _undone(one.output, batch, raw) if one.name in in_colour else None
        heading = _heading(one.name, one.type, stems[one.name])
        picture = _output(one, heading, channels, colours, one.name in as_tokens)
        sizes = tuple(one.output.shape[1:])
        yield View("output", one.name, one.type, sizes, picture, f"{stems[one.name]}_output")


def _counted(shown: int, there: int) -> str:
    return f"{shown} of {there} samples" if shown < there else f"{there} sample{'s' if there > 1 else ''}"


def _heading(name: str, kind: str, stem: str) -> str:
    """What a layer is called in a title: as its file where the font lacks letters of its name."""
    return f"{name}  {kind}" if (name + kind).isascii() else f"layer {stem.replace('_', '  ', 1)}"


def _output(
    one: Seen, heading: str, channels: int | None, colours: np.ndarray | None, as_tokens: bool
) -> drawing.Picture:
    values = one.output.numpy()
    there = None
    if channels is not None and values.ndim > 2 and not as_tokens:
        there, values = values.shape[1], values[:, :channels]
    return drawing.output(values, heading, "output ", as_tokens, colours, there)


def _undone(output: Tensor, batch: Tensor, raw: np.ndarray) -> np.ndarray:
    """An output in the range of the pixels: 0 is what black became on its way into the network, and 1 what white did.

    Arguments:
        output: (samples, channels, height, width).
        batch: (samples, channels, …), normalised.
        raw: (samples, channels, …), the same as pixels.
    """
    whole = Scale(0, 255) if raw.dtype == np.uint8 else Scale.of(raw)
    black, width = whole.low, whole.high - whole.low
    if width == 0:  # all the same, which is mid grey
        black, width = whole.low - 0.5, 1.0
    undone = []
    for channel in range(output.shape[1]):
        x, y = raw[:, channel].astype(np.float64).ravel(), batch[:, channel].double().numpy().ravel()
        known = np.isfinite(x) & np.isfinite(y)
        x, y = (x[known], y[known]) if known.any() else (np.zeros(1), np.zeros(1))
        low, high = int(x.argmin()), int(x.argmax())
        slope = (y[high] - y[low]) / (x[high] - x[low]) if x[high] > x[low] else 1 / width
        at_black = y[low] + (black - x[low]) * slope
        undone.append((output[:, channel].double().numpy() - at_black) / (slope * width))
    return np.stack(undone, axis=1)


def kernel_views(model: nn.Sequential, plan: Plan, channels: int | None) -> Iterator[View]:
    """The kernels of every convolution of a network; `channels` is as in `outputs`."""
    stems, first = _stems(plan), first_reader(plan)
    for one in kernels(model, plan):
        weight = one.weight.numpy()
        colour = one.name == first and weight.ndim == 4 and weight.shape[1] == 3
        holder = one.name
        while holder not in stems:  # inside a layer of another library
            holder = holder.rpartition(".")[0]
        inside = one.name[len(holder) + 1 :]
        stem = f"{stems[holder]}_{_safe(inside)}_kernels" if inside else f"{stems[holder]}_kernels"
        heading = _heading(one.name, one.type, stem.removesuffix("_kernels"))
        picture = drawing.kernels(weight, heading, colour, one.groups, channels)
        yield View("kernels", one.name, one.type, tuple(weight.shape), picture, stem)


def _stems(plan: Plan) -> dict[str, str]:
    """What the files of every layer begin with: its place in the plan and its type."""
    layers = [(name, layer.type) for _, name, layer in plan.walk()]
    places = max(2, len(str(len(layers) - 1)))
    return {name: f"{at:0{places}}_{_safe(kind)}" for at, (name, kind) in enumerate(layers)}


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", name)[:60]
