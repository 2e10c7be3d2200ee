"""The folder of a sweep: what its jobs are, written once, and how it goes, written anew at every turn.

jobs.json    every job with its config, in order; never changed
sweep.json   what the sweep is and how it goes
<number>_<changed values>/   the run of a job, as any other run
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from cnnexp.errors import ConfigError, Problem, RunError
from cnnexp.records import Record, Run, files, load
from cnnexp.records.record import identity
from cnnexp.sweeps.preflight import Point


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Arguments:
        number: its number in the sweep.
        name: the name of its folder.
        overrides: what composes it.
        changed: the values that differ from job to job.
        choices: the file that each group of the config came from.
        identity: the hash of what it computes.
        config: its plain config.
    """

    number: int
    name: str
    overrides: Sequence[str]
    changed: Mapping[str, str]
    choices: Mapping[str, str]
    identity: str
    config: Mapping[str, Any]

    @property
    def title(self) -> str:
        """How messages call it: `3 activation=relu seed=1`."""
        return f"{self.number} {_values(self.changed, ' ')}"


def job(point: Point) -> Job:
    """The job of a point that was checked."""
    at = point.at
    name = folder_name(f"{at.number}_{_values(at.changed, '_')}")
    config = point.verdict.config
    return Job(at.number, name, at.overrides, dict(at.changed), point.config.choices, point.identity, config)


def _values(changed: Mapping[str, str], between: str) -> str:
    return between.join(f"{key.rpartition('.')[2]}={value}" for key, value in changed.items())


def folder_name(text: str) -> str:
    """A text as the name of a folder on any system."""
    return re.sub(r"[^\w.=+-]+", "-", text)[:100].encode()[:200].decode(errors="ignore").rstrip("-.")


