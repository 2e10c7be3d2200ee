"""The runs that failed or were interrupted, with their reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnexp.records import Run, folders
from cnnexp.report.ranking import Ranking


@dataclass(frozen=True)
class Failure:
    """A run that failed or was interrupted.

    Arguments:
        run: the run.
        title: what was changed in it, `activation=relu seed=1`; its folder's name where nothing was.
        reason: why it ended, as its record says; may have several lines.
        kind: the kind of the failure in one word, as its record says; often empty.
        log: its log file, where there is one.
    """

    run: Run
    title: str
    reason: str
    kind: str
    log: Path | None


def failures(ranking: Ranking) -> tuple[Failure, ...]:
    """The runs of a ranking that failed or were interrupted, in the order of its rows."""
    found = []
    for row in ranking.rows:
        for run in row.runs:
            if run.status in ("failed", "interrupted"):
                reason, kind = run.fields.get("error"), run.fields.get("failure")
                log = run.path / "log.txt"
                found.append(
                    Failure(
                        run,
                        title(row.changed, run),
                        reason.strip() if isinstance(reason, str) and reason.strip() else "Its record gives no reason.",
                        kind if isinstance(kind, str) else "",
                        log if log.is_file() else None,
                    )
                )
    return tuple(found)


def title(changed: Mapping[str, str], run: Run | None = None) -> str:
    """What was changed, with the last part of every key: `activation=relu lr=0.1 seed=1`.

    Arguments:
        changed: the values of a row.
        run: one of its runs, whose seed is added; its folder's name stands for it where nothing was changed.
    """
    values = [f"{key.rpartition('.')[2]}={value}" for key, value in changed.items() if value]
    seed = run.fields.get("seed") if run else None
    if isinstance(seed, int) and (values or not run):
        values.append(f"seed={seed}")
    return " ".join(values) or (run.path.name if run else "")


def unreadable(folder: Path, runs: Sequence[Run]) -> tuple[str, ...]:
    """The records below a folder that are none of some runs, because they cannot be read; by name."""
    known = {run.path for run in runs}
    found = (one for one in folders(folder) if one not in known)
    return tuple(sorted(str(one.relative_to(folder) / "run.json") for one in found))
