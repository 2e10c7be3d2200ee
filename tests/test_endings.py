"""How a run that does not come to its end is told, and who works on its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnexp.cli import main
from cnnexp.errors import ConfigError
from cnnexp.records import load
from cnnexp.records.lock import hold
from tests.disturbing import SMALL, Tap, only_run


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tap(monkeypatch: pytest.MonkeyPatch) -> Tap:
    return Tap(monkeypatch)


def test_a_folder_is_held_by_one_process_and_freed_however_that_ends(work: Path) -> None:
    code = "import sys, pathlib; from cnnexp.records.lock import hold; h = hold(pathlib.Path('.')); h.__enter__()"
    waiting = [sys.executable, "-c", f"{code}; print('held', flush=True); sys.stdin.read()"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError) as caught, hold(work):
            pass
        (problem,) = caught.value.problems
        assert problem.code == "held"
        assert problem.message.startswith(f"'{work}' is held by process {other.pid} on ")
        other.kill()
    with hold(work):
        assert json.loads((work / ".lock.json").read_text())["pid"] == os.getpid()
    assert not (work / ".lock.json").exists()


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


ENDINGS = [
    (raising(SystemExit(3)), 1, "failed", "exited", "the run's code called sys.exit(3)"),
    (raising(KeyboardInterrupt()), 130, "interrupted", None, "interrupted by Ctrl-C"),
    (raising(MemoryError("of 3 TB")), 1, "failed", "memory", "out of memory: of 3 TB"),
    (raising(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")), 1, "failed",
     "memory", "out of memory: DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    (raising(torch.OutOfMemoryError("CUDA out of memory")), 1, "failed", "memory", "out of memory: CUDA out of memory"),
    (raising(OSError(28, "No space left on device")), 1, "failed", "disk",
     "the run cannot be recorded: no space left on device"),
    (raising(FileNotFoundError("labels.txt")), 1, "failed", "raised", "FileNotFoundError: labels.txt"),
]  # fmt: skip


@pytest.mark.one_in(4)
@pytest.mark.parametrize(("act", "code", "status", "failure", "text"), ENDINGS, ids=lambda x: str(x)[:20])
def test_how_a_run_ended_is_told(
    act: Any, code: int, status: str, failure: str, text: str, tap: Tap, capsys: pytest.CaptureFixture[str]
) -> None:
    tap.at("training_step", 2, act)
    assert main([*SMALL, "trainer=smoke", "trainer.accelerator=cpu"]) == code
    fields = load(only_run()).fields
    assert (fields["status"], fields["failure"], fields["error"]) == (status, failure, text)
    assert fields["attempts"][0]["outcome"] == status
    assert text in capsys.readouterr().err.splitlines()[-1]


def test_a_full_disk_is_one_line_and_what_is_written_stays_whole(
    tap: Tap, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full, sync = [False], os.fsync

    def fsync(handle: int) -> None:
        if full[0]:
            raise OSError(28, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    tap.at("training_step", 8, lambda: full.__setitem__(0, True))
    assert main([*SMALL, "trainer.max_epochs=2"]) == 1
    assert capsys.readouterr().err == "error: the run cannot be recorded: no space left on device\n"
    folder = only_run()
    assert load(folder).status == "running"
    full[0] = False
    assert main(["resume", str(folder)]) == 0


@pytest.mark.slow
def test_whoever_started_a_run_is_told_how_far_it_is(work: Path) -> None:
    from cnnexp.config import Composer
    from cnnexp.training.fit import Job, run
    from cnnexp.verify import verify

    told: list[Any] = []
    config = Composer().compose([*SMALL, "trainer.max_epochs=2"])
    verdict = verify(config)
    folder = run(Job(verdict.config, verdict.sound(), "x", config.choices, (), "", work / "runs"), told.append)
    assert told[0]["epoch"] == 1
    assert told[-1]["epoch"] == told[-1]["epochs"] == 2
    assert told[-1]["share"] == 1.0
    assert told[-1]["values"]["val_accuracy"] == load(folder).metrics["val_accuracy"]
    assert [t["share"] for t in told] == sorted(t["share"] for t in told)


def test_a_training_goes_on_when_nobody_reads_its_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stderr", pipe)
        code = main([*SMALL, "trainer=smoke", "trainer.accelerator=cpu", "trainer.enable_progress_bar=true"])
        monkeypatch.undo()
        assert code == 0
        with pytest.raises(BrokenPipeError):
            pipe.close()
