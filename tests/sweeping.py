"""Sweeps run as a person runs them, in a folder of their own, with a layer that makes the trouble it is told."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import psutil
import torch

TROUBLE = '''
import ctypes
import os
import signal
import sys

import torch
from torch import Tensor, nn

import cnnexp


@cnnexp.layer
class Trouble(nn.Module):
    """Passes its input on, and at its third batch of training does what it is told.

    Arguments:
        kind: what it does.
    """

    def __init__(self, kind: str = "nothing") -> None:
        super().__init__()
        self.kind, self.batches = kind, 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.device.type != "meta":
            self.batches += 1
            if self.batches == 3:
                getattr(self, self.kind)()
        return x

    def nothing(self) -> None:
        pass

    def raises(self) -> None:
        raise RuntimeError("as it was told")

    def exits(self) -> None:
        sys.exit(3)

    def quits(self) -> None:
        os._exit(5)

    def kills(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def interrupts(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def signals(self) -> None:
        os.kill(os.getpid(), signal.SIGRTMIN + 6)

    def misnames(self) -> None:
        raise ValueError("there is no " + os.fsdecode(b"caf\\xe9"))

    def stops(self) -> None:
        class Stop(BaseException):
            pass

        raise Stop("as it was told")

    def mutters(self) -> None:
        class Mute(Exception):
            def __str__(self) -> str:
                raise TypeError("nothing to say")

        raise Mute

    def goes(self) -> None:
        os.chdir("/")

    def kills_once(self) -> None:
        if not os.path.exists("killed"):
            open("killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)

    def crashes(self) -> None:
        ctypes.string_at(0)

    def hoards(self) -> None:
        self.hoard = []
        while True:
            self.hoard.append(torch.ones(4_000_000))

    def grabs(self) -> None:
        torch.ones(16_000_000_000)

    def hangs(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        open(f"hangs-{os.getpid()}", "w").close()
        while True:
            signal.pause()

    def dawdles(self) -> None:
        signal.sigtimedwait([], 30)

    def prints(self) -> None:
        print("to the output")
        print("to the errors", file=sys.stderr)

    def blocks(self) -> None:
        import shutil

        folder = os.environ["CNNEXP_RUN_FOLDER"]
        shutil.rmtree(folder)
        open(folder, "w").close()
        os._exit(5)

    def fills(self) -> None:
        import errno

        from cnnexp.records import files

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        files.replace = full
'''
MODEL = """\
kind: nothing
layers:
  - Flatten
  - {type: Trouble, kind: "${model.kind}"}
  - {type: Linear, out_features: 16}
  - ReLU
  - {type: Dropout, p: 0.1}
  - {type: Linear, out_features: "${data.num_classes}"}
