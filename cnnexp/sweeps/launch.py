"""A sweep from its checked points to its end, for the first time or once more."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from multiprocessing.context import BaseContext
from typing import Any

from cnnexp.errors import ConfigError, Interrupted, Problem
from cnnexp.signals import Signals
from cnnexp.sweeps.orders import look
from cnnexp.sweeps.pool import Pool, Watcher
from cnnexp.sweeps.preflight import Point
from cnnexp.sweeps.processes import start
from cnnexp.sweeps.settings import Settings
from cnnexp.sweeps.slots import Slot, cores, gpus, slots
from cnnexp.sweeps.study import Job, Study


def unready(points: Sequence[Point], made: BaseContext) -> list[tuple[Point, tuple[Problem, ...]]]:
    """What this machine and the data have against each point, found in a process of its own.

    Points whose data, trainer, task and loss are equal are looked at once.
    """

    def key(point: Point) -> str:
        config = point.verdict.config
        return json.dumps([config.get(k) for k in ("data", "trainer", "task", "loss", "checkpoint")], default=str)

    different = {key(point): point for point in points}
    configs = [point.verdict.config for point in different.values()]
    told = dict(zip(different, _looked(configs, made) or _looked(configs, made) or (), strict=False))
    if len(told) < len(different):
        text = "the check of this machine and the data was killed twice before it could say anything"
        raise ConfigError([Problem("no-check", (), text)])
    return [(p, tuple(p.config.locator.locate(found))) for p in points if (found := told[key(p)])]


def _looked(configs: Sequence[Mapping[str, Any]], made: BaseContext) -> list[list[Problem]] | None:
    """What this machine and the data have against each config; None where the process that looks was killed."""
    ours, theirs = made.Pipe()
    try:
        process = start(made, look, (configs, theirs), "check")
    except OSError:
        ours.close()
        return None
    finally:
        theirs.close()
    try:
        return [ours.recv() for _ in configs]
    except EOFError:
        return None
    finally:
        process.join()


def prepare(study: Study, settings: Settings) -> list[Slot]:
    """The slots for the jobs of a sweep on this machine."""
    configs = [job.config for job in study.jobs]
    return slots(settings, configs, gpus(configs), cores())


def work(
    study: Study,
    jobs: Sequence[Job],
    places: Sequence[Slot],
    settings: Settings,
    made: BaseContext,
    watcher: Watcher,
) -> None:
    """Run jobs of a sweep that is held, and write down how the sweep ended.

    Raises:
        Interrupted: a signal stopped it; the running jobs saved what they had.
    """
    signals = Signals()
    try:
        with signals.watched():
            Pool(study, places, settings, made, watcher, lambda: signals.asked).run(jobs)
    except KeyboardInterrupt:
        signals.asked = signals.asked or 2
    if signals.asked is not None:
        study.finish("interrupted")
        raise Interrupted(signals.asked, study.path)
    done = [run.status for run in study.runs()]
    study.finish("completed" if done.count("completed") == len(study.jobs) else "failed")
