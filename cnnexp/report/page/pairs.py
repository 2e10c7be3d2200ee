"""Configurations against each other, as a table that says in words what is noise."""

from __future__ import annotations

from collections.abc import Sequence

from cnnexp.report.analysis import Comparison, Pair
from cnnexp.report.page.formats import NONE, probability, signed
from cnnexp.report.page.parts import Cell, Table, numbers, table
from cnnexp.report.page.said import interval, verdict
from cnnexp.report.pairs import MANY_ROWS

_MOST = 600


def pair_tables(comparison: Comparison, labels: Sequence[str]) -> tuple[Table | None, Table | None]:
    """The best against each other one, and the further pairs; None for a table without rows."""
    best = [pair for pair in comparison.pairs if comparison.best in (pair.a, pair.b)]
    rest = [pair for pair in comparison.pairs if comparison.best not in (pair.a, pair.b)]
    many = sum(value is not None for value in comparison.values) > MANY_ROWS
    caption = "Each against the next in rank" if many else "All other pairs"
    if len(rest) > _MOST:
        caption = f"{caption}: the first {_MOST} of {len(rest):,}"
    return (
        _pairs("The best against every other one", best, labels, comparison.best) if best else None,
        _pairs(caption, rest[:_MOST], labels, None) if rest else None,
    )


def _pairs(caption: str, pairs: Sequence[Pair], labels: Sequence[str], best: int | None) -> Table:
    once = shared_reason(pairs)
    said = [" ".join(filter(None, ("" if once else pair.reason, *pair.notes))) for pair in pairs]
    rows = [
        [
            *([labels[pair.a]] if best is None else []),
            labels[pair.b],
            Cell(signed(pair.difference), pair.difference),
            Cell(interval(pair.low, pair.high, sign=True) or NONE, pair.low),
            Cell(probability(pair.p_adjusted), pair.p_adjusted),
            _verdict(pair),
            Cell(pair.test or NONE, pair.test, "whole"),
            Cell(str(pair.n), pair.n),
            *([text] if any(said) else []),
        ]
        for pair, text in zip(pairs, said, strict=True)
    ]
    sides = ["a", "b"] if best is None else ["other configuration"]
    lead = "a − b" if best is None else "best − other"
    measures = numbers(lead, "95 % interval", "adjusted p")
    more = ["to know"] if any(said) else []
    return table(caption, [*sides, *measures, "the difference is", "test", *numbers("n"), *more], rows)


def shared_reason(pairs: Sequence[Pair]) -> str:
    """Why no pair at all has an interval; empty where some have or the reasons differ."""
    reasons = {pair.reason for pair in pairs}
    return reasons.pop() if len(reasons) == 1 else ""


def _verdict(pair: Pair) -> Cell:
    text = verdict(pair)
    return Cell(text, text, "real" if text.startswith("larger") else "noise")
