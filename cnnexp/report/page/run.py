"""What the page of one run shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cnnexp.records import Run
from cnnexp.report.page import confusion, curves, reading
from cnnexp.report.page.album import Album, Picture
from cnnexp.report.page.evaluation import Evaluation, Mistake, evaluation
from cnnexp.report.page.formats import (
    clipped,
    count,
    duration,
    mapping,
    moment,
    number,
    short,
    words,
)
from cnnexp.report.page.parts import Cell, Column, Figure, Table, numbers, table
from cnnexp.report.page.views import Image, Views, statistics, views
from cnnexp.report.ranking import as_number

_BUDGET = 2_300_000  # characters that pictures may take in a page


@dataclass(frozen=True)
class Headline:
    """A number that stands large on top.

    Arguments:
        name: what it is.
        text: the number.
        note: what is said beside it.
    """

    name: str
    text: str
    note: str = ""


@dataclass(frozen=True)
class Shown:
    """A picture with what it shows."""

    image: Image
    picture: Picture


@dataclass(frozen=True)
class Wrong:
    """A mistake with its picture, where there is one."""

    mistake: Mistake
    picture: Picture | None


@dataclass(frozen=True)
class RunPage:
    """One run.

    Arguments:
        run: the run.
        headlines: what is said on top.
        facts: what it was, by name.
        config, layers, source: its files, as far as they are there.
        curves: a figure for each metric.
        judged: how the test set was judged.
        matrix, scores, confused: the confusion matrix and what follows from it.
        wrong: the surest mistakes.
        views: what the network saw.
        kernels, maps: its pictures.
        activations: statistics of the layers.
        left_out: the pictures that would make the page too large.
        error: why it ended, where it failed.
        log: the end of its log, where it did not complete.
        attempts: when it was worked on.
        environment: what it ran in.
    """

    run: Run
    headlines: tuple[Headline, ...]
    facts: Mapping[str, str]
    config: str | None
    layers: str | None
    source: str | None
    curves: tuple[Figure, ...]
    judged: Evaluation | None
    matrix: Figure | None
    scores: Table | None
    confused: Table | None
    wrong: tuple[Wrong, ...]
    views: Views | None
    kernels: tuple[Shown, ...]
    maps: tuple[Shown, ...]
    activations: Table | None
    left_out: tuple[str, ...]
    error: str | None
    log: str | None
    attempts: Table | None
    environment: Mapping[str, str]

    @property
    def figures(self) -> Iterator[Figure]:
        """All figures."""
        yield from self.curves
        if self.matrix:
            yield self.matrix


def run_page(run: Run) -> RunPage:
    """Everything that the folder of a run tells."""
    album = Album(_BUDGET)
    measured, judged, seen = reading.curves(run), evaluation(run), views(run)
    wrong = [_wrong(run, mistake, album) for mistake in (judged.mistakes if judged else ())]
    shown = [_shown(run, image, album) for image in _first_of_all(seen)]
    pictures = [one for one in shown if one is not None]
    error = run.fields.get("error")
    return RunPage(
        run=run,
        headlines=tuple(_headlines(run, judged)),
        facts=_facts(run),
        config=reading.text(run.path / "config.yaml"),
        layers=reading.text(run.path / "layers.txt"),
        source=reading.text(run.path / "model.py"),
        curves=tuple(curves.figures(measured)) if measured else (),
        judged=judged,
        matrix=confusion.figure(judged) if judged else None,
        scores=confusion.scores(judged) if judged else None,
        confused=confusion.confused(judged) if judged and judged.confused else None,
        wrong=tuple(wrong),
        views=seen,
        kernels=tuple(one for one in pictures if one.image.kind == "kernels"),
        maps=tuple(one for one in pictures if one.image.kind != "kernels"),
        activations=statistics(seen) if seen else None,
        left_out=tuple(album.left_out),
        error=str(error) if error else None,
        log=None if run.status == "completed" else reading.tail(run.path / "log.txt"),
        attempts=_attempts(run),
        environment=environment(run),
    )


def environment(run: Run) -> dict[str, str]:
    """What a run ran in, by name."""
    fields = run.fields
    git, versions = mapping(fields.get("git")), mapping(fields.get("versions"))
    commit = (
        f"{git.get('commit')}{' with changes that were not committed' if git.get('dirty') else ''}" if git else None
    )
    told = {
        "device": fields.get("device"),
        "threads": fields.get("threads"),
        "memory format": fields.get("memory_format"),
        "seed": fields.get("seed"),
        "data fingerprint": fields.get("data_fingerprint"),
        "config hash": fields.get("config_hash"),
        "git commit": commit,
        **versions,
    }
    return {name: str(value) for name, value in told.items() if value is not None}


def _headlines(run: Run, judged: Evaluation | None) -> Iterator[Headline]:
    fields = run.fields
    best, metrics = mapping(fields.get("best")), mapping(fields.get("metrics"))
    monitor = fields.get("monitor")
    if isinstance(monitor, str) and monitor in best:
        epoch = as_number(best.get("epoch"))
        note = "" if epoch is None else f"at the best epoch, {epoch:.0f} (counted from 0)"
        yield Headline(words(monitor), _told(best[monitor]), note)
    for name in sorted(metrics):
        if str(name).startswith("test_"):
            yield Headline(words(str(name)), _told(metrics[name]), "at the end, with the best weights")
    if judged is not None and judged.mean("f1") is not None:
        yield Headline(f"{judged.split} F1", number(judged.mean("f1")), "mean over the classes")
    for name, text in (("parameters", short), ("multiply_adds", short), ("seconds", duration)):
        if (value := as_number(fields.get(name))) is not None:
            note = {"multiply_adds": "per sample", "parameters": count(int(value))}.get(name, "")
            yield Headline("time" if name == "seconds" else name.replace("_", "-"), text(value), note)


def _told(value: Any) -> str:
    found = as_number(value)
    return "no number" if found is None else number(found)


def _facts(run: Run) -> dict[str, str]:
    fields = run.fields
    overrides, choices = fields.get("overrides"), mapping(fields.get("choices"))
    told = {
        "status": run.status,
        "started": moment(fields["started"]) if "started" in fields else None,
        "finished": moment(fields["finished"]) if "finished" in fields else None,
        "command": fields.get("command"),
        "changed": "\n".join(map(str, overrides)) if isinstance(overrides, list) else None,
        "choices": "\n".join(f"{group}={choice}" for group, choice in choices.items()),
    }
    return {name: str(value) for name, value in told.items() if value}


def _attempts(run: Run) -> Table | None:
    told = run.fields.get("attempts")
    attempts = [mapping(one) for one in told] if isinstance(told, list) else []
    if not attempts:
        return None
    rows = [
        [
            Cell(str(i), i),
            *(moment(a[key]) if a.get(key) else "–" for key in ("started", "ended")),
            str(a.get("outcome") or "not known"),
            Cell(str(a.get("from_step", 0)), as_number(a.get("from_step"))),
            str(a.get("host", "")),
        ]
        for i, a in enumerate(attempts, start=1)
    ]
    columns = [Column("attempt", True), "started", "ended", "outcome", *numbers("from step"), "machine"]
    return table("When it was worked on", columns, rows)


def _first_of_all(seen: Views | None) -> list[Image]:
    """The pictures: whole layers before what stands inside composites, so that the page holds what matters most."""
    shown = [image for image in seen.images if image.kind in ("input", "output", "kernels")] if seen else []
    return sorted(shown, key=lambda image: image.layer.count("."))


def _shown(run: Run, image: Image, album: Album) -> Shown | None:
    alt = (
        f"{image.name}, {image.sizes}"
        if image.kind == "kernels"
        else f"{image.name} for the probe batch, {image.sizes}"
    )
    picture = album.take(run, image.file, alt)
    return Shown(image, picture) if picture else None


def _wrong(run: Run, mistake: Mistake, album: Album) -> Wrong:
    alt = f"Sample {mistake.index}: a {clipped(mistake.label)} that was taken for a {clipped(mistake.predicted)}"
    return Wrong(mistake, album.take(run, mistake.image, alt, box=mistake.box) if mistake.image else None)
