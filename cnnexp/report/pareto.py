"""Which configurations no other one beats in both what they reach and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cnnexp.report.ranking import Figure, Row

COSTS = ("parameters", "multiply_adds", "seconds")


@dataclass(frozen=True)
class Pareto:
    """The front of a cost: no other row reaches at least as much for at most as much, and one of both better.

    Arguments:
        by: "parameters", "multiply_adds" or "seconds".
        rows: the indices of the ranking's rows on the front, cheapest first; equal ones are all on it.
    """

    by: str
    rows: tuple[int, ...]


def fronts(rows: Sequence[Row], values: Sequence[Figure | None], mode: str) -> tuple[Pareto, ...]:
    """The front for every cost that is known of a row with a value.

    Arguments:
        rows: the configurations.
        values: what each of them reached.
        mode: whether more is better (max) or less (min).
    """
    sign = 1 if mode == "max" else -1
    found = []
    for by in COSTS:
        points = [
            (spent, -sign * value.mean, i)
            for i, (row, value) in enumerate(zip(rows, values, strict=True))
            if value is not None and (spent := cost(row, by)) is not None
        ]
        if points:
            found.append(Pareto(by, _front(sorted(points))))
    return tuple(found)


def cost(row: Row, by: str) -> float | None:
    """What a row costs; the mean of its runs for seconds."""
    if by == "seconds":
        return row.seconds.mean if row.seconds else None
    return row.parameters if by == "parameters" else row.multiply_adds


def _front(points: Sequence[tuple[float, float, int]]) -> tuple[int, ...]:
    """The points, (cost, loss, index) cheapest first, that are better than all cheaper ones, and their equals."""
    front: list[tuple[float, float, int]] = []
    for point in points:
        if not front or point[1] < front[-1][1] or point[:2] == front[-1][:2]:
            front.append(point)
    return tuple(index for _, _, index in front)
