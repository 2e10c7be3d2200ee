"""Which layers of two networks are each other's partners.

A network is read as a list of layers in which `Residual`, `Parallel` and `Unpool` hold lists of their own; a
`Sequential`, a `Repeat` and a block only group layers and leave no trace. Lists are aligned so that as little as
possible changes: a layer keeps its partner when its parameters change or when another of its kind takes its place, and
what stands inside a composite finds its partners inside the composite's partner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnexp.architecture.catalog import dimensions
from cnnexp.architecture.plan import Plan, PlannedLayer, plain
from cnnexp.components import EMPTY

_GROUPS = ("Sequential", "Repeat")
_PER_DIMENSION = ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size")
_KINDS = {"batchnorm": "normalization", "instancenorm": "normalization"}
# What a step of the alignment costs. Two layers that take each other's place must stay cheaper than two gaps.
_GAP, _REPLACED, _EDITED, _GIVEN, _SHAPED, _NAMED = 100, 120, 60, 15, 5, 1
_NEVER = 10**7
_MANY_CELLS, _MOST_CELLS = 250_000, 25_000_000

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Spot:
    """A layer at its place in a network.

    Arguments:
        name: its dotted name.
        layer: the layer.
    """

    name: str
    layer: PlannedLayer

    @property
    def given_name(self) -> str:
        """Its own name, where that is more than a number."""
        return "" if self.layer.name.isdigit() else self.layer.name

    @property
    def given_names(self) -> tuple[str, ...]:
        """The names on its way that are more than numbers."""
        return tuple(part for part in self.name.split(".") if not part.isdigit())

    @property
    def size(self) -> int:
        """How many layers it is: itself, and what stands inside."""
        return sum(not _is_group(layer) for _, _, layer in self.layer.walk())

    @cached_property
    def own(self) -> Mapping[str, Any]:
        """The parameters that do not follow from what arrives, defaults filled in, one way of writing each."""
        component, params = self.layer.component, self.layer.params
        defaults = {name: p.default for name, p in component.parameters.items() if p.default is not EMPTY}
        values = {name: params.get(name, defaults.get(name)) for name in (*component.parameters, *params)}
        if values.get("stride", 1) is None:
            values["stride"] = values.get("kernel_size")  # as torch's pools read it
        return {k: _meant(component.name, k, v) for k, v in values.items() if k not in component.sizes}

    @cached_property
    def inferred(self) -> Mapping[str, Any]:
        """The sizes that follow from what arrives."""
        return {k: plain(v) for k, v in self.layer.params.items() if k in self.layer.component.sizes}


@dataclass(frozen=True)
class Match:
    """Two layers that are each other's partners."""

    old: Spot
    new: Spot


@dataclass(frozen=True)
class Gap:
    """Layers between two matches that have no partners."""

    old: tuple[Spot, ...]
    new: tuple[Spot, ...]


def align(old: Plan, new: Plan) -> Iterator[Match | Gap]:
    """All layers of both networks in order, as matches and gaps; the same whichever network is the old one."""
    forms: dict[Any, int] = {}
    ours, theirs = _nodes(old.layers, "", forms), _nodes(new.layers, "", forms)
    ranks = [[(repr(spot.own), *_place(spot)) for node in nodes for spot in node.spots()] for nodes in (ours, theirs)]
    if ranks[0] <= ranks[1]:
        yield from _Alignment().all(ours, theirs)
        return
    for found in _Alignment().all(theirs, ours):  # one order for both ways, so that ties fall alike
        yield type(found)(found.new, found.old)  # type: ignore[arg-type]  # both have the same two fields


@dataclass(frozen=True, eq=False)
class _Node:
    """A layer, a composite with its parts, or a part: a list that a composite holds.

    Arguments:
        spot: the layer or the composite; None for a part.
        part: the name of a part, where it is more than a number.
        form: a number that is the same for whatever is built alike.
        gap: what it costs when it has no partner.
        children: a composite's parts, a part's layers.
    """

    spot: Spot | None
    part: str
    form: int
    gap: int
    children: tuple[_Node, ...] = ()

    def spots(self) -> Iterator[Spot]:
        """The layers in it, composites before what stands inside them."""
        if self.spot is not None:
            yield self.spot
        for child in self.children:
            yield from child.spots()


