"""A sweep on the command line: checked, run, resumed."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TYPE_CHECKING

from cnnexp.cli.listing import print_json, say
from cnnexp.errors import ConfigError, Interrupted, Problem, render

if TYPE_CHECKING:
    from cnnexp.config import Composer, Config
    from cnnexp.sweeps.preflight import Point
    from cnnexp.sweeps.settings import Settings
    from cnnexp.sweeps.study import Study


def sweep(verb: str, arguments: argparse.Namespace, composer: Composer, look: Callable[[Point], int]) -> int:
    """Check every point of a sweep, and run them all.

    Arguments:
        verb: train, check or code.
        arguments: the words of the command.
        composer: composes the points.
        look: prints what `code` has to say of a point.

    Returns:
        0 all is well; 1 some job failed; 2 some point cannot run, and nothing was run.

    Raises:
        ConfigError: the sweep cannot be run; nothing was written.
        Interrupted: a signal ended it; its record lies there.
    """
    from cnnexp.sweeps import preflight, processes
    from cnnexp.sweeps.space import space

    whole = space(composer, arguments.overrides)
    made = processes.context(whole.settings.start_method)
    for number in whole.idle:
        say(f"note: sweep.exclude[{number}] leaves out no point")
    points = list(preflight.inspect(composer, whole))
    if arguments.untrusted:
        _trusted(points)
    if verb == "check":
        return _check(points, whole.settings.skip_invalid, arguments.json)
    good = preflight.sound(points, whole.settings.skip_invalid)
    if verb == "code":
        for point in good:
            print(f"# {' '.join(point.at.overrides)}")
            look(point)
        return 0
    ready = _ready(good, made)
    bad = [point for point in (*points, *ready) if point.verdict.problems]
    good = preflight.sound(ready, whole.settings.skip_invalid)
    dropped = [point.at.name for point in bad]
    if dropped:
        end = f"{len(dropped)} of {len(points)} points are left out"
        say(render(preflight.problems(bad, len(points)), end))
    study = _study(arguments, whole.settings, good, dropped)
    from cnnexp.records.lock import hold

    with hold(study.path):
        return _run(study, whole.settings, made)


def _trusted(points: Sequence[Point]) -> None:
    found = [problem for point in points for problem in distrusted(point.config)]
    if found:
        raise ConfigError(dict.fromkeys(found))


def distrusted(config: Config) -> list[Problem]:
    """What a stranger's config holds that it may not."""
    from cnnexp.config import packaged, untrusted

    return untrusted.check(config.locator, config.values, packaged())


def _check(points: Sequence[Point], skip_invalid: bool, as_json: bool) -> int:
    from cnnexp.sweeps import preflight

    wrong = [point for point in points if point.verdict.problems]
    refused = bool(wrong) and not (skip_invalid and len(wrong) < len(points))
    if as_json:
        print_json(
            [{"overrides": list(p.at.overrides), "changed": dict(p.at.changed), **p.verdict.as_dict()} for p in points]
        )
        return 2 if refused else 0
    print(preflight.table(points))
    if wrong:
        what = "cannot run" if refused else "would be left out"
        end = f"{len(wrong)} of {len(points)} points {what}; nothing was run"
        print(render(preflight.problems(points), end), file=sys.stderr)
    return 2 if refused else 0


def _ready(points: Sequence[Point], made: BaseContext) -> list[Point]:
    """The points with what this machine and the data have against them added to their verdicts."""
    from cnnexp.sweeps.launch import unready

    found = {point.at.number: problems for point, problems in unready(points, made)}
    told = [found.get(point.at.number, ()) for point in points]
    return [replace(p, verdict=replace(p.verdict, problems=more)) for p, more in zip(points, told, strict=True)]


def _study(arguments: argparse.Namespace, settings: Settings, points: Sequence[Point], dropped: Sequence[str]) -> Study:
    """The folder of a new sweep."""
    from cnnexp.records.environment import git, versions
    from cnnexp.sweeps.study import Study, job

    return Study.create(
        Path(points[0].verdict.config["outputs"]) / "sweeps",
        settings.name,
        [job(point) for point in points],
        command=shlex.join(["python", "-m", "cnnexp", *sys.argv[1:]]),
        overrides=list(arguments.overrides),
        config_name=arguments.config_name,
        config_dir=arguments.config_dir,
        working_directory=os.getcwd(),
        untrusted=arguments.untrusted,
        dropped=list(dropped),
        git=git(),
        versions=versions(),
    )


