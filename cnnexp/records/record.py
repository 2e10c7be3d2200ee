"""One run, one folder: `run.json` says what it is and how it went, and is written in one step every time."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import math
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from cnnexp.errors import ConfigError, Problem, RunError
from cnnexp.records import files

log = logging.getLogger(__name__)

_NOT_IDENTITY = ("outputs", "logger", "views", "memory_format", "compile")
_NOT_IDENTITY_TRAINER = (
    "enable_progress_bar",
    "enable_model_summary",
    "default_root_dir",
    "log_every_n_steps",
    "profiler",
)


def identity(config: Mapping[str, Any]) -> str:
    """The hash of what a run computes: its resolved config without paths, display settings and choices of speed."""
    kept = counted(config)
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:16]


def counted(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a config counts for what a run computes."""
    kept = {k: v for k, v in config.items() if k not in _NOT_IDENTITY}
    kept["data"] = {k: v for k, v in config.get("data", {}).items() if k not in ("root", "download")}
    kept["trainer"] = {k: v for k, v in config.get("trainer", {}).items() if k not in _NOT_IDENTITY_TRAINER}
    return kept


@dataclass
class Record:
    """The folder of a run that is going on.

    Arguments:
        path: the folder, which belongs to this run alone.
        fields: what `run.json` holds.
    """

    path: Path
    fields: dict[str, Any] = field(default_factory=dict)
    _rows: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def open(cls, root: Path, name: str, dated: bool = True) -> Record:
        """Claim a new folder below `root`; two runs that start in the same second never share one.

        Arguments:
            root: the folder for runs; made where it is missing.
            name: the end of the folder's name, such as `tudui_digits`.
            dated: whether the name begins with the date and the time.

        Raises:
            ConfigError: nothing can be written there.
        """
        name = re.sub(r"[^\w.=+-]+", "-", name)[:100].encode()[:200].decode(errors="ignore")
        name = name if name.strip(".") else "run"
        started = _now()
        stem = f"{started:%Y-%m-%d_%H-%M-%S}_{name}" if dated else name
        for attempt in range(1, 10_000):
            path = root / (stem if attempt == 1 else f"{stem}-{attempt}")
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                if not root.is_dir():
                    raise _unwritable(root, "it is not a folder") from None
                continue
            except OSError as error:
                raise _unwritable(root, error.strerror or str(error)) from None
            return cls(path, {"status": "running", "started": _text(started)})
        raise _unwritable(root, f"there are 10,000 runs called {stem}")

    @classmethod
    def reopen(cls, path: Path) -> Record:
        """Go on with the record in a folder: the fields of `run.json`, and the rows of `metrics.csv`.

        Raises:
            RunError: there is no readable record.
        """
        fields = dict(load(path).fields)
        try:
            with (path / "metrics.csv").open(encoding="utf-8", newline="") as file:
                rows: list[dict[str, Any]] = [dict(row) for row in csv.DictReader(file)]
        except OSError:
            rows = []
        return cls(path, fields, rows)

    def start(self, step: int = 0, seconds: float = 0.0) -> None:
        """Begin an attempt: the first one, or one that goes on where an earlier one ended.

        Arguments:
            step: the optimizer step that it goes on from.
            seconds: how long earlier attempts are known to have worked; an attempt that was killed could not say.
        """
        for gone in ("finished", "error", "failure"):
            self.fields.pop(gone, None)
        started = _text(_now())
        attempt = {"started": started, "pid": os.getpid(), "host": platform.node(), "from_step": step}
        self.update(
            status="running",
            started=self.fields.get("started", started),
            seconds=max(float(self.fields.get("seconds") or 0), seconds),
            attempts=[*self._attempts(), {**attempt, "ended": None, "outcome": None}],
        )

    def worked(self) -> float:
        """The seconds that were worked on this run so far, without the gaps between its attempts."""
        before, attempts = float(self.fields.get("seconds") or 0), self._attempts()
        if attempts and attempts[-1].get("ended"):
            return before
        began = attempts[-1]["started"] if attempts else self.fields.get("started")
        return before + (_now() - datetime.fromisoformat(began)).total_seconds() if began else before

    def _attempts(self) -> list[dict[str, Any]]:
        return list(self.fields.get("attempts") or [])

    def write(self, name: str, content: str) -> None:
        """Put a file into the folder, complete or not at all."""
        files.write(self.path / name, content)

    def update(self, **fields: Any) -> None:
        """Add to `run.json`."""
        self.fields.update(fields)
        self.write("run.json", json.dumps(_finite(self.fields), indent=2, ensure_ascii=False) + "\n")

    def add_metrics(self, row: Mapping[str, Any]) -> None:
        """Add one line to `metrics.csv`; the whole file is written again, so that it is never half a line."""
        self._rows.append(dict(row))
        self._write_rows()

    def keep_metrics(self, count: int) -> None:
        """Drop all but the first `count` lines of `metrics.csv`: what follows is measured again."""
        if len(self._rows) <= count:
            return
        del self._rows[count:]
        if self._rows:
            self._write_rows()
        else:
            (self.path / "metrics.csv").unlink()

    @property
    def rows(self) -> int:
        """How many lines `metrics.csv` has."""
        return len(self._rows)

    def _write_rows(self) -> None:
        columns = list(dict.fromkeys(key for r in self._rows for key in r))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        self.write("metrics.csv", text.getvalue())

    def finish(self, status: str, **fields: Any) -> None:
        """Say how the run ended: completed, failed or interrupted."""
        seconds, ended, attempts = self.worked(), _text(_now()), self._attempts()
        if attempts and not attempts[-1].get("ended"):
            attempts[-1] = {**attempts[-1], "ended": ended, "outcome": status}
            fields["attempts"] = attempts
        self.update(status=status, finished=ended, seconds=seconds, **fields)


