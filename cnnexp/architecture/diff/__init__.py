"""What changed between two networks, layer by layer.

A layer that changed is told with its parameters before and after. One that only has other sizes because something
above it changed is told apart from it, and equal layers are only counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from cnnexp import tables
from cnnexp.architecture.diff.aligning import Match, Spot, align, differing
from cnnexp.architecture.fitting import times
from cnnexp.architecture.plan import Plan
from cnnexp.kinds import shown

_ALONE = ("removed", "added")
_MARKS = {"changed": "~", "replaced": "~", "follows": "↓", "removed": "-", "added": "+"}


@dataclass(frozen=True)
class Edit:
    """A value that differs: a parameter, the `type` or the `name`."""

    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.name} {_word(self.old)} → {_word(self.new)}"


@dataclass(frozen=True)
class Row:
    """A layer of either network, or of both.

    Arguments:
        status: `equal`; `changed`: its own parameters differ, or its own name; `replaced`: a layer of another type
            has its place; `follows`: its sizes differ because of what is above; `removed`; `added`.
        old, new: the layer in both networks; None where there is none.
        edits: what differs in itself.
        consequences: the inferred sizes that differ.
    """

    status: str
    old: Spot | None
    new: Spot | None
    edits: tuple[Edit, ...] = ()
    consequences: tuple[Edit, ...] = ()

    @property
    def composite(self) -> bool:
        """Whether other layers stand inside; these have rows of their own."""
        return any(spot.layer.composite for spot in (self.old, self.new) if spot)

    def both(self, value: str) -> tuple[Any, Any]:
        """An attribute of the old and of the new layer, None where there is none."""
        old, new = (getattr(spot.layer, value) if spot else None for spot in (self.old, self.new))
        return old, new

    def cost(self, value: str) -> tuple[int, int]:
        """`parameters` or `multiply_adds` before and after; those of a composite stand with the layers inside."""
        old, new = (0, 0) if self.composite else self.both(value)
        return old or 0, new or 0


@dataclass(frozen=True)
class Comparison:
    """Two networks side by side.

    Arguments:
        old, new: the networks.
        rows: every layer of both, in order.
    """

    old: Plan
    new: Plan
    rows: tuple[Row, ...]

    @property
    def same(self) -> bool:
        """Whether both have the same layers, names and samples."""
        samples = (self.old.input_shape, self.old.dtype) == (self.new.input_shape, self.new.dtype)
        alike = (row.status == "equal" and row.old and row.new and row.old.name == row.new.name for row in self.rows)
        return samples and all(alike)

    def text(self, names: tuple[str, str]) -> str:
        """What differs as a table with totals; equal layers are only counted.

        Arguments:
            names: how the old and the new network are called.
        """
        totals = self.new.totals
        if self.same:
            count = _count(sum(not row.composite for row in self.rows), "layer")
            cost = f"{totals.parameters:,} parameters, {totals.multiply_adds:,} multiply-adds per sample"
            return f"{names[0]} and {names[1]} have the same layers: {count}, {cost}"
        return f"{names[0]} → {names[1]}\n{self._table()}\n\n{self._summary(names)}\n\n{self._totals()}"

    def _table(self) -> str:
        grid = tables.grid()
        for heading in ("", "layer", "type", "what differs", "output"):
            grid.add_column(heading, overflow="fold")
        for heading in ("parameters", "±", "multiply-adds", "±"):
            grid.add_column(heading, justify="right")
        dtypes = [] if self.old.dtype == self.new.dtype else [str(Edit("dtype", self.old.dtype, self.new.dtype))]
        grid.add_row(
            "", "", "input", *(dtypes or [""]), _arrow(times(self.old.input_shape), times(self.new.input_shape))
        )
        for folded, group in groupby(self.rows, key=_folds):
            rows = list(group)
            if not folded:
                for row, inside in _whole(rows):
                    grid.add_row(*_cells(row, inside))
            elif layers := [row for row in rows if not row.composite]:
                grid.add_row("", _range(layers), f"… {_count(len(layers), 'equal layer')}")
        return tables.text(grid)

    def _summary(self, names: tuple[str, str]) -> str:
        """How many layers have which mark, which tells what the marks mean."""
        count = Counter[str]()
        for row, inside in _whole(self.rows):
            if not _hidden(row):
                count[_MARKS.get(row.status, "")] += sum(not r.composite for r in inside) or 1
        words = {
            "~": "changed",
            "↓": "follow from what is above",
            "-": f"only in {names[0]}",
            "+": f"only in {names[1]}",
        }
        told = [f"{mark} {count[mark]} {text}" for mark, text in words.items() if count[mark]]
        return ", ".join([*told, *([f"{count['']} equal"] if count[""] else [])])

    def _totals(self) -> str:
        old, new = self.old.totals, self.new.totals
        return "\n".join(
            [
                f"output         {_arrow(times(self.old.output_shape), times(self.new.output_shape))}",
                f"parameters     {_total(old.parameters, new.parameters)}",
                f"multiply-adds  {_total(old.multiply_adds, new.multiply_adds)}",
            ]
        )

    def as_dict(self) -> dict[str, Any]:
        """The comparison as plain data, fit for JSON; every pair is [old, new]."""
        old, new = self.old.totals, self.new.totals
        return {
            "same": self.same,
            "dtype": [self.old.dtype, self.new.dtype],
            "input_shape": [list(self.old.input_shape), list(self.new.input_shape)],
            "output_shape": [list(self.old.output_shape), list(self.new.output_shape)],
            "parameters": [old.parameters, new.parameters],
            "multiply_adds": [old.multiply_adds, new.multiply_adds],
            "layers": [_as_dict(row) for row in self.rows],
        }


def compare(old: Plan, new: Plan) -> Comparison:
    """What changed from one network to the other; `compare(new, old)` says the same the other way round."""
    return Comparison(old, new, tuple(_rows(old, new)))


def _rows(old: Plan, new: Plan) -> Iterator[Row]:
    for found in align(old, new):
        if isinstance(found, Match):
            yield _pair(found.old, found.new)
        else:
            yield from (Row("removed", spot, None) for spot in found.old)
            yield from (Row("added", None, spot) for spot in found.new)


def _pair(old: Spot, new: Spot) -> Row:
    one, other = old.layer, new.layer
    named = [Edit("name", one.name, other.name)] if old.given_name != new.given_name else []
    if one.component.name != other.component.name:
        known = Edit("type", one.component.name, other.component.name)
        return Row("replaced", old, new, (known, *_edits(old.own, new.own, both=True), *named))
    inferred = _edits(old.inferred, new.inferred)
    arrives_alike = one.input_shape == other.input_shape
    chosen, follow = (inferred, []) if arrives_alike else ([], inferred)  # a size may be chosen, as LayerNorm's is
    edits = (*_edits(old.own, new.own), *chosen, *named)
    shapes_alike = arrives_alike and one.output_shape == other.output_shape
    status = "changed" if edits else "equal" if shapes_alike and not inferred else "follows"
    return Row(status, old, new, edits, tuple(follow))


def _edits(old: Mapping[str, Any], new: Mapping[str, Any], both: bool = False) -> list[Edit]:
    """The parameters that differ, with null for one that there is not; `both` leaves out what only one layer takes."""
    return [
        Edit(name, old.get(name), new.get(name))
        for name in differing(old, new)
        if not both or (name in old and name in new)
    ]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)


def _hidden(row: Row) -> bool:
    """Whether a row says nothing: equal and consequent composites, whose layers tell it."""
    return row.composite and row.status in ("equal", "follows")


def _folds(row: Row) -> bool:
    return row.status == "equal" or _hidden(row)


def _whole(rows: Sequence[Row]) -> Iterator[tuple[Row, Sequence[Row]]]:
    """The rows, each with those of the layers inside where a whole composite was added or removed."""
    done = 0
    for index, row in enumerate(rows):
        if index < done:
            continue
        spot = row.old or row.new
        inside = rows[index + 1 : index + spot.size] if spot and row.composite and row.status in _ALONE else []
        if any(r.status != row.status for r in inside) or (spot and len(inside) < spot.size - 1):
            inside = []  # some of it has partners
        yield row, inside
        done = index + 1 + len(inside)


def _range(rows: Sequence[Row]) -> str:
    """The names of equal layers where they are called otherwise in the other network, apart from their numbers."""
    both = [(row.old, row.new) for row in rows if row.old and row.new]
    if all(old.given_names == new.given_names for old, new in both):
        return ""
    ends = [(names[0], names[-1]) for names in zip(*((old.name, new.name) for old, new in both), strict=True)]
    return _arrow(*(" … ".join(dict.fromkeys(pair)) for pair in ends))


def _cells(row: Row, inside: Sequence[Row] = ()) -> Iterator[str]:
    """A row of the table; the costs of the layers inside are its own."""
    shapes = [times(shape) if shape is not None else None for shape in row.both("output_shape")]
    names = [spot.name if spot else None for spot in (row.old, row.new)]
    kinds = [spot.layer.type if spot else None for spot in (row.old, row.new)]
    if row.status != "replaced" and None not in kinds:
        kinds = kinds[1:]  # blocks with different names may hold the same layers
    yield _MARKS[row.status]
    yield _arrow(*names)
    yield _arrow(*kinds)
    held = [f"with {_count(sum(not r.composite for r in inside), 'layer')}"] if inside else []
    yield ", ".join([*map(str, [e for e in row.edits if e.name != "type"] + list(row.consequences)), *held])
    yield _arrow(*shapes)
    for value in ("parameters", "multiply_adds"):
        old, new = (sum(numbers) for numbers in zip(*(r.cost(value) for r in (row, *inside)), strict=True))
        alone = f"{old or new:,}" if old or new else ""
        yield alone if row.status in _ALONE or old == new else f"{old:,} → {new:,}"
        yield _signed(new - old) if old != new else ""


def _as_dict(row: Row) -> dict[str, Any]:
    def told(edits: Sequence[Edit]) -> dict[str, list[Any]]:
        return {edit.name: [edit.old, edit.new] for edit in edits}

    pairs = ("input_shape", "output_shape")
    return {
        "status": row.status,
        "name": [spot and spot.name for spot in (row.old, row.new)],
        "type": list(row.both("type")),
        "edits": told(row.edits),
        "consequences": told(row.consequences),
        **{key: [None if shape is None else list(shape) for shape in row.both(key)] for key in pairs},
        **{key: list(row.cost(key)) for key in ("parameters", "multiply_adds")},
    }


def _arrow(*values: str | None) -> str:
    """One value, or two with an arrow where they differ."""
    return " → ".join(dict.fromkeys(value for value in values if value is not None))


def _total(old: int, new: int) -> str:
    if old == new:
        return f"{new:,} (the same)"
    share = f", {_signed(100 * (new - old) / old, '.1f')} %" if old else ""
    return f"{old:,} → {new:,} ({_signed(new - old)}{share})"


def _signed(number: float, form: str = "") -> str:
    return f"{number:+,{form}}".replace("-", "−")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
