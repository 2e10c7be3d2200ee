"""What a network saw: the pictures of its layers and their statistics, as the run's folder tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnnexp.records import Run
from cnnexp.report.page import reading
from cnnexp.report.page.formats import NONE, mapping, number, percent
from cnnexp.report.page.parts import Cell, Column, Table, numbers, table
from cnnexp.report.ranking import as_number

_STATISTICS = ("mean", "sd", "dead", "saturated", "gradient_norm")


@dataclass(frozen=True)
class Image:
    """A picture of a layer.

    Arguments:
        file: below the run's folder; tiles alone, without text.
        kind: "input", "output" or "kernels".
        layer: the layer's dotted name; empty for the input.
        type: the layer's type.
        shape: the sizes of what is drawn.
    """

    file: str
    kind: str
    layer: str
    type: str
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """What is shown, in words."""
        if self.kind == "input":
            return "Input"
        told = "kernels" if self.kind == "kernels" else "output"
        return " ".join(part for part in (self.layer, self.type, told) if part)

    @property
    def sizes(self) -> str:
        """The sizes, as `32×16×16`."""
        return "×".join(map(str, self.shape))


@dataclass(frozen=True)
class Views:
    """What a run's `views/views.json` holds.

    Arguments:
        epoch: after which epoch it was seen; None where that is not known.
        split: which samples were looked at.
        labels: what they are, as far as it is known.
        images: the pictures, in the order of the layers.
        statistics: what is known of each layer's output.
    """

    epoch: int | None
    split: str
    labels: tuple[str, ...]
    images: tuple[Image, ...]
    statistics: tuple[Mapping[str, Any], ...]


def views(run: Run) -> Views | None:
    """The views of a run; None where there are none that can be read."""
    told = reading.json_mapping(run.path / "views" / "views.json")
    found = [_image(mapping(one)) for one in _list(told.get("images"))]
    images = tuple(one for one in found if one is not None)
    layers = tuple(mapping(one) for one in _list(told.get("layers")) if mapping(one))
    if not images and not layers:
        return None
    probe, epoch = mapping(told.get("probe")), as_number(told.get("epoch"))
    return Views(
        epoch=None if epoch is None else int(epoch),
        split=str(probe.get("split", "")),
        labels=tuple(map(str, _list(probe.get("labels")))),
        images=images,
        statistics=layers,
    )


def statistics(seen: Views) -> Table | None:
    """Mean, spread, dead and saturated units and gradients of every layer; None where nothing is known."""
    known = [name for name in _STATISTICS if any(as_number(layer.get(name)) is not None for layer in seen.statistics)]
    if not known:
        return None
    rows = []
    for layer in seen.statistics:
        values = [(name, as_number(layer.get(name))) for name in known]
        shape = "×".join(str(n) for n in _list(layer.get("shape")))
        cells = [Cell(_statistic(name, value), value) for name, value in values]
        rows.append([str(layer.get("name", "")), str(layer.get("type", "")), shape or NONE, *cells])
    names = numbers(*(name.replace("_", " ") for name in known))
    return table("Activations and gradients of every layer", [Column("layer"), "type", "output", *names], rows)


def _statistic(name: str, value: float | None) -> str:
    return percent(value) if name in ("dead", "saturated") else number(value)


def _image(told: Mapping[str, Any]) -> Image | None:
    file = told.get("plain") or told.get("file")
    if not isinstance(file, str):
        return None
    shape = tuple(int(n) for n in _list(told.get("shape")) if isinstance(n, int))
    kind, layer, kind_of_layer = (str(told.get(key) or "") for key in ("kind", "layer", "type"))
    return Image(file, kind, layer, kind_of_layer, shape)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