@dataclass
class Study:
    """A sweep's folder.

    Arguments:
        path: the folder.
        jobs: its jobs in order.
        fields: what `sweep.json` holds.
    """

    path: Path
    jobs: tuple[Job, ...]
    fields: dict[str, Any] = field(default_factory=dict)
    _layouts: dict[str, str] = field(default_factory=dict)

    @classmethod
    def create(cls, root: Path, name: str | None, jobs: Sequence[Job], **fields: Any) -> Study:
        """Write down what the sweep is, in a new folder that is whole from the first moment.

        Raises:
            ConfigError: nothing can be written there.
        """
        started = datetime.now().astimezone()
        stem = f"{started:%Y-%m-%d_%H-%M-%S}" + (f"_{named}" if (named := folder_name(name or "")).strip("_") else "")
        hidden = root / f".{stem}.{os.getpid()}"
        try:
            hidden.mkdir(parents=True)
            text = json.dumps([asdict(one) for one in jobs], ensure_ascii=False, default=str)
            files.write(hidden / "jobs.json", text + "\n")
            known = {"status": "running", "started": started.isoformat(timespec="seconds"), **fields}
            study = cls(hidden, tuple(jobs), known)
            study.update()
            study.path = _placed(hidden, root, stem)
        except OSError as error:
            raise _unwritable(root, error.strerror or str(error)) from None
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
        return study

    @classmethod
    def open(cls, path: Path) -> Study:
        """The sweep that lies in a folder.

        Raises:
            ConfigError: there is none, or its files are damaged.
        """
        fields, jobs = _read(path / "sweep.json"), _read(path / "jobs.json")
        if not (isinstance(fields, dict) and all(_is(fields.get(k), kind) for k, kind in _KNOWN.items())):
            raise _damaged(path / "sweep.json")
        try:
            read = tuple(Job(**one) for one in jobs)
        except TypeError:
            read = ()
        if not all(_is(job.changed, dict) and _is(job.config, dict) and _is(job.name, str) for job in read):
            read = ()
        if not read:
            raise _damaged(path / "jobs.json")
        return cls(path, read, fields)

    def update(self, **fields: Any) -> None:
        """Add to `sweep.json`."""
        self.fields.update(fields)
        files.write(self.path / "sweep.json", json.dumps(self.fields, indent=2, ensure_ascii=False) + "\n")

    def finish(self, status: str, **fields: Any) -> None:
        """Say how the sweep ended: completed, failed or interrupted."""
        self.update(status=status, finished=datetime.now().astimezone().isoformat(timespec="seconds"), **fields)

    def folder(self, job: Job) -> Path:
        """The folder of a job's run."""
        return self.path / job.name

    def run(self, job: Job) -> Run | None:
        """The record of a job; None where it never began, or where its record is damaged, which counts for the same."""
        try:
            run = load(self.folder(job))
        except RunError:
            return None
        return run if {"status", "command", "overrides", "choices"} <= run.fields.keys() else None

    def runs(self) -> list[Run]:
        """The records of all jobs that began."""
        return [run for job in self.jobs if (run := self.run(job)) is not None]

    def learn(self, job: Job) -> None:
        """Take over the memory format that a job found to be faster: jobs with the same network need not try again."""
        run = self.run(job)
        if run is not None and isinstance(chosen := run.fields.get("memory_format"), str):
            self._layouts[_network(job)] = chosen

    def pending(self) -> list[Job]:
        """The jobs that are not completed, in order."""
        return [job for job in self.jobs if (run := self.run(job)) is None or run.status != "completed"]

    def begin(self, job: Job) -> Path:
        """Make the folder of a job's run, with its config, before anything of it runs; an older one is kept.

        Raises:
            OSError: it cannot be written.
        """
        folder, run = self.folder(job), self.run(job)
        folder.mkdir(exist_ok=True)
        if run is None or not _holds(folder / "config.yaml", job):
            config = dict(job.config)
            if config["memory_format"] == "auto":
                chosen = None if run is None else run.fields.get("memory_format")
                config["memory_format"] = chosen or self._layouts.get(_network(job), "auto")
            files.write(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        if run is None:
            now = datetime.now().astimezone().isoformat(timespec="milliseconds")
            known = {k: self.fields[k] for k in ("command", "git") if k in self.fields}
            told = {"overrides": list(job.overrides), "choices": dict(job.choices), "changed": dict(job.changed)}
            place = {"number": job.number, "jobs": len(self.jobs)}
            Record(folder, {"status": "running", "started": now}).update(**known, **told, sweep=place)
        return folder


_KNOWN: dict[str, Any] = {
    "overrides": list,
    "config_name": str,
    "config_dir": (str, type(None)),
    "dropped": list,
    "command": str,
}
"""What `sweep.json` always holds."""


def _is(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind; a list must hold texts alone."""
    return isinstance(value, kind) and (not isinstance(value, list) or all(isinstance(one, str) for one in value))


def _read(file: Path) -> Any:
    """What a file of a sweep's record holds.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        text = f"'{file.parent}' holds no sweep: {file.name}: {(error.strerror or str(error)).lower()}"
        raise ConfigError([Problem("no-sweep", (), text, "cnnexp runs lists the runs there are")]) from None
    except ValueError:
        raise _damaged(file) from None


def _damaged(file: Path) -> ConfigError:
    text = f"'{file}' is damaged, so the sweep cannot be resumed"
    return ConfigError([Problem("no-sweep", (), text, "its runs are whole: cnnexp runs shows them")])


def _holds(file: Path, job: Job) -> bool:
    """Whether a file is the config of a job."""
    try:
        return identity(yaml.safe_load(file.read_text(encoding="utf-8"))) == job.identity
    except (OSError, ValueError, AttributeError, yaml.YAMLError):
        return False


def _network(job: Job) -> str:
    """What decides which memory format is faster."""
    config = job.config
    return repr([config.get(key) for key in ("model", "data", "trainer", "compile")])


def _placed(hidden: Path, root: Path, stem: str) -> Path:
    """Give a folder a name that no other sweep has.

    Raises:
        OSError: it cannot be renamed.
    """
    for attempt in range(1, 1000):
        path = root / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            hidden.rename(path)  # fails where another sweep's folder, which is never empty, has the name
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            return path
    raise OSError(errno.EEXIST, f"there are 1,000 sweeps called {stem}")


def _unwritable(root: Path, said: str) -> ConfigError:
    text = f"outputs: no sweep can be recorded in '{root}': {said}"
    return ConfigError([Problem("unwritable", ("outputs",), text, "choose another folder with outputs=DIR")])
