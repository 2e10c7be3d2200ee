"""Jobs in processes of their own, so many at a time; what ends a job ends nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

import psutil

from cnnexp.errors import RunError
from cnnexp.records import Record, load
from cnnexp.sweeps.orders import Order, work
from cnnexp.sweeps.processes import start
from cnnexp.sweeps.settings import Settings
from cnnexp.sweeps.slots import Slot
from cnnexp.sweeps.study import Job, Study

_LOOK_SECONDS = 0.1
_GRACE_SECONDS = 15.0
_SAYS = {"killed": "killed by SIGKILL: by hand, or by the system for want of memory", "stopped": "stopped by SIGTERM"}
_OF_MACHINE = ("killed", "stopped", "memory")
"""Failures that another try may not meet again."""


class Watcher(Protocol):
    """What is told of a sweep while it goes on."""

    def began(self, job: Job, attempt: int) -> None:
        """A job began, for the first time or once more."""

    def moved(self, job: Job, told: Mapping[str, Any]) -> None:
        """A job is so far: what `fit.run` reports."""

    def ended(self, job: Job, end: End) -> None:
        """A job ended."""

    def stopping(self, running: int) -> None:
        """The sweep was asked to stop, and waits for so many jobs."""

    def tick(self) -> None:
        """A moment passed."""


@dataclass(frozen=True)
class End:
    """How a job ended.

    Arguments:
        status: completed, failed or interrupted.
        error: why, where it is not completed.
        again: whether it will be tried once more.
        values: the final metrics.
        seconds: how long it worked.
    """

    status: str
    error: str | None = None
    again: bool = False
    values: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class _Running:
    """A job that has a process."""

    job: Job
    folder: Path
    process: BaseProcess
    channel: Connection
    slot: int
    began: float
    told: Mapping[str, Any] | None = None
    limit: str | None = None  # the limit that it went over
    asked: float | None = None  # when it was asked to stop

    def signal(self, number: int) -> None:
        """Send a signal to the job's process; SIGKILL goes to all that it started as well."""
        pid = self.process.pid
        if pid is None:
            return
        if number == signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)  # the group is the job's own, and outlives its first process
                return
        if self.process.exitcode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


