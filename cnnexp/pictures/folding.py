"""A Plan as what is drawn of it: neighbours that are equal but for their channels are drawn once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cnnexp.architecture.catalog import inferable
from cnnexp.architecture.plan import PlannedLayer, plain


@dataclass(frozen=True)
class Part:
    """A layer as it is drawn, standing for itself and for the layers that are like it.

    Arguments:
        copies: the planned layers that it stands for, in the network's order.
        names: their dotted names.
        times: how many of them follow one another at this place; what it stands in may be repeated besides.
        children: what stands inside.
    """

    copies: tuple[PlannedLayer, ...]
    names: tuple[str, ...]
    times: int
    children: tuple[Part, ...]

    @property
    def layer(self) -> PlannedLayer:
        """The first of the layers that it stands for."""
        return self.copies[0]

    @property
    def own_names(self) -> str:
        """The name, or the first and the last of the repeated ones."""
        if self.times == 1:
            return self.layer.name
        return f"{self.layer.name}–{self.copies[self.times - 1].name}"

    def walk(self) -> Iterator[Part]:
        """The part and everything inside."""
        yield self
        for child in self.children:
            yield from child.walk()


def fold(layers: Sequence[PlannedLayer]) -> tuple[Part, ...]:
    """The parts of a network, in order."""
    return _folded([(layer.name, layer) for layer in layers])


_ROLES = ("Residual", "Unpool")
"""Composites whose children each have a part of their own to play, however alike they are."""


def _folded(*copies: Sequence[tuple[str, PlannedLayer]], roles: bool = False) -> tuple[Part, ...]:
    """The parts of sequences that are alike.

    Arguments:
        copies: for each sequence its layers with their dotted names.
        roles: whether the layers are no sequence, but each has a role of its own.
    """
    found = []
    places = range(len(copies[0]))
    for _, group in itertools.groupby(places, lambda i: i if roles else _likeness(copies[0][i][1])):
        chosen = list(group)
        every = [copy[i] for copy in copies for i in chosen]
        inside = [[(f"{name}.{child.name}", child) for child in layer.children] for name, layer in every]
        parts = _folded(*inside, roles=every[0][1].component.name in _ROLES) if inside[0] else ()
        found.append(Part(tuple(x for _, x in every), tuple(name for name, _ in every), len(chosen), parts))
    return tuple(found)


def _likeness(layer: PlannedLayer) -> Any:
    """What two layers have in common that are drawn as one: everything but names, channels and a dropout's share."""
    sizes = (*inferable(layer.component), "p")
    params = tuple((k, repr(plain(v))) for k, v in layer.params.items() if k not in sizes)
    inside = tuple(map(_likeness, layer.children))
    return layer.type, layer.component.name, params, len(layer.output_shape), layer.output_shape[1:], inside
