"""The sweeps that runs belong to: how many of their jobs have a record, and how to go on with them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cnnexp.records import Run


@dataclass(frozen=True)
class Sweep:
    """A sweep's folder.

    Arguments:
        folder: the folder, which holds `sweep.json`.
        planned: how many jobs it has; 0 where no record says it.
        missing: how many of these have no record in the folder, whatever ranking they belong to.
    """

    folder: Path
    planned: int
    missing: int

    @property
    def name(self) -> str:
        """What the folder is called."""
        return self.folder.resolve().name

    @property
    def told(self) -> str:
        """What is missing, as a sentence; empty where nothing is."""
        if not self.missing:
            return ""
        verb = "has" if self.missing == 1 else "have"
        jobs = f"{self.missing} of the {self.planned} jobs of {self.name}"
        return f"{jobs} {verb} not begun, or {verb} no record: {self.cure} goes on with it."

    @property
    def cure(self) -> str:
        """The command that goes on with it."""
        return f"cnnexp resume {shlex.quote(str(self.folder))}"


def sweeps(runs: Iterable[Run]) -> list[Sweep]:
    """The sweeps that some runs belong to, by their folders; a folder without `sweep.json` is none."""
    planned: dict[Path, int] = {}
    for run in runs:
        folder = run.path.parent
        planned[folder] = max(planned.get(folder, 0), _planned(run))
    return [_sweep(f, planned[f]) for f in sorted(planned, key=str) if (f / "sweep.json").is_file()]


def _sweep(folder: Path, planned: int) -> Sweep:
    recorded = sum(1 for _ in folder.glob("*/run.json")) if planned else 0
    return Sweep(folder, planned, max(0, planned - recorded))


def _planned(run: Run) -> int:
    place = run.fields.get("sweep")
    jobs = place.get("jobs") if isinstance(place, Mapping) else None
    return jobs if isinstance(jobs, int) and not isinstance(jobs, bool) else 0