class Pool:
    """Runs the jobs of a sweep.

    Arguments:
        study: the sweep.
        slots: the places for jobs.
        settings: the limits and the number of retries.
        made: how processes are begun.
        watcher: is told what happens.
        stopped: the signal that asks the sweep to stop, None as long as none came.
    """

    def __init__(
        self,
        study: Study,
        slots: Sequence[Slot],
        settings: Settings,
        made: BaseContext,
        watcher: Watcher,
        stopped: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.study, self.slots, self.settings, self.made = study, slots, settings, made
        self.watcher, self.stopped = watcher, stopped
        self._running: dict[int, _Running] = {}
        self._attempts: dict[int, int] = {}

    def run(self, jobs: Iterable[Job]) -> None:
        """Run all jobs; the record of each tells how it ended. A stop lets the running ones save what they have."""
        waiting, stops = deque(jobs), False
        try:
            while self._running or (waiting and self.stopped() is None):
                if not stops and self.stopped() is not None:
                    stops = True
                    self.watcher.stopping(len(self._running))
                while waiting and len(self._running) < len(self.slots) and self.stopped() is None:
                    self._begin(waiting.popleft())
                self._listen()
                for running in list(self._running.values()):
                    self._hold_to_limits(running)
                    if running.process.exitcode is not None:
                        self._end(running, waiting)
                self.watcher.tick()
        finally:
            for running in self._running.values():
                running.signal(signal.SIGKILL)
            for running in self._running.values():
                running.process.join(_GRACE_SECONDS)
                if _fields(running.folder).get("status") not in ("completed", "failed"):
                    _written(self.study, running.job, "interrupted", "killed with the sweep", None)

    def _begin(self, job: Job) -> None:
        attempt = self._attempts[job.number] = self._attempts.get(job.number, 0) + 1
        free = next(i for i in range(len(self.slots)) if i not in self._running)
        ours, theirs = self.made.Pipe()
        try:
            folder = self.study.begin(job)
            order = Order(str(folder), self.slots[free], self.settings.memory)
            process = start(self.made, work, (order, theirs), job.name)
        except OSError as error:
            ours.close()
            self.watcher.ended(job, End("failed", f"it cannot be begun: {error.strerror or error}"))
            return
        finally:
            theirs.close()
        self._running[free] = _Running(job, folder, process, ours, free, time.monotonic())
        self.watcher.began(job, attempt)

    def _listen(self) -> None:
        """Wait until some job has something to say or a moment has passed, and take in what there is."""
        channels = {running.channel: running for running in self._running.values() if not running.channel.closed}
        doors: list[Any] = [*channels, *(running.process.sentinel for running in self._running.values())]
        for ready in wait(doors, timeout=_LOOK_SECONDS):
            if isinstance(ready, Connection):
                self._take_in(channels[ready])

    def _take_in(self, running: _Running) -> None:
        try:
            while running.channel.poll():
                told = running.channel.recv()
                if "status" in told:
                    running.told = told
                else:
                    self.watcher.moved(running.job, told)
        except (EOFError, OSError):
            running.channel.close()

    def _hold_to_limits(self, running: _Running) -> None:
        now, limits = time.monotonic(), self.settings
        if running.asked is not None:
            if now - running.asked > _GRACE_SECONDS:
                running.signal(signal.SIGKILL)
            return
        if self.stopped() is not None:
            running.asked = now
            running.signal(signal.SIGTERM)
        elif limits.seconds is not None and now - running.began > limits.seconds:
            running.limit = f"longer than its time limit of {limits.seconds:g} s (sweep.time_limit)"
            running.asked = now
            running.signal(signal.SIGTERM)
        elif limits.memory is not None and (used := _memory(running.process.pid)) > limits.memory:
            running.limit = (
                f"out of memory: it used {_size(used)}, its limit is {_size(limits.memory)} (sweep.memory_limit)"
            )
            running.asked = now
            running.signal(signal.SIGKILL)

    def _end(self, running: _Running, waiting: deque[Job]) -> None:
        """Take a job whose process has ended out of its slot, and see to it that its record says how."""
        if not running.channel.closed:
            self._take_in(running)
            running.channel.close()
        running.signal(signal.SIGKILL)  # what it started, if anything is left of it
        del self._running[running.slot]
        status, error, failure = self._outcome(running)
        tries = self._attempts[running.job.number]
        again = failure in _OF_MACHINE and tries <= self.settings.retries and self.stopped() is None
        if status == "failed" and failure in _OF_MACHINE and tries > 1:
            error = f"{error} ({tries} times)"
        fields = _written(self.study, running.job, status, error, failure)
        self.study.learn(running.job)
        values = {k: v for k, v in (fields.get("metrics") or {}).items() if isinstance(v, float)}
        self.watcher.ended(running.job, End(status, error, again, values, time.monotonic() - running.began))
        if again:
            waiting.append(running.job)

    def _outcome(self, running: _Running) -> tuple[str, str | None, str | None]:
        """The status of a job whose process has ended, what went wrong, and the kind of failure."""
        fields = _fields(running.folder)
        if fields.get("status") == "completed":
            return "completed", None, None
        if running.limit is not None:
            return "failed", running.limit, "limit"
        if self.stopped() is not None and running.asked is not None:
            unsaved = "" if fields.get("status") == "interrupted" else ", before it could save anything"
            return "interrupted", f"interrupted with the sweep{unsaved}", None
        if running.told is not None:
            status, error = running.told["status"], running.told["error"]
            if status == "interrupted" and running.told["signal"] != signal.SIGTERM:
                return "failed", "interrupted by SIGINT: by hand, or by its own code", "interrupted"
            if status == "interrupted":
                return "failed", _SAYS["stopped"], "stopped"
            failure = str(fields.get("failure") or "raised")
            of_data = "cannot be held in memory" in str(error)
            if (failure == "memory" or of_data) and self.settings.memory is not None:
                return "failed", f"{error}; its limit is {_size(self.settings.memory)} (sweep.memory_limit)", "limit"
            return status, error, failure
        code = running.process.exitcode
        if code in (-signal.SIGKILL, 255):  # 255: the fork server itself is gone
            return "failed", _SAYS["killed"], "killed"
        if code == -signal.SIGTERM:
            return "failed", _SAYS["stopped"], "stopped"
        if code is not None and code < 0:
            return "failed", f"crashed with {_name(-code)}; the log shows where", "crashed"
        return "failed", f"its process ended with exit code {code} before the run was over", "exited"


def _fields(folder: Path) -> Mapping[str, Any]:
    try:
        return load(folder).fields
    except RunError:
        return {}


def _written(study: Study, job: Job, status: str, error: str | None, failure: str | None) -> Mapping[str, Any]:
    """The fields of the record, which says how the run ended even where the run itself could not write it."""
    folder = study.folder(job)
    fields = _fields(folder)
    if fields.get("status") == status and fields.get("error") == error:
        return fields
    with contextlib.suppress(OSError):  # a full disk; the summary says it all the same
        try:
            record = Record.reopen(folder)
        except RunError:
            study.begin(job)  # what was there is no record
            record = Record.reopen(folder)
        record.finish(status, error=error, failure=failure)
    return fields


def _memory(pid: int | None) -> int:
    """The bytes in use by a process and what it started."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss
    return total


def _name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:  # a real-time signal
        return f"signal {signum}"


def _size(number: int) -> str:
    value, units = float(number), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.4g} {units[0]}"
