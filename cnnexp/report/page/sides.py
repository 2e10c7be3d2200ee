"""The same samples through the same layer of every configuration, side by side."""

from __future__ import annotations

from dataclasses import dataclass

from cnnexp.records import Run
from cnnexp.report.page.album import Album, Picture
from cnnexp.report.page.views import Image, Views, views
from cnnexp.report.ranking import Ranking, Row

_FEW = 16  # rows up to which more than one sample is shown


@dataclass(frozen=True)
class Side:
    """A picture of one row.

    Arguments:
        row: the row's place in the ranking.
        layer: which of the layers of `Sides` it shows.
        image: what it shows.
        picture: the picture.
    """

    row: int
    layer: int
    image: Image
    picture: Picture


@dataclass(frozen=True)
class Sides:
    """Pictures of several rows.

    Arguments:
        layers: the layers of which there are pictures.
        sides: the pictures, row by row.
        rows: the rows that have any.
        input: the samples themselves.
        samples: how many of them are shown.
    """

    layers: tuple[str, ...]
    sides: tuple[Side, ...]
    rows: tuple[int, ...]
    input: Picture | None
    samples: int


def sides(ranking: Ranking, labels: tuple[str, ...], album: Album) -> Sides | None:
    """The pictures of every row's first run that has some; layer by layer, as far as the album has room."""
    found = {i: seen for i, row in enumerate(ranking.rows) if (seen := _seen(row)) is not None}
    if len(found) < 2:
        return None
    samples = 3 if len(found) <= _FEW else 1
    layers: dict[tuple[str, str], list[str]] = {}
    for _, looked in found.values():
        for image in looked.images:
            if image.kind in ("output", "kernels"):
                layers.setdefault((image.kind, image.layer), []).append(image.type)
    ordered = sorted(layers, key=lambda key: key[0] == "kernels")
    first, looked = next(iter(found.values()))
    inputs = [image for image in looked.images if image.kind == "input"]
    batch = album.take(first, inputs[0].file, "The samples that every network gets", samples) if inputs else None
    taken = []
    for place, (kind, layer) in enumerate(ordered):
        for i, (run, looked) in found.items():
            shown = [image for image in looked.images if (image.kind, image.layer) == (kind, layer)]
            if not shown:
                continue
            alt = f"{shown[0].name} of {labels[i]}, {shown[0].sizes}"
            picture = album.take(run, shown[0].file, alt, samples if kind == "output" else None)
            if picture is not None:
                taken.append(Side(i, place, shown[0], picture))
    there = {side.layer for side in taken}
    names = [_name(kind, layer, layers[kind, layer]) for kind, layer in ordered]
    if not taken:
        return None
    return Sides(
        layers=tuple(name for place, name in enumerate(names) if place in there),
        sides=tuple(
            Side(s.row, sorted(there).index(s.layer), s.image, s.picture) for s in sorted(taken, key=lambda s: s.row)
        ),
        rows=tuple(sorted({side.row for side in taken})),
        input=batch,
        samples=samples,
    )


def _seen(row: Row) -> tuple[Run, Views] | None:
    for run in sorted(row.runs, key=lambda run: run.status != "completed"):
        if (seen := views(run)) is not None and seen.images:
            return run, seen
    return None


def _name(kind: str, layer: str, types: list[str]) -> str:
    return f"{layer} {' / '.join(dict.fromkeys(types))} {kind}"