"""
FAST = ("model=trouble", "extensions=[trouble]", "trainer.max_epochs=2", "logger=none", "data.batch_size=128")


class Said(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


def furnish(folder: Path) -> None:
    """Put the model and the layer into a working folder."""
    (folder / "trouble.py").write_text(TROUBLE)
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "conf" / "model" / "trouble.yaml").write_text(MODEL)


class Command:
    """The command, running in a working folder, in a session of its own.

    Arguments:
        folder: the working folder.
        words: the words of the command.
        real: whether it is a command of the shell. Else it is forked from a server that has imported all it needs, and
            forks its jobs itself: the same code but for where processes come from, and seconds faster.
    """

    def __init__(self, folder: Path, *words: str, real: bool = False) -> None:
        self._out, self._err = (folder / f".{name}{os.urandom(4).hex()}" for name in ("out", "err"))
        self._popen: subprocess.Popen[bytes] | None = None
        if real:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
            with self._out.open("wb") as out, self._err.open("wb") as err:
                self._popen = subprocess.Popen(
                    [sys.executable, "-m", "cnnexp", *words],
                    cwd=folder,
                    env=environment,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
        else:
            server = multiprocessing.get_context("forkserver")
            server.set_forkserver_preload(["tests.sweeping", "cnnexp.sweeps.preload", "cnnexp.cli.sweep"])
            outputs = (str(self._out), str(self._err))
            self._process = server.Process(target=_forked, args=(str(folder), words, outputs), daemon=False)
            self._process.start()
        pid = self._popen.pid if self._popen else self._process.pid
        assert pid is not None
        self.pid = pid

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._popen.poll() if self._popen else self._process.exitcode

    def wait(self, seconds: float) -> int | None:
        """Wait until it has ended, for so long at most; the exit code, None where it has not."""
        if self._popen is None:
            self._process.join(seconds)
            return self._process.exitcode
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)
        return self._popen.poll()

    def wait_until_told(self, text: str) -> None:
        """Wait until it has said so on standard error."""
        while text not in self._err.read_text():
            assert self.wait(0.02) is None, f"it ended before: {self._err.read_text()}"

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def said(self) -> Said:
        """What it said, when it has ended."""
        code = self.wait(300)
        assert code is not None, "it does not end"
        return Said(code, self._out.read_text(), self._err.read_text())


def _forked(folder: str, words: Sequence[str], outputs: Sequence[str]) -> None:
    """Be the command, in a process that was forked."""
    import torch

    from cnnexp.cli import main
    from cnnexp.sweeps import processes

    torch.set_num_threads(1)  # a process with a pool of threads cannot be forked
    os.setsid()
    for stream, name in zip((1, 2), outputs, strict=True):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.argv = ["cnnexp", *words]
    fork = multiprocessing.get_context("fork")
    processes.context = lambda start_method="auto": fork  # type: ignore[assignment]
    code = main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def cnnexp(folder: Path, *words: str, real: bool = False) -> Said:
    """Run the command to its end."""
    return Command(folder, *words, real=real).said()


def sweep_folder(folder: Path) -> Path:
    """The only sweep below a working folder."""
    (found,) = (folder / "outputs" / "sweeps").glob("[!.]*")
    return found


def records(sweep: Path) -> dict[str, dict[str, Any]]:
    """What the record of each job holds, by the job's folder."""
    return {file.parent.name: json.loads(file.read_text()) for file in sorted(sweep.glob("*/run.json"))}


def alive(folder: Path) -> list[psutil.Process]:
    """The processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


JOBS = ["--multirun", *FAST, "seed=range(6)", "optimizer.lr=0.01,0.001", "trainer.max_epochs=3", "sweep.threads=1"]


def disturb(work: Path, random: Random, kills: Counter[str], real: bool = False) -> None:
    """Run a sweep to its end, with kills all the way; every record is whole at every moment, a completed one final."""
    command = Command(work, *JOBS, "sweep.retries=1000", real=real)
    done: dict[str, str] = {}
    while (ended := command.wait(random.uniform(0.05, 9.0 if real else 0.9))) != 0:
        begun = list((work / "outputs" / "sweeps").glob("[!.]*"))
        for name, record in (records(begun[0]) if begun else {}).items():
            if record["status"] == "completed":
                assert done.setdefault(name, json.dumps(record)) == json.dumps(record)
        if ended is not None:
            # So many kills in a row that it gave up before it began is an end too, where it says so.
            gave_up = ended == 2 and "the check of this machine and the data was killed" in command.said().err
            assert ended == -signal.SIGKILL or gave_up, command.said()
            command = Command(work, *(["resume", str(begun[0])] if begun else JOBS), "sweep.retries=1000", real=real)
            continue
        workers = [p for p in alive(work) if p.pid != command.pid]
        with contextlib.suppress(psutil.NoSuchProcess):
            victim = random.choice(workers) if workers and random.random() < 0.7 else psutil.Process(command.pid)
            victim.kill()
            kills["launcher" if victim.pid == command.pid else "worker"] += 1


def figures(sweep: Path) -> list[dict[str, str]]:
    """The rows of a sweep's table, without the times."""
    rows = csv.DictReader((sweep / "table.csv").read_text().splitlines())
    return [{key: text for key, text in row.items() if not key.startswith("seconds")} for row in rows]


def weights(sweep: Path) -> dict[str, str]:
    """A hash of the last weights of every job."""
    found = {}
    for file in sorted(sweep.glob("*/checkpoints/last.ckpt")):
        state = torch.load(file, weights_only=True)["state_dict"]
        found[file.parts[-3]] = hashlib.sha256(b"".join(t.numpy().tobytes() for t in state.values())).hexdigest()
    assert len(found) == 12
    return found