@dataclass(frozen=True)
class Run:
    """A run that was recorded.

    Arguments:
        path: its folder.
        fields: what its `run.json` holds.
    """

    path: Path
    fields: Mapping[str, Any]

    @property
    def status(self) -> str:
        """running, completed, failed or interrupted."""
        return str(self.fields.get("status"))

    @property
    def metrics(self) -> dict[str, float]:
        """The final metrics, by name."""
        return {name: float(value) for name, value in (self.fields.get("metrics") or {}).items()}

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config."""
        loaded = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        return dict(loaded)


def load(path: Path) -> Run:
    """The run recorded in a folder.

    Raises:
        RunError: there is no readable record.
    """
    try:
        fields = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"'{path}' holds no record of a run: {error}") from None
    if not isinstance(fields, dict):
        raise RunError(f"'{path}' holds no record of a run: run.json is not a mapping")
    return Run(path, fields)


def find(root: Path) -> Sequence[Run]:
    """Every run recorded below a folder, oldest first."""
    found = []
    for folder in folders(root):
        try:
            found.append(load(folder))
        except RunError as error:
            log.warning("%s", error)
    return sorted(found, key=lambda run: (_started(run), str(run.path)))


def folders(root: Path) -> Iterator[Path]:
    """The folders below a folder, and itself, that hold a record; links are followed, and each is given once."""
    seen: set[str] = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner.sort()
        if "run.json" in names:
            yield Path(folder)


def _started(run: Run) -> float:
    try:
        return datetime.fromisoformat(str(run.fields.get("started"))).timestamp()
    except ValueError:
        return 0.0


def _now() -> datetime:
    return datetime.now().astimezone()


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _finite(value: Any) -> Any:
    """The value as JSON can hold it: `NaN` and `inf` are no JSON numbers and become texts."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _unwritable(root: Path, reason: str) -> ConfigError:
    text = f"outputs: no run can be recorded in '{root}': {reason}"
    return ConfigError([Problem("unwritable", ("outputs",), text, "choose another folder with outputs=DIR")])