def _nodes(layers: Sequence[PlannedLayer], prefix: str, forms: dict[Any, int]) -> list[_Node]:
    found: list[_Node] = []
    for layer in layers:
        spot = Spot(f"{prefix}{layer.name}", layer)
        if _is_group(layer):
            found += _nodes(layer.children, f"{spot.name}.", forms)
            continue
        parts = [_part(child, f"{spot.name}.", forms) for child in layer.children]
        form = (layer.component.name, repr(sorted(spot.own.items())), *(part.form for part in parts))
        number, gap = forms.setdefault(form, len(forms)), _GAP + sum(part.gap for part in parts)
        found.append(_Node(spot, "", number, gap, tuple(parts)))
    return found


def _is_group(layer: PlannedLayer) -> bool:
    return layer.composite and layer.component.name in _GROUPS


def _part(child: PlannedLayer, prefix: str, forms: dict[Any, int]) -> _Node:
    inside = tuple(_nodes([child], prefix, forms))
    name = "" if child.name.isdigit() else child.name
    number = forms.setdefault((name, *(node.form for node in inside)), len(forms))
    return _Node(None, name, number, sum(node.gap for node in inside), inside)


def _place(spot: Spot | None) -> tuple[Any, ...]:
    """What tells a layer from others that are built alike: its names, its shape."""
    if spot is None:
        return (), (), ""
    return spot.given_names, spot.layer.output_shape, spot.name


