"""What a page is made of: tables whose cells can be sorted, and figures with the table behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Plot = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Arguments:
        name: its heading.
        number: whether it holds numbers, which stand below one another by their decimal point.
        of: what the heading belongs to, said to those who cannot see the columns beside it.
    """

    name: str
    number: bool = False
    of: str = ""


@dataclass(frozen=True)
class Cell:
    """A value of a table.

    Arguments:
        text: how it is shown.
        key: what it is sorted by, with full precision; None where there is no value.
        mark: the class of its look, where it has one.
    """

    text: str
    key: float | str | None = None
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row is its heading.

    Arguments:
        caption: what it shows.
        columns: its columns.
        rows: its rows.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Figure:
    """An interactive figure.

    Arguments:
        id: its name in the page.
        title: what it shows.
        caption: how it is read.
        plots: plotly's data and layout, by the name under which it can be chosen; one or several. Colours are left to
            the page: a trace's `meta` says which of the palette's it has, so that it can be drawn light and dark.
        table: the numbers behind it.
    """

    id: str
    title: str
    caption: str
    plots: Mapping[str, Plot]
    table: Table | None = None


def table(caption: str, columns: Sequence[Any], rows: Iterable[Sequence[Any]]) -> Table:
    """A table from plain texts and cells.

    Arguments:
        caption: what it shows.
        columns: its columns; a text is a column of texts.
        rows: its rows; a text is a cell that is sorted by what it says.
    """
    headings = tuple(Column(c) if isinstance(c, str) else c for c in columns)
    return Table(caption, headings, tuple(tuple(Cell(c, c) if isinstance(c, str) else c for c in row) for row in rows))


def numbers(*names: str) -> list[Column]:
    """Columns that hold numbers."""
    return [Column(name, number=True) for name in names]


def label(text: str) -> str:
    """A text as plotly shows it: what looks like markup there is written out."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with its title."""
    return {"title": {"text": label(title)}, **more}
