"""A run that ends too early and is resumed ends as one that nobody disturbed: the same bits, the same record."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnexp.cli import main
from cnnexp.errors import Interrupted, RunError
from cnnexp.records import Record, load
from cnnexp.records.lock import hold
from tests.disturbing import SMALL, STEPS, Killed, Tap, assert_same, disturbed, kill, only_run, terminate


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tap(monkeypatch: pytest.MonkeyPatch) -> Tap:
    return Tap(monkeypatch)


PLACES = [
    ("training_step", 1, kill),
    ("training_step", 4, terminate),
    ("training_step", 7, terminate),
    ("training_step", 9, kill),
    ("validation_step", 2, terminate),
    ("validation_step", 3, kill),
    ("test_step", 1, terminate),
    ("test_step", 1, kill),
]


def test_a_run_that_is_stopped_resumes_as_if_nothing_had_happened(tap: Tap) -> None:
    """Stopped by a signal in the first epoch, and killed in the second."""
    words = [*SMALL, "trainer.max_epochs=2"]
    ours = disturbed(words, tap, ("training_step", 4, terminate), ("training_step", 5, kill))
    assert main(words) == 0
    assert_same(ours, only_run())


SETTINGS: dict[str, list[str]] = {
    "plain": [],
    "accumulates": ["trainer.accumulate_grad_batches=3"],
    "validates-twice-an-epoch": ["trainer.val_check_interval=0.5"],
    "validates-inside-an-accumulation": ["trainer.val_check_interval=3", "trainer.accumulate_grad_batches=2"],
    "validates-across-epochs": ["trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=4"],
    "validates-every-other-epoch": ["trainer.check_val_every_n_epoch=2", "trainer.max_epochs=4"],
    "plateau": ["scheduler=plateau", "scheduler.patience=0"],
    "plateau-by-step": [
        "scheduler=plateau", "scheduler.patience=0", "+scheduler.interval=step", "+scheduler.frequency=3",
        "trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=3",
    ],
    "scheduler-by-step": ["scheduler=one_cycle"],
    "scheduler-by-epoch": ["scheduler=warmup_cosine", "scheduler.milestones=[1]"],
    "early-stopping": [
        "trainer.max_epochs=8",
        "trainer.callbacks=[{type: EarlyStopping, monitor: val_loss, patience: 1, min_delta: 0.5}]",
    ],
    "stochastic-averaging": [
        "trainer.callbacks=[{type: StochasticWeightAveraging, swa_lrs: 0.01, swa_epoch_start: 1}]"
    ],
    "averaged-weights": ["trainer.callbacks=[{type: EMAWeightAveraging}]"],
    "max-steps": ["trainer.max_steps=12"],
    "no-validation": ["data.validation=0", "task.monitor=train_loss", "task.mode=min", "trainer.max_epochs=2"],
    "overfits": ["trainer.overfit_batches=4"],
    "sanity": ["trainer.num_sanity_val_steps=2"],
    "metrics": [
        "+task.metrics.auc={type: MulticlassAUROC}", "+task.metrics.hinge={type: MulticlassHingeLoss}",
    ],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You requested to overfit")
@pytest.mark.parametrize("name", SETTINGS)
def test_whatever_was_set_a_run_resumes_exactly(name: str, tap: Tap) -> None:
    """Stopped at some of all places: by a kill, by a signal, and by a kill again."""
    words = [*SMALL, *SETTINGS[name]]
    assert main(words) == 0
    undisturbed = only_run()
    steps = [(step, n) for step in STEPS for n in range(1, 1 - tap.left.get(step, 0))]
    for (step, n), act in zip(random.Random(name).sample(steps, 3), (kill, terminate, kill), strict=True):
        assert_same(disturbed(words, tap, (step, n, act)), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES, ids=lambda p: f"{p[0]}-{p[1]}-{p[2].__name__}")
def test_a_run_may_be_stopped_anywhere_and_again(place: Any, tap: Tap) -> None:
    over = place[0] == "test_step"
    again = [place] if over else [("training_step", 3, terminate), ("training_step", 2, kill), ("test_step", 1, kill)]
    ours = disturbed(SMALL, tap, place, *again)
    assert main(SMALL) == 0
    assert_same(ours, only_run())


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_writes_resumes_exactly(monkeypatch: pytest.MonkeyPatch, tap: Tap) -> None:
    """Every file is synced before it is renamed; the kill comes at every such moment in turn."""
    words = [*SMALL, "trainer.max_epochs=2", "data.samples=60"]
    assert main(words) == 0
    undisturbed, sync, counted = only_run(), os.fsync, [0]

    def fsync(handle: int) -> None:
        counted[0] -= 1
        if counted[0] == 0:
            raise Killed
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    assert main(words) == 0
    syncs = -counted[0]
    assert syncs > 30
    for n in range(syncs, 0, -5):
        counted[0] = n
        with pytest.raises(Killed):
            main(words)
        folder = only_run()
        if load(folder).status == "completed":
            continue
        counted[0] = 0
        assert main(["resume", str(folder)]) == (0 if (folder / "config.yaml").is_file() else 2)
        if (folder / "config.yaml").is_file():
            assert_same(folder, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_is_really_killed_leaves_a_run_that_resumes(number: int) -> None:
    words = [*SMALL[:-3], "logger=none", "memory_format=contiguous_format", "trainer.max_epochs=20"]
    command = [sys.executable, "-m", "cnnexp"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    dice = random.Random(int(number))
    with subprocess.Popen([*command, *words], stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        epochs = dice.randrange(2, 6)
        while epochs and (line := process.stderr.readline()):
            epochs -= line.startswith("epoch ")
        process.send_signal(number)
        process.stderr.read()
    folder = only_run()
    assert load(folder).status == ("running" if number == signal.SIGKILL else "interrupted")
    again = [*command, "resume", str(folder)]
    done = subprocess.run(again, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("resuming at epoch ")
    assert main(words) == 0
    assert_same(folder, only_run())
    attempts = load(folder).fields["attempts"]
    assert [a["outcome"] for a in attempts] == [None if number == signal.SIGKILL else "interrupted", "completed"]
    assert attempts[0]["from_step"] == 0 < attempts[1]["from_step"]


@pytest.mark.slow
def test_what_was_chosen_and_worked_at_first_holds_when_a_run_goes_on(
    tap: Tap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warm start is not applied twice, threads and layout are the recorded ones, and time is summed."""
    from cnnexp.training import fit

    assert main([*SMALL, "trainer=smoke", "trainer.accelerator=cpu"]) == 0
    first = only_run() / "checkpoints" / "last.ckpt"
    (first.parent / "kept.ckpt").write_bytes(first.read_bytes())
    warm = [*SMALL[:-1], "trainer.max_epochs=2", f"checkpoint={first.parent}/kept.ckpt"]
    tap.at("training_step", 9, terminate)
    assert main(warm) == 143
    folder = only_run()
    stopped = load(folder).fields
    (first.parent / "kept.ckpt").unlink()
    threads = []
    monkeypatch.setattr(fit, "choose", lambda *_: pytest.fail("the layout was chosen already"))
    Record.reopen(folder).update(threads=3)
    tap.at("training_step", 1, lambda: threads.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    assert main(["resume", str(folder)]) == 0
    assert (threads, torch.get_num_threads()) == ([3], before)
    fields = load(folder).fields
    assert fields["seconds"] > stopped["seconds"]
    assert fields["attempts"][1]["from_step"] == 9
    assert fields["started"] == stopped["started"]
    assert "error" not in fields or fields["error"] is None


def test_what_cannot_be_resumed_is_one_line(tap: Tap, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume", "nowhere"]) == 2
    assert capsys.readouterr().err.splitlines()[0] == "error: 'nowhere' holds no run: there is no run.json in it"
    images = [*SMALL, "trainer=smoke", "trainer.accelerator=cpu"]
    assert main(images) == 0
    folder = only_run()
    capsys.readouterr()
    assert main(["resume", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder} is completed; nothing to do\n"
    Record.reopen(folder).update(status="interrupted", data_fingerprint="of other data")
    assert main(["resume", str(folder)]) == 2
    text = f"error: the data have changed since '{folder}' began, so it cannot go on as it would have"
    assert capsys.readouterr().err.splitlines()[0] == text
    assert load(folder).status == "interrupted"
    with hold(folder):
        assert main(["resume", str(folder)]) == 2
    held = f"error: '{folder}' is held by process {os.getpid()} on "
    assert capsys.readouterr().err.splitlines()[0].startswith(held)
    (folder / "config.yaml").unlink()
    assert main(["resume", str(folder)]) == 2
    assert f"'{folder}' ended before its config.yaml was written" in capsys.readouterr().err


def test_a_folder_that_a_launcher_made_is_begun_and_gone_on_with(work: Path, tap: Tap) -> None:
    from cnnexp.config import Composer
    from cnnexp.training.fit import Job, run
    from cnnexp.verify import verify

    config = Composer().compose([*SMALL, "trainer.max_epochs=2"])
    verdict = verify(config)
    folder = work / "sweep" / "0_seed=0"
    record = Record.open(folder.parent, folder.name, dated=False)
    record.update(sweep={"number": 0}, changed={"seed": "0"}, status="waiting")
    job = Job(verdict.config, verdict.sound(), "x", config.choices, (), "by hand", work, folder=folder)
    tap.at("training_step", 9, terminate)
    with pytest.raises(Interrupted):
        run(job)
    assert run(job) == folder
    fields = load(folder).fields
    assert (fields["status"], fields["sweep"], fields["changed"]) == ("completed", {"number": 0}, {"seed": "0"})
    assert [a["from_step"] for a in fields["attempts"]] == [0, 9]
    assert run(job) == folder
    assert len(load(folder).fields["attempts"]) == 2


@pytest.mark.slow
def test_a_checkpoint_that_is_damaged_costs_the_time_and_nothing_else(tap: Tap) -> None:
    words = [*SMALL, "trainer.max_epochs=2"]
    tap.at("training_step", 9, terminate)
    assert main(words) == 143
    folder = only_run()
    for file in (folder / "checkpoints").glob("last*.ckpt"):
        file.write_bytes(b"cut short")
    assert main(["resume", str(folder)]) == 0
    assert load(folder).fields["attempts"][1]["from_step"] == 0
    assert main(words) == 0
    assert_same(folder, only_run())


@pytest.mark.slow
def test_a_folder_may_be_moved_before_its_run_goes_on(tap: Tap, work: Path) -> None:
    tap.at("training_step", 16, terminate)
    assert main(SMALL) == 143
    moved = only_run().rename(work / "elsewhere")
    assert main(["resume", "elsewhere"]) == 0
    assert load(moved).fields["attempts"][1]["from_step"] == 16
    assert main(SMALL) == 0
    assert_same(moved, only_run())


def test_a_run_that_was_never_begun_has_no_record_to_go_on_with(work: Path) -> None:
    with pytest.raises(RunError, match="holds no record of a run"):
        Record.reopen(work)
