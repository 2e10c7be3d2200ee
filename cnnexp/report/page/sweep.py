"""What the page of a sweep, or of any folder of runs, shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnexp.records import Run
from cnnexp.report.analysis import Analysis, Comparison
from cnnexp.report.failures import unreadable
from cnnexp.report.observations import without_number
from cnnexp.report.page import effects, fronts, overlaid, reading, said
from cnnexp.report.page.album import Album
from cnnexp.report.page.ended import Ended, ended
from cnnexp.report.page.formats import duration, moment, number, words
from cnnexp.report.page.pairs import pair_tables, shared_reason
from cnnexp.report.page.parts import Figure, Table
from cnnexp.report.page.ranked import Ranked, environment, every_run, ranked
from cnnexp.report.page.run import Headline
from cnnexp.report.page.run import environment as environment_of
from cnnexp.report.page.sides import Sides, sides
from cnnexp.report.planned import sweeps
from cnnexp.report.ranking import as_number

_BUDGET = 1_500_000  # characters that pictures may take
_PICKED = 5  # rows whose curves and pictures are shown at first


@dataclass(frozen=True)
class Part:
    """A ranking with all that is said about it.

    Arguments:
        id: the beginning of the names of its parts.
        comparison: what is shown.
        title: the metric in words.
        headline: which choice was better, and whether the difference is real.
        findings: what each choice did, a sentence each.
        ranked: the table.
        runs: every run.
        picked: the rows whose curves are shown at first.
        curves: their data; empty where there are none.
        sides: feature maps.
        effects: the main effects.
        interactions: of every two choices.
        untold: how many interactions have no figure.
        best_pairs, other_pairs: differences.
        untested: why none of them has an interval; else empty.
        front: value against cost.
        ended: failures by reason.
    """

    id: str
    comparison: Comparison
    title: str
    headline: tuple[str, ...]
    findings: tuple[str, ...]
    ranked: Ranked
    runs: Table
    picked: tuple[int, ...]
    curves: Mapping[str, Any]
    sides: Sides | None
    effects: Figure | None
    interactions: tuple[Figure, ...]
    untold: int
    best_pairs: Table | None
    other_pairs: Table | None
    untested: str
    front: Figure | None
    ended: tuple[Ended, ...]


@dataclass(frozen=True)
class SweepPage:
    """Several runs compared.

    Arguments:
        sweep: whether they are one sweep.
        headlines: what is said on top.
        parts: one for each metric.
        facts: how the sweep was started, by name.
        unreadable: records that are broken.
        left_out: how many pictures would make the page too large.
        environment: what the runs ran in.
        layers, source: the network of the best configuration.
        best: what it is called.
    """

    sweep: bool
    headlines: tuple[Headline, ...]
    parts: tuple[Part, ...]
    facts: Mapping[str, str]
    unreadable: tuple[str, ...]
    left_out: int
    environment: Mapping[str, str]
    layers: str | None
    source: str | None
    best: str

    @property
    def figures(self) -> Iterator[Figure]:
        """All figures."""
        for part in self.parts:
            yield from (figure for figure in (part.effects, *part.interactions, part.front) if figure is not None)

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script needs of the tables and curves."""
        parts = [
            {
                "id": part.id,
                "labels": part.ranked.labels,
                "changed": part.ranked.changed,
                "curves": part.curves,
            }
            for part in self.parts
        ]
        return {"parts": parts, "curves": any(part.curves for part in self.parts)}


def sweep_page(folder: Path, runs: Sequence[Run], analysis: Analysis) -> SweepPage:
    """Everything that is said about several runs."""
    album = Album(_BUDGET)
    parts = tuple(
        _part(f"r{i}", c, title, len(runs), album)
        for i, (c, title) in enumerate(zip(analysis.comparisons, _titles(analysis), strict=True))
    )
    told = reading.json_mapping(folder / "sweep.json")
    best = _best(analysis)
    return SweepPage(
        sweep=bool(told),
        headlines=tuple(_headlines(runs, analysis)),
        parts=parts,
        facts=_facts(told),
        unreadable=unreadable(folder, runs),
        left_out=len(album.left_out),
        environment=environment([{k: v for k, v in environment_of(r).items() if k not in _OF_RUN} for r in runs]),
        layers=reading.text(best.path / "layers.txt") if best else None,
        source=reading.text(best.path / "model.py") if best else None,
        best=parts[0].ranked.labels[analysis.comparisons[0].best or 0] if best else "",
    )


