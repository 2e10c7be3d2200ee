"""A sweep from its checked points to its end, for the first time or once more."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from multiprocessing.context import BaseContext
from typing import Any

from cnnexp.errors import ConfigError, Interrupted, Problem
from cnnexp.signals import Signals
from cnnexp.sweeps.orders import look
from cnnexp.sweeps.pool import Pool, Watcher
from cnnexp.sweeps.preflight import Point
from cnnexp.sweeps.processes import ATTEMPTS, start
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

    different: dict[str, Point] = {}
    for point in points:
        different.setdefault(key(point), point)
    told: list[list[Problem]] = []
    for _ in range(ATTEMPTS):
        told += _looked([p.verdict.config for p in list(different.values())[len(told) :]], made)
        if len(told) == len(different):
            break
    else:
        job = list(different.values())[len(told)].at.number
        text = f"the check of this machine and the data was killed {ATTEMPTS} times, the last time at job {job}"
        raise ConfigError([Problem("no-check", (), text, "it may want memory: dmesg tells what the system killed")])
    against = dict(zip(different, told, strict=True))
    return [(p, tuple(p.config.locator.locate(found))) for p in points if (found := against[key(p)])]


def _looked(configs: Sequence[Mapping[str, Any]], made: BaseContext) -> list[list[Problem]]:
    """What this machine and the data have against each config, up to the one where the process was killed."""
    ours, theirs = made.Pipe()
    try:
        process = start(made, look, (configs, theirs), "check")
    except OSError:
        ours.close()
        return []
    finally:
        theirs.close()
    told: list[list[Problem]] = []
    with contextlib.suppress(EOFError, OSError):
        for _ in configs:
            told.append(ours.recv())
    process.join()
    return told


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
    except BaseException:
        with contextlib.suppress(OSError):
            study.finish("interrupted")
        raise
    if signals.asked is not None:
        study.finish("interrupted")
        raise Interrupted(signals.asked, study.path)
    done = [run.status for run in study.runs()]
    study.finish("completed" if done.count("completed") == len(study.jobs) else "failed")
