"""What was changed, as the factors of an experiment."""

from __future__ import annotations

from dataclasses import dataclass

from cnnexp.report.ranking import Ranking, as_number

_MANY = 12  # of more numbers than this, each with a mean of its own, nobody can read anything


@dataclass(frozen=True)
class Factor:
    """Something that was changed, and to what.

    Arguments:
        name: the changed column; several that always changed together are one factor, `a + b`.
        columns: the names of the ranking's columns that it stands for.
        values: its values as text, at least two, numbers in ascending order; `x + y` where it stands for several
            columns. An empty text is a value that was left as it is.
        of_rows: the value of each of the ranking's rows.
    """

    name: str
    columns: tuple[str, ...]
    values: tuple[str, ...]
    of_rows: tuple[str, ...]

    @property
    def is_scale(self) -> bool:
        """Whether it has so many numbers for values that it is looked at as a scale, not value by value."""
        return _is_scale(self.values)


def factors(ranking: Ranking) -> tuple[Factor, ...]:
    """What was changed to at least two values; columns that always changed together are one factor."""
    found: dict[tuple[int, ...] | str, list[str]] = {}
    for column in ranking.columns:
        values = [row.changed[column] for row in ranking.rows]
        if len(set(values)) > 1:
            # Numbers that are all different change together with everything: each is looked at by itself.
            pattern = column if _is_scale(values) else tuple(map(values.index, values))
            found.setdefault(pattern, []).append(column)
    return tuple(_factor(ranking, tuple(columns)) for columns in found.values())


def _factor(ranking: Ranking, columns: tuple[str, ...]) -> Factor:
    of_rows = tuple(" + ".join(row.changed[column] for column in columns) for row in ranking.rows)
    return Factor(" + ".join(columns), columns, tuple(sorted(set(of_rows), key=_order)), of_rows)


def _order(value: str) -> tuple[bool, float, str]:
    number = as_number(value)
    return (number is None, number or 0.0, value)


def _is_scale(values: tuple[str, ...] | list[str]) -> bool:
    numbers = {value: as_number(value) for value in values if value}
    return len(numbers) > _MANY and None not in numbers.values()
