"""`resume DIR`: go on with a run that was interrupted, killed or failed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from cnnexp.errors import ConfigError, Problem, RunError


def resume_run(folder: Path) -> int:
    """Go on with one run where it ended, and print what it reached; gives the exit code.

    Arguments:
        folder: the run's folder.

    Raises:
        ConfigError: it holds no run, another process works on it, or its data have changed.
        RunError: the run failed again.
    """
    from cnnexp.records import load

    if not (folder / "run.json").is_file():
        raise ConfigError([_no_run(folder, f"'{folder}' holds no run: there is no run.json in it", _newest(folder))])
    try:
        recorded = load(folder)
    except RunError as error:
        raise ConfigError([_no_run(folder, error.reason)]) from None
    if recorded.status == "completed":
        print(f"{folder} is completed; nothing to do")
        return 0
    file = folder / "config.yaml"
    if not file.is_file():
        raise ConfigError([_no_run(folder, f"'{folder}' ended before its config.yaml was written")])
    from cnnexp.config import load_file
    from cnnexp.training.fit import Job, follows, run
    from cnnexp.verify import verify

    config = load_file(file)
    verdict = verify(config)
    job = Job(
        verdict.config,
        verdict.sound(),
        folder.name,
        choices=recorded.fields.get("choices") or {},
        overrides=recorded.fields.get("overrides") or (),
        command=shlex.join(["python", "-m", "cnnexp", *sys.argv[1:]]),
        root=folder.parent,
        folder=folder,
    )
    try:
        run(job)
    except ConfigError as error:
        raise ConfigError(config.locator.locate(error.problems)) from None
    if not follows():
        print(outcome(folder))
    return 0


def outcome(folder: Path) -> str:
    """The final line of a run: what was reached, and where it lies."""
    from cnnexp.records import load

    tested = {name: value for name, value in load(folder).metrics.items() if name.startswith("test_")}
    reached = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in sorted(tested.items()))
    return f"{reached}; recorded in {folder}" if reached else f"recorded in {folder}"


def _newest(folder: Path) -> Path | None:
    """The run or sweep inside a folder that was worked on last, or None; the jobs of a sweep are none of their own."""
    for depth in ("*", "*/*"):
        found = [file for name in ("run.json", "sweep.json") for file in folder.glob(f"{depth}/{name}")]
        dated = [(file.stat().st_mtime, file.parent) for file in found if not file.parent.name.startswith(".")]
        if dated:
            return max(dated)[1]
    return None


def _no_run(folder: Path, text: str, inside: Path | None = None) -> Problem:
    if (folder / "config.yaml").is_file():
        return Problem("no-run", (), text, f"begin a new one: cnnexp train --from {folder}/config.yaml")
    newest = f"; the newest in this folder: cnnexp resume {shlex.quote(str(inside))}" if inside else ""
    return Problem("no-run", (), text, f"cnnexp runs lists the runs there are{newest}")