class _Alignment:
    """Alignments of lists of nodes; remembers what it costs to make two forms partners."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], int] = {}

    def all(self, ours: Sequence[_Node], theirs: Sequence[_Node]) -> Iterator[Match | Gap]:
        """Matches and gaps of two lists and of all that stands inside."""
        i = j = 0
        for a, b in [*self._pairs(ours, theirs)[1], (len(ours), len(theirs))]:
            yield from self._gap(ours[i:a], theirs[j:b])
            if a < len(ours):
                one, other = ours[a], theirs[b]
                if one.spot is not None and other.spot is not None:
                    yield Match(one.spot, other.spot)
                yield from self.all(one.children, other.children)
            i, j = a + 1, b + 1

    def _gap(self, ours: Sequence[_Node], theirs: Sequence[_Node]) -> Iterator[Match | Gap]:
        """What has no partner, unless it has one in a composite that was put around it or taken away."""
        if ours and theirs and any(node.children for node in (*ours, *theirs)):
            yield from self.all(_opened(ours), _opened(theirs))
        elif ours or theirs:
            spots = (tuple(spot for node in nodes for spot in node.spots()) for nodes in (ours, theirs))
            yield Gap(*spots)

    def _pairs(self, ours: Sequence[_Node], theirs: Sequence[_Node]) -> tuple[int, list[tuple[int, int]]]:
        """What the cheapest alignment of two lists costs, and its pairs; equal beginnings are taken as they stand.

        So are the ends of long lists.
        """
        shorter = min(len(ours), len(theirs))
        start = next((k for k in range(shorter) if not _alike(ours[k], theirs[k])), shorter)
        long = (len(ours) - start) * (len(theirs) - start) > _MANY_CELLS
        rest = range(1, shorter - start + 1) if long else range(0)
        end = next((k - 1 for k in rest if not _alike(ours[-k], theirs[-k])), len(rest))
        cost, middle = self._cheapest(ours[start : len(ours) - end], theirs[start : len(theirs) - end])
        first = [(k, k) for k in range(start)]
        last = [(len(ours) - k, len(theirs) - k) for k in range(end, 0, -1)]
        return cost, [*first, *((start + i, start + j) for i, j in middle), *last]

    def _cheapest(self, ours: Sequence[_Node], theirs: Sequence[_Node]) -> tuple[int, list[tuple[int, int]]]:
        """The alignment by Needleman and Wunsch; of lists that are too long for it none."""
        n, m = len(ours), len(theirs)
        if n * m == 0 or n * m > _MOST_CELLS:
            return sum(node.gap for node in (*ours, *theirs)), []
        costs = self._costs(ours, theirs)
        skipped = np.cumsum([0, *(node.gap for node in theirs)])
        best = np.empty((n + 1, m + 1), dtype=np.int64)
        best[0] = skipped
        for i, node in enumerate(ours):
            row = best[i] + node.gap
            row[1:] = np.minimum(row[1:], best[i, :-1] + costs[i])
            best[i + 1] = np.minimum.accumulate(row - skipped) + skipped
        pairs = []
        i, j = n, m
        while i and j:
            if best[i, j] == best[i - 1, j - 1] + costs[i - 1, j - 1]:
                i, j = i - 1, j - 1
                pairs.append((i, j))
            elif best[i, j] == best[i - 1, j] + ours[i - 1].gap:
                i -= 1
            else:
                j -= 1
        return int(best[n, m]), pairs[::-1]

    def _costs(self, ours: Sequence[_Node], theirs: Sequence[_Node]) -> Numbers:
        """What it costs to make any two nodes partners."""
        columns = {node.form: node for node in theirs}
        rows = {node.form: {f: self._kinship(node, other) for f, other in columns.items()} for node in ours}
        lines = {form: np.array([row[node.form] for node in theirs]) for form, row in rows.items()}
        costs: Numbers = np.stack([lines[node.form] for node in ours])
        places = [[_place(node.spot) for node in nodes] for nodes in (ours, theirs)]
        for index, price in enumerate((_GIVEN, _SHAPED, _NAMED)):
            known: dict[Any, int] = {}
            left, right = (np.array([known.setdefault(p[index], len(known)) for p in side]) for side in places)
            costs += (left[:, None] != right[None, :]) * price
        return costs

    def _kinship(self, one: _Node, other: _Node) -> int:
        """What it costs that two nodes are not built alike."""
        key = (one.form, other.form)
        if key not in self._known:
            self._known[key] = self._distance(one, other)
        return self._known[key]

    def _distance(self, one: _Node, other: _Node) -> int:
        if one.spot is None or other.spot is None:
            return self._pairs(one.children, other.children)[0] if one.part == other.part else _NEVER
        old, new = one.spot.layer, other.spot.layer
        if old.component.name != new.component.name:
            return _REPLACED if _kind(old) == _kind(new) is not None else _NEVER
        edits = len(differing(one.spot.own, other.spot.own))
        return _EDITED * edits // (edits + 1) + self._pairs(one.children, other.children)[0]


def _alike(one: _Node, other: _Node) -> bool:
    return one.form == other.form and _place(one.spot)[0] == _place(other.spot)[0]


def _opened(nodes: Sequence[_Node]) -> list[_Node]:
    """The nodes with what stands inside composites beside them."""
    found: list[_Node] = []
    for node in nodes:
        if node.spot is not None:
            found.append(_Node(node.spot, "", -1 - node.form, _GAP) if node.children else node)
        for part in node.children:
            found += part.children if part.spot is None else [part]
    return found


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The parameters that do not have the same value in both; one that is missing counts as null."""
    return [name for name in dict.fromkeys([*old, *new]) if repr(old.get(name)) != repr(new.get(name))]


def _kind(layer: PlannedLayer) -> str | None:
    """The kind of a layer, of which another may take its place; None where it is the only one of its kind."""
    module: str = layer.component.cls.__module__
    if layer.composite or not module.startswith("torch.nn.modules."):
        return None
    last = module.rsplit(".", 1)[-1]
    return _KINDS.get(last, last)


def _meant(kind: str, name: str, value: Any) -> Any:
    """A parameter's value in one way of writing: equal numbers for all dimensions are one number."""
    found = plain(value)
    if name in _PER_DIMENSION and isinstance(found, list) and len(found) == dimensions(kind):
        return found[0] if len(set(map(repr, found))) == 1 else found
    if isinstance(found, float) and found.is_integer():
        return int(found)
    return getattr(found, "__name__", found)
