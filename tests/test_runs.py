"""The record of a run: its folder is its own, every file is whole at every moment, and what was written is found."""

from __future__ import annotations

import copy
import csv
import errno
import json
import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest
import yaml

from cnnexp.errors import ConfigError, RunError
from cnnexp.records import Record, find, load
from cnnexp.records.environment import git
from cnnexp.records.record import identity

NOON = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Sets what time it is for the records; the clock stands still."""
    now = [NOON]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Clock:
            return cls.fromtimestamp(now[0].timestamp(), tz)

        def astimezone(self, tz: tzinfo | None = UTC) -> Clock:
            return self.fromtimestamp(self.timestamp(), tz)

    monkeypatch.setattr("cnnexp.records.record.datetime", Clock)

    def set_to(moment: datetime) -> None:
        now[0] = moment

    return set_to


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path, clock: Callable[[datetime], None]) -> None:
    root = tmp_path / "outputs" / "runs"
    records = [Record.open(root, "tudui_digits") for _ in range(3)]
    stem = "2026-03-04_12-00-00_tudui_digits"
    assert [r.path for r in records] == [root / stem, root / f"{stem}-2", root / f"{stem}-3"]
    assert records[0].fields["status"] == "running"
    assert datetime.fromisoformat(records[0].fields["started"]) == NOON
    assert Record.open(root, "3_lr=0.1", dated=False).path == root / "3_lr=0.1"


@pytest.mark.parametrize("dated", [True, False])
def test_many_at_once_never_share_a_folder(dated: bool, tmp_path: Path) -> None:
    gate = threading.Barrier(16)

    def one(_: int) -> Path:
        gate.wait()
        return Record.open(tmp_path / "new" / "runs", "tudui", dated).path

    with ThreadPoolExecutor(16) as pool:
        paths = list(pool.map(one, range(16)))
    assert len(set(paths)) == 16
    assert all(p.is_dir() and p.parent == tmp_path / "new" / "runs" for p in paths)


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("a/b c:d", "a-b-c-d"),
        ("0_model.stride=2_lr=1e-3", "0_model.stride=2_lr=1e-3"),
        ("../../up", None),
        ("..", None),
        (".", None),
        ("", None),
        ("x" * 300, "x"),
        ("\u6570" * 150, "\u6570"),
        ("two\nlines\0", None),
    ],
)
def test_a_name_becomes_one_folder_inside_the_root(name: str, end: str | None, dated: bool, tmp_path: Path) -> None:
    path = Record.open(tmp_path / "runs", name, dated).path
    assert path.is_dir()
    assert path.resolve().parent == tmp_path / "runs"
    assert path.name.endswith(end or "")
    assert re.fullmatch(r"[\w.=+-]+", path.name)


def _refusal(root: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        Record.open(root, "tudui")
    return str(caught.value)


def test_a_root_where_nothing_can_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "else")
    for root, reason in (
        (tmp_path / "file", "Not a directory"),
        (tmp_path / "file" / "runs", "Not a directory"),
        (tmp_path / "dangling", "it is not a folder"),
    ):
        assert _refusal(root) == (
            f"error: outputs: no run can be recorded in '{root}': {reason}\n"
            "  hint: choose another folder with outputs=DIR\n"
            "1 problem; nothing was run"
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dangling", "file"]


def test_a_run_is_written_finished_and_read_back(tmp_path: Path, clock: Callable[[datetime], None]) -> None:
    record = Record.open(tmp_path, "tudui")
    record.update(seed=3, parameters=1000)
    record.write("config.yaml", yaml.safe_dump({"seed": 3, "model": {"layers": ["Flatten", None]}}))
    assert load(record.path).status == "running"
    clock(NOON + timedelta(minutes=2))
    record.finish("completed", metrics={"test_accuracy": 0.75})
    run = load(record.path)
    assert (run.path, run.status, run.metrics) == (record.path, "completed", {"test_accuracy": 0.75})
    assert run.config == {"seed": 3, "model": {"layers": ["Flatten", None]}}
    assert (run.fields["seed"], run.fields["parameters"], run.fields["seconds"]) == (3, 1000, 120)
    assert datetime.fromisoformat(run.fields["finished"]) == NOON + timedelta(minutes=2)
    assert sorted(p.name for p in record.path.iterdir()) == ["config.yaml", "run.json"]


def test_the_length_of_a_run_is_measured_in_fractions_of_a_second(
    tmp_path: Path, clock: Callable[[datetime], None]
) -> None:
    clock(NOON + timedelta(seconds=0.9))
    record = Record.open(tmp_path, "tudui")
    clock(NOON + timedelta(seconds=1.2))
    record.finish("completed")
    assert load(record.path).fields["seconds"] == pytest.approx(0.3, abs=1e-3)


def test_a_reader_never_sees_a_part_of_a_record(tmp_path: Path) -> None:
    record = Record.open(tmp_path, "tudui")
    record.update(size=1, payload=["0"])
    reads, stop = [0], threading.Event()

    def read() -> None:
        while not stop.is_set():
            found = load(record.path).fields
            assert found["payload"] == [str(found["size"] - 1)] * found["size"]
            reads[0] += 1

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        writes = 0
        while (writes < 100 or reads[0] < 100) and not reader.done():
            size = 1 + writes * 37 % 5000
            record.update(size=size, payload=[str(size - 1)] * size)
            writes += 1
        stop.set()
        reader.result()
    assert [p.name for p in record.path.iterdir()] == ["run.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record.open(tmp_path, "tudui")
    record.update(seed=1)
    record.add_metrics({"epoch": 0})
    before = {p.name: p.read_bytes() for p in record.path.iterdir()}

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for attempt in (lambda: record.update(seed=2), lambda: record.add_metrics({"epoch": 1})):
            with pytest.raises(OSError, match="No space left"):
                attempt()
    assert {p.name: p.read_bytes() for p in record.path.iterdir()} == before
    record.finish("failed", error="the disk was full")
    assert load(record.path).fields["error"] == "the disk was full"


def test_a_metric_that_appears_later_becomes_a_column(tmp_path: Path) -> None:
    record = Record.open(tmp_path, "tudui")
    record.add_metrics({"epoch": 0, "train_loss": 1.5})
    with (record.path / "metrics.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"epoch": "0", "train_loss": "1.5"}]
    record.add_metrics({"epoch": 1, "train_loss": 1.25, "val, held out": 0.5})
    record.add_metrics({"epoch": 2})
    with (record.path / "metrics.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"epoch": "0", "train_loss": "1.5", "val, held out": ""},
            {"epoch": "1", "train_loss": "1.25", "val, held out": "0.5"},
            {"epoch": "2", "train_loss": "", "val, held out": ""},
        ]


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_what_is_not_finite_is_valid_json_and_a_float_again(tmp_path: Path) -> None:
    record = Record.open(tmp_path, "tudui")
    record.update(metrics={"val_loss": math.nan, "val_gap": -math.inf, "é": 0.5}, deep=[{"x": (math.inf, 1)}])
    text = (record.path / "run.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=_refuse)["metrics"]["é"] == 0.5
    metrics = load(record.path).metrics
    assert math.isnan(metrics["val_loss"])
    assert metrics["val_gap"] == -math.inf
    assert all(isinstance(value, float) for value in metrics.values())


def _made(root: Path, name: str, started: str, **fields: Any) -> Path:
    path = root / name
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps({"status": "completed", "started": started, **fields}))
    return path


def test_runs_are_found_at_any_depth_oldest_first(tmp_path: Path) -> None:
    second = _made(tmp_path, "runs/a", "2026-03-04T12:00:01+00:00")
    third = _made(tmp_path, "sweeps/s/0_lr=1", "2026-03-04T12:00:02+00:00")
    first = _made(tmp_path, "runs/z", "2026-03-04T12:00:00+00:00")
    (tmp_path / "runs" / "no run").mkdir()
    assert [run.path for run in find(tmp_path)] == [first, second, third]
    assert list(find(tmp_path / "nowhere")) == []


def test_links_lead_to_runs_and_each_is_found_once(tmp_path: Path) -> None:
    there = _made(tmp_path / "elsewhere", "a", "2026-03-04T12:00:00+00:00")
    picked = tmp_path / "picked"
    picked.mkdir()
    (picked / "one").symlink_to(there)
    (picked / "round").symlink_to(picked)
    assert [run.path for run in find(picked)] == [picked / "one"]
    (picked / "two").symlink_to(there)
    assert len(find(picked)) == 1


def test_the_oldest_is_first_over_a_change_of_the_clock(tmp_path: Path) -> None:
    later = _made(tmp_path, "a", "2026-10-25T02:10:00+01:00")
    earlier = _made(tmp_path, "b", "2026-10-25T02:30:00+02:00")
    assert [run.path for run in find(tmp_path)] == [earlier, later]


BROKEN = {"empty": b"", "cut": b'{"status": "runn', "list": b"[1, 2]", "bytes": b"\xff\xfe\x00", "text": b'"run"'}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_record_is_refused_and_does_not_hide_the_others(content: bytes, tmp_path: Path) -> None:
    sound = [_made(tmp_path, name, f"2026-03-04T12:00:0{i}+00:00") for i, name in enumerate("az")]
    broken = _made(tmp_path, "m", "")
    (broken / "run.json").write_bytes(content)
    with pytest.raises(RunError) as caught:
        load(broken)
    assert str(caught.value).startswith(f"'{broken}' holds no record of a run: ")
    assert "\n" not in str(caught.value)
    assert [run.path for run in find(tmp_path) if run.path != broken] == sound


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"^'{re.escape(str(tmp_path))}' holds no record of a run: .*No such file"):
        load(tmp_path)


CONFIG: dict[str, Any] = {
    "seed": 1,
    "outputs": "outputs",
    "memory_format": "auto",
    "compile": False,
    "checkpoint": None,
    "data": {"name": "cifar10", "root": "data", "download": True, "batch_size": 32, "mean": [0.1, 0.2, 0.3]},
    "model": {"layers": [{"type": "Linear", "out_features": 10}, "ReLU"]},
    "task": {"type": "classification", "monitor": "val_loss", "metrics": {"accuracy": {"type": "MulticlassAccuracy"}}},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "Adam", "lr": 0.1},
    "scheduler": {"type": None},
    "trainer": {"max_epochs": 3, "precision": None, "enable_progress_bar": True, "log_every_n_steps": 50},
    "logger": {"type": "none"},
}


def _changed(path: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    inner: Any = config
    *before, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    for part in before:
        inner = inner[part]
    assert isinstance(inner, list) or last not in inner or inner[last] != value
    inner[last] = value
    return config


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("outputs", "elsewhere"),
        ("logger", {"type": "tensorboard"}),
        ("data.root", "/elsewhere"),
        ("data.download", False),
        ("memory_format", "channels_last"),
        ("compile", True),
        ("trainer.enable_progress_bar", False),
        ("trainer.enable_model_summary", False),
        ("trainer.log_every_n_steps", 1),
        ("trainer.default_root_dir", "elsewhere"),
        ("trainer.profiler", "simple"),
    ],
)
def test_paths_and_display_are_no_part_of_what_a_run_is(path: str, value: Any) -> None:
    assert identity(_changed(path, value)) == identity(CONFIG)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 2),
        ("checkpoint", "other.ckpt"),
        ("data.name", "cifar100"),
        ("data.batch_size", 33),
        ("data.mean.2", 0.30001),
        ("model.layers.0.out_features", 11),
        ("model.layers.1", "Tanh"),
        ("task.monitor", "val_accuracy"),
        ("task.metrics.accuracy.average", "micro"),
        ("loss.type", "NLLLoss"),
        ("optimizer.lr", 0.1 + 1e-9),
        ("scheduler.type", "LinearLR"),
        ("trainer.max_epochs", 4),
        ("trainer.precision", "64-true"),
        ("trainer.gradient_clip_val", 1.0),
        ("something_new", 1),
    ],
)
def test_everything_else_is(path: str, value: Any) -> None:
    assert identity(_changed(path, value)) != identity(CONFIG)


def test_an_identity_knows_no_order_of_keys_and_changes_nothing() -> None:
    config = copy.deepcopy(CONFIG)
    reordered = {k: dict(reversed(v.items())) if isinstance(v, dict) else v for k, v in reversed(CONFIG.items())}
    assert identity(config) == identity(reordered)
    assert config == CONFIG


def _git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_and_its_changes_are_those_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert git() is None
    repository = tmp_path / "repository"
    repository.mkdir()
    monkeypatch.chdir(repository)
    _git(repository, "init", "-q")
    _git(repository, "commit", "-q", "--allow-empty", "-m", "first")
    assert git() == {"commit": _git(repository, "rev-parse", "HEAD"), "dirty": False}
    (repository / "new.py").touch()
    assert git() == {"commit": _git(repository, "rev-parse", "HEAD"), "dirty": True}


def test_records_import_no_torch() -> None:
    code = "import sys, cnnexp.records, cnnexp.report, cnnexp.records.environment; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
