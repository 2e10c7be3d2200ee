"""Runs that fail or are interrupted say so, and lose nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

import cnnexp
from cnnexp.cli import main
from cnnexp.sweeps import processes

FAST = ["trainer.accelerator=cpu", "logger=none", "trainer.enable_progress_bar=false"]


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def only_run() -> cnnexp.Run:
    (run,) = cnnexp.runs("outputs")
    return run


def test_a_loss_that_is_not_finite_stops_the_run_with_step_and_layer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model=mlp", "optimizer=sgd", "optimizer.lr=1e38", *FAST]) == 1
    run = only_run()
    fields = json.loads((run.path / "run.json").read_text())
    reason = "the loss is nan at step 1: the output of layer 1 (Linear) is the first that is not finite"
    assert fields["status"] == "failed"
    assert fields["error"] == reason
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {reason}; recorded in {run.path}"


def test_the_layer_is_found_wherever_it_is() -> None:
    from torch import nn

    from cnnexp.training.finite import first_not_finite

    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    batch = torch.ones(1, 2)
    assert first_not_finite(model, batch) == "the outputs of all layers are finite, so the loss itself overflowed"
    assert first_not_finite(model, batch * torch.nan) == "the batch itself holds values that are not finite"
    with torch.no_grad():
        model[2].weight.fill_(torch.inf)
    text = "the output of layer 2 (Linear), whose weights are not finite, is the first that is not finite"
    assert first_not_finite(model, batch) == text
    nested = cnnexp.plan(
        {"layers": ["ReLU", {"type": "Residual", "layers": ["ReLU", {"type": "Linear", "out_features": 2}]}]},
        input_shape=(2,),
    ).build(seed=0)
    with torch.no_grad():
        nested.get_parameter("1.layers.1.bias").fill_(torch.nan)
    text = "the output of layer 1.layers.1 (Linear), whose weights are not finite, is the first that is not finite"
    assert first_not_finite(nested, batch) == text
    assert not any(layer._forward_hooks for layer in nested.modules())


def test_a_watch_that_reads_seldom_still_knows_the_first_step() -> None:
    from cnnexp.errors import RunError
    from cnnexp.training.finite import FiniteWatch

    watch = FiniteWatch(every=4)
    losses = [1.0, 1.0, 1.0, 1.0, 1.0, float("inf"), float("nan"), 1.0]
    for step, loss in enumerate(losses[:-1]):
        watch.see(torch.tensor(loss), step, lambda: "layer x")
    with pytest.raises(RunError) as caught:
        watch.see(torch.tensor(losses[-1]), len(losses) - 1, lambda: "layer x")
    assert str(caught.value) == "the loss is not finite since step 5; noticed at step 7, when layer x"


def test_an_error_inside_the_training_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnexp.training.classification import Classification

    def broken(*_: object) -> None:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(Classification, "validation_step", broken)
    assert main(["model=mlp", "trainer=smoke", *FAST]) == 1
    fields = json.loads((only_run().path / "run.json").read_text())
    assert (fields["status"], fields["error"]) == ("failed", "RuntimeError: the disk is on fire")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "reason"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_a_signal_saves_the_last_checkpoint_and_the_record(number: int, code: int, reason: str) -> None:
    """The signal is sent when the first epoch's line appears: the run is in the middle of its second epoch then."""
    command = [sys.executable, "-m", "cnnexp", "trainer.max_epochs=200", "trainer.accelerator=cpu", "logger=none"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        while line and not line.startswith("epoch 1 "):
            line = process.stderr.readline()
        process.send_signal(number)
        rest = process.stderr.read()
    run = only_run()
    assert process.returncode == code
    assert "Traceback" not in rest
    assert rest.splitlines()[-1] == f"error: interrupted by {reason}; recorded in {run.path}"
    fields = json.loads((run.path / "run.json").read_text())
    assert (fields["status"], fields["error"]) == ("interrupted", f"interrupted by {reason}")
    assert fields["metrics"]["val_accuracy"] > 0
    held = torch.load(run.path / "checkpoints" / "last.ckpt", weights_only=True)
    assert held["global_step"] >= 21  # an epoch of the digits has 21 steps
    assert run.load_model("last") is not None


@pytest.mark.slow
def test_ddp_trains_one_run_on_two_processes() -> None:
    command = [sys.executable, "-m", "cnnexp", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    more = ["model=mlp", "trainer.max_epochs=1", "logger=none"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert only_run().status == "completed"
    assert only_run().metrics["test_accuracy"] > 0.5


BAD = [
    (["trainer.accelerator=gpu"], "trainer.accelerator is gpu, but torch finds no GPU on this machine; "
     "use trainer.accelerator=cpu, or auto to take a GPU where there is one"),
    (["trainer.max_epochs=-5"], "trainer.max_epochs must be at least -1, not -5"),
    (["data.batch_size=5000"], "data.batch_size (=5000) is larger than the 1293 samples there are to train on"),
    (["task=none"], "task=none: this network is to be looked at (check, code), and there is nothing to train it for"),
    (["checkpoint=nowhere.ckpt"], "checkpoint: there is no checkpoint 'nowhere.ckpt'"),
    (["trainer.strategy=foo"], "trainer: Lightning refuses it: You selected an invalid strategy name: "
     "`strategy='foo'`"),
    (["trainer.callbacks=[EarlyStoping]"], "trainer.callbacks[0]: unknown callback 'EarlyStoping'; "
     "did you mean 'EarlyStopping'?"),
    (["trainer.callbacks=[ModelCheckpoint]"], "trainer.callbacks[0]: ModelCheckpoint cannot be used here: "
     "best.ckpt and last.ckpt are always written; see task.monitor"),
    (["+task.metrics.f1={type: MulticlassF1Score, average: none}"], "task.metrics.f1 MulticlassF1Score: gives a table, "
     "and a metric here must be one number"),
    (["+task.metrics.x=MulticlassAcuracy"], "task.metrics.x: unknown metric 'MulticlassAcuracy'; "
     "did you mean 'MulticlassAccuracy'?"),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "message"), BAD, ids=[b[0][0][:40] for b in BAD])
def test_what_cannot_run_here_is_refused_before_anything_is_written(
    overrides: list[str], message: str, work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["model=tudui", *overrides]) == 2
    error = capsys.readouterr().err
    assert message in error.splitlines()[0]
    assert error.splitlines()[-1] == "1 problem; nothing was run"
    assert list(work.iterdir()) == []


def test_an_output_folder_that_cannot_be_written_is_one_line(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "file").write_text("in the way")
    assert main(["model=mlp", "trainer=smoke", "outputs=file"]) == 2
    assert capsys.readouterr().err == (
        "error: override 'outputs=file': outputs: no run can be recorded in 'file/runs': Not a directory\n"
        "  hint: choose another folder with outputs=DIR\n"
        "1 problem; nothing was run\n"
    )


def test_a_sweep_on_a_machine_that_begins_no_process_is_one_problem(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*given: object) -> None:
        raise OSError("no process can be begun")

    monkeypatch.setattr("cnnexp.sweeps.launch.start", refuse)

    assert main(["--multirun", "seed=1,2"]) == 2
    assert capsys.readouterr().err == (
        "error: the check of this machine and the data was killed 6 times, the last time at job 0\n"
        "  hint: it may want memory: dmesg tells what the system killed\n"
        "1 problem; nothing was run\n"
    )
    assert list(work.iterdir()) == []


def test_a_check_that_is_killed_goes_on_where_it_was(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = []

    def short_lived(*given: Any) -> BaseProcess:
        process = processes.start(*given)
        begun.append(len(given[2][0]))
        if len(begun) < processes.ATTEMPTS:
            process.kill()
        return process

    monkeypatch.setattr("cnnexp.sweeps.launch.start", short_lived)

    assert main(["--multirun", "data=cifar10", "data.download=false", "data.root=a,b"]) == 2
    told = capsys.readouterr().err
    assert told.endswith("2 problems; nothing was run\n")
    assert "killed" not in told
    assert len(begun) == processes.ATTEMPTS
    assert list(work.iterdir()) == []


def test_a_sweep_with_a_bad_point_runs_nothing(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--multirun", "model.activation=relu,sigmoidd", "trainer=smoke"]) == 2
    assert "unknown layer type 'sigmoidd'; did you mean 'Sigmoid'?" in capsys.readouterr().err
    assert list(work.iterdir()) == []