_OF_RUN = ("seed", "config hash")


def _titles(analysis: Analysis) -> list[str]:
    """The metrics in words; with the mode where one was monitored in both."""
    names = [words(c.metric) if c.metric else "no metric" for c in analysis.comparisons]
    better = ["more" if c.mode == "max" else "less" for c in analysis.comparisons]
    return [
        f"{name}, {mode} is better" if names.count(name) > 1 else name for name, mode in zip(names, better, strict=True)
    ]


def _part(id: str, comparison: Comparison, title: str, runs: int, album: Album) -> Part:
    table = ranked(comparison)
    metric = comparison.metric or "value"
    rows = range(len(comparison.ranking.rows))
    curves = overlaid.overlaid(comparison.ranking, sum(len(r.runs) for r in comparison.ranking.rows) / runs)
    drawn = effects.interactions(f"{id}-interaction", comparison.interactions, metric)
    best_pairs, other_pairs = pair_tables(comparison, table.labels)
    return Part(
        id=id,
        comparison=comparison,
        title=title,
        headline=tuple(said.headline(comparison, table.labels)),
        findings=tuple(map(said.effect, comparison.effects)) if comparison.best is not None else (),
        ranked=table,
        runs=every_run(comparison),
        picked=tuple(rows)[:_PICKED],
        curves=curves,
        sides=sides(comparison.ranking, table.labels, album),
        effects=effects.figure(f"{id}-effects", comparison.effects, metric, comparison.mode, comparison.adjusted),
        interactions=tuple(drawn),
        untold=len(comparison.interactions) - len(drawn),
        best_pairs=best_pairs,
        other_pairs=other_pairs,
        untested=shared_reason(comparison.pairs),
        front=fronts.figure(f"{id}-front", comparison, table.labels),
        ended=tuple(ended(comparison.failures)),
    )


def _headlines(runs: Sequence[Run], analysis: Analysis) -> Iterator[Headline]:
    counted = Counter(run.status for run in runs)
    told = [f"{n} {status}" for status, n in sorted(counted.items()) if status != "completed"] or ["all completed"]
    if without := sum(len(without_number(c.ranking, c.observations)) for c in analysis.comparisons if c.metric):
        told.append(f"{without} without a number")
    begun = sweeps(runs)
    if missing := sum(sweep.missing for sweep in begun):
        verb = "has" if missing == 1 else "have"
        told.append(f"{missing} of {sum(sweep.planned for sweep in begun)} jobs {verb} no record")
    yield Headline("runs", str(len(runs)), ", ".join(told))
    rows = sum(len(ranking.rows) for ranking in analysis.rankings)
    yield Headline("configurations", str(rows), "that differ in more than the seed")
    for comparison in analysis.comparisons[:2]:
        if comparison.best is not None and (value := comparison.values[comparison.best]) is not None:
            sd = "" if value.sd is None else f"± {number(value.sd)} over {value.n} seeds"
            yield Headline(f"best {words(comparison.metric or '')}", number(value.mean), sd)
    took = [s for run in runs if (s := as_number(run.fields.get("seconds"))) is not None]
    if took:
        yield Headline("time", duration(sum(took)), "of all runs together")


def _facts(told: Mapping[str, Any]) -> dict[str, str]:
    facts = {
        "status": told.get("status"),
        "command": told.get("command"),
        "started": moment(told["started"]) if "started" in told else None,
        "finished": moment(told["finished"]) if "finished" in told else None,
    }
    return {name: str(text) for name, text in facts.items() if text}


def _best(analysis: Analysis) -> Run | None:
    """A run of the best configuration."""
    first = analysis.comparisons[0] if analysis.comparisons else None
    if first is None or first.best is None:
        return None
    return next((o.run for o in first.observations if o.row == first.best), None)