def _run(study: Study, settings: Settings, made: BaseContext) -> int:
    """Run what is not completed, and print how all of it ended."""
    from cnnexp.cli.live import board
    from cnnexp.sweeps.launch import prepare, work

    pending = study.pending()
    slots = prepare(study, settings)
    jobs = "1 job" if len(pending) == 1 else f"{len(pending)} jobs, {len(slots)} at a time"
    say(f"{jobs}, into {study.path}")
    try:
        with board(study, len(pending), len(slots)) as watcher:
            work(study, pending, slots, settings, made, watcher)
    except Interrupted as stop:
        _summary(study)
        say(f"go on with: cnnexp resume {shlex.quote(str(study.path))}")
        raise Interrupted(stop.signum, study.path) from None
    return _summary(study)


def _summary(study: Study) -> int:
    """Print the ranked table and every failure; gives the exit code."""
    from cnnexp.report import rankings, table, write

    found = rankings(study.runs())
    with contextlib.suppress(OSError):  # a full disk; the table is printed all the same
        for place, ranking in enumerate(found):
            write(study.path, ranking, f"table_{place + 1}" if place else "table")
    unfinished = study.pending()
    try:
        for ranking in found:
            say(table(ranking), sys.stdout)
    finally:
        for job in unfinished:
            run, log = study.run(job), study.folder(job) / "log.txt"
            if run is not None and run.status == "failed":
                say(f"error: {job.title}: {run.fields.get('error')}; log: {log}")
            elif study.fields["status"] != "interrupted":
                say(f"error: {job.title}: how it ended could not be written; log: {log}")
        if waiting := sum(study.run(job) is None for job in unfinished):
            say(f"{waiting} of {len(study.jobs)} jobs have not begun")
        say(f"recorded in {study.path}")
    return 1 if unfinished else 0


_OF_LAUNCH = tuple(
    f"sweep.{key}"
    for key in ("slots", "jobs_per_gpu", "threads", "time_limit", "memory_limit", "retries", "start_method")
)


def resume(folder: Path, overrides: Sequence[str]) -> int:
    """Run what is not completed of a recorded sweep.

    Arguments:
        folder: the sweep's.
        overrides: settings of this launch alone, such as `sweep.slots=1`.

    Returns:
        0 all jobs are completed; 1 some job failed.

    Raises:
        ConfigError: another process holds the sweep, or it would be another one now; nothing was run.
        Interrupted: a signal ended it.
    """
    from cnnexp.config import Composer
    from cnnexp.records.lock import hold
    from cnnexp.sweeps import preflight, processes
    from cnnexp.sweeps.resume import unchanged
    from cnnexp.sweeps.space import space
    from cnnexp.sweeps.study import Study

    foreign = [word for word in overrides if word.partition("=")[0] not in _OF_LAUNCH]
    if foreign:
        text = f"a sweep goes on as it was: '{foreign[0]}' cannot be changed"
        raise ConfigError(
            [Problem("bad-option", (), text, "only settings of the launch can: sweep.slots, sweep.retries, …")]
        )
    study = Study.open(folder.resolve())
    started_in = str(study.fields.get("working_directory", ""))
    if os.path.isdir(started_in) and not os.path.samefile(started_in, "."):
        say(f"note: in {started_in}, where the sweep was started")
        os.chdir(started_in)
    study.path = Path(os.path.relpath(study.path))
    with hold(study.path):
        composer = Composer(study.fields["config_name"], study.fields["config_dir"])
        whole = space(composer, [*study.fields["overrides"], *overrides])
        made = processes.context(whole.settings.start_method)
        if study.fields.get("untrusted"):
            unchanged(study, composer, whole, distrusted)
        else:
            unchanged(study, composer, whole)
        if not (pending := study.pending()):
            if study.fields.get("status") != "completed":
                study.finish("completed")
            jobs = "its only job is" if len(study.jobs) == 1 else f"all {len(study.jobs)} jobs are"
            say(f"{jobs} completed; nothing to do")
            return _summary(study)
        left = [dict(job.changed) for job in pending]
        again = replace(whole, points=tuple(at for at in whole.points if dict(at.changed) in left))
        points = preflight.sound(list(preflight.inspect(composer, again)), skip_invalid=False)
        preflight.sound(_ready(points, made), skip_invalid=False)
        study.update(status="running", finished=None)
        return _run(study, whole.settings, made)
