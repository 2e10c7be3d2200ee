"""Training against hand-written loops, and what a run leaves behind."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import cnnexp
from cnnexp.cli import main
from cnnexp.data.sets import load
from tests.test_models import tudui

DIGITS = {"name": "digits", "shape": [3, 32, 32]}
FAST = ["trainer.accelerator=cpu", "logger=none", "trainer.enable_progress_bar=false"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def arrays(work: Path) -> Path:
    """192 training and 64 test images in the form of CIFAR-10: uint8, 3×32×32, ten classes."""
    digits = load(DIGITS)
    np.savez(
        work / "images.npz",
        x_train=digits.train.images[:192].numpy(),
        y_train=digits.train.labels[:192].numpy(),
        x_test=digits.test.images[:64].numpy(),
        y_test=digits.test.labels[:64].numpy(),
    )
    return work / "images.npz"


def scalars(run: Path, tag: str) -> list[float]:
    reader = EventAccumulator(str(run / "tensorboard"))
    reader.Reload()
    return [event.value for event in reader.Scalars(tag)]


@pytest.mark.slow
def test_the_tutorial_experiment_gives_the_losses_of_the_hand_written_loop(arrays: Path) -> None:
    with np.load(arrays) as file:
        images = torch.from_numpy(file["x_train"]).float().div(255)
        labels = torch.from_numpy(file["y_train"])
    torch.manual_seed(0)
    model = tudui()
    loss_function, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.01)
    by_hand = []
    for _ in range(10):
        for start in range(0, len(images), 64):
            loss = loss_function(model(images[start : start + 64]), labels[start : start + 64])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            by_hand.append(loss.item())

    run = cnnexp.train(
        [
            "experiment=tutorial_cifar10",
            "data=arrays",
            f"data.path={arrays}",
            "trainer.log_every_n_steps=1",
            "trainer.enable_progress_bar=false",
            "trainer.accelerator=cpu",
        ]
    )
    ours = scalars(run.path, "train_loss_step")
    assert len(ours) == len(by_hand) == 30
    assert ours == pytest.approx(by_hand, rel=1e-5)
    trained = run.load_model("last").state_dict()
    for name, weight in model.state_dict().items():
        assert torch.allclose(trained[name], weight, rtol=1e-5, atol=1e-7), name


@pytest.mark.slow
def test_a_run_from_its_own_config_repeats_it_bit_for_bit(work: Path) -> None:
    dropout = "model.activation={type: Dropout, p: 0.2}"
    first = cnnexp.train(["trainer.max_epochs=1", dropout, "trainer.limit_train_batches=12", *FAST])
    assert main(["train", "--from", str(first.path / "config.yaml")]) == 0
    second = cnnexp.runs("outputs")[-1]
    assert second.path != first.path
    assert second.config == first.config
    ours, theirs = first.load_model("last").state_dict(), second.load_model("last").state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert first.metrics == second.metrics


@pytest.mark.slow
def test_metrics_equal_a_hand_count(work: Path) -> None:
    run = cnnexp.train(
        ["model=mlp", "trainer.max_epochs=1", "+task.metrics.f1={type: MulticlassF1Score, average: macro}", *FAST]
    )
    config = run.config["data"]
    test = load(config).test
    batch = (test.images.float().div(255) - config["mean"]) / config["std"]
    scores = run.load_model("best")(batch)
    accuracy = (scores.argmax(1) == test.labels).double().mean().item()
    assert run.metrics["test_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert run.metrics["test_loss"] == pytest.approx(nn.functional.cross_entropy(scores, test.labels).item(), rel=1e-5)
    assert 0 < run.metrics["test_f1"] < 1


def test_a_run_leaves_a_whole_record(work: Path) -> None:
    overrides = ["model=mlp", "trainer.max_epochs=2", "trainer.log_every_n_steps=5", "trainer.accelerator=cpu"]
    run = cnnexp.train([*overrides, "scheduler=cosine"])
    names = {p.name for p in run.path.iterdir()}
    assert names == {
        *("config.yaml", "run.json", "layers.txt", "model.py", "metrics.csv", "log.txt", "checkpoints"),
        *("tensorboard", "views", "evaluation.json", ".lock"),
    }
    fields = json.loads((run.path / "run.json").read_text())
    assert fields["status"] == "completed" == run.status
    assert fields["overrides"] == [*overrides, "scheduler=cosine"]
    assert fields["choices"]["model"] == "mlp"
    assert fields["parameters"] == sum(p.numel() for p in run.load_model().parameters())
    assert fields["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert fields["device"] == "cpu"
    assert fields["seed"] == 0
    assert fields["samples_per_s"] > 0
    assert len(fields["data_fingerprint"]) == 64
    for key in ("started", "finished", "seconds", "command", "config_hash", "git", "multiply_adds", "best", "metrics"):
        assert key in fields
    with (run.path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert float(rows[1]["val_accuracy"]) == pytest.approx(fields["metrics"]["val_accuracy"])
    assert float(rows[1]["learning_rate"]) < float(rows[0]["learning_rate"])
    assert scalars(run.path, "val_loss") == pytest.approx([float(r["val_loss"]) for r in rows], rel=1e-6)
    assert scalars(run.path, "train_loss_step")
    config = yaml.safe_load((run.path / "config.yaml").read_text())
    assert config["memory_format"] in ("contiguous_format", "channels_last")
    scope: dict[str, Any] = {}
    exec((run.path / "model.py").read_text(), scope)
    assert repr(scope["model"]) == repr(run.load_model().train())
    assert "784, 256" in (run.path / "layers.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["best", "last"])
def test_checkpoints_are_plain_and_belong_to_the_epochs_they_say(work: Path, name: str) -> None:
    run = cnnexp.train(["model=mlp", "trainer.max_epochs=3", "optimizer.lr=0.02", *FAST])
    held = torch.load(run.path / "checkpoints" / f"{name}.ckpt", weights_only=True)
    with (run.path / "metrics.csv").open() as file:
        accuracies = [float(row["val_accuracy"]) for row in csv.DictReader(file)]
    best = accuracies.index(max(accuracies))
    assert held["epoch"] == (best if name == "best" else 2)
    assert set(held["state_dict"]) == {f"model.{k}" for k in run.load_model(name).state_dict()}


def test_the_seed_decides_and_another_seed_differs(work: Path) -> None:
    weights = [
        cnnexp.train(["model=mlp", "trainer=smoke", f"seed={seed}", *FAST]).load_model("last")[1].weight
        for seed in (1, 1, 2)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.slow
def test_a_checkpoint_starts_a_run_where_it_ended(work: Path) -> None:
    first = cnnexp.train(["model=mlp", "trainer=smoke", *FAST])
    frozen = ["optimizer=sgd", "optimizer.lr=0.0"]
    second = cnnexp.train(
        ["model=mlp", "trainer=smoke", *frozen, f"checkpoint={first.path}/checkpoints/last.ckpt", *FAST]
    )
    assert torch.equal(first.load_model("last")[1].weight, second.load_model("last")[1].weight)


def test_a_checkpoint_of_another_network_is_refused_and_nothing_is_written(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = cnnexp.train(["model=mlp", "trainer=smoke", *FAST])
    other = f"checkpoint={run.path}/checkpoints/last.ckpt"
    capsys.readouterr()
    assert main(["model=mlp_softmax", "trainer=smoke", other]) == 2
    path = f"{run.path}/checkpoints/last.ckpt"
    assert capsys.readouterr().err == (
        f"error: override '{other}': checkpoint: '{path}' is from another network: 0.weight is missing; "
        "0.bias is missing; 2.weight is missing; and 7 more\n"
        "  hint: choose the model that the checkpoint was made with\n"
        "1 problem; nothing was run\n"
    )
    assert len(cnnexp.runs("outputs")) == 1


@pytest.mark.slow
def test_memory_format_is_chosen_for_images_and_written_down(work: Path) -> None:
    chosen = cnnexp.train(["model=net", "trainer=smoke", *FAST]).config["memory_format"]
    assert chosen in ("contiguous_format", "channels_last")
    given = cnnexp.train(["model=net", "trainer=smoke", "memory_format=channels_last", *FAST])
    assert given.config["memory_format"] == "channels_last"
    vectors = cnnexp.train(["model=mlp_softmax", "trainer=smoke", *FAST])
    assert vectors.config["memory_format"] == "contiguous_format"


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["channels_last", "contiguous_format"])
def test_the_chosen_memory_format_reaches_batches_and_weights(
    work: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    from cnnexp.training import fit
    from cnnexp.training.classification import Classification

    seen: list[bool] = []
    original = Classification.training_step

    def look(self: Classification, batch: Any, batch_idx: int) -> torch.Tensor:
        wanted = getattr(torch, layout)
        weight = self.model[0].weight
        seen.append(batch[0].is_contiguous(memory_format=wanted) and weight.is_contiguous(memory_format=wanted))
        return original(self, batch, batch_idx)

    monkeypatch.setattr(fit, "choose", lambda *_: layout)
    monkeypatch.setattr(Classification, "training_step", look)
    assert cnnexp.train(["model=net", "trainer=smoke", *FAST]).config["memory_format"] == layout
    assert seen == [True, True]


@pytest.mark.parametrize(
    "overrides",
    [
        ["scheduler=one_cycle"],
        ["scheduler=plateau"],
        ["scheduler=warmup_cosine", "scheduler.milestones=[1]"],
        ["scheduler=step", "scheduler.interval=step", "scheduler.step_size=1"],
        ["loss=mse"],
        ["loss=multi_margin"],
        ["loss.type=BCEWithLogitsLoss", "~loss.label_smoothing"],
        ["optimizer.type=LBFGS", "~optimizer.betas", "~optimizer.weight_decay"],
        ["trainer.precision=64-true"],
        ["trainer.precision=bf16-mixed"],
        ["trainer.callbacks=[{type: EarlyStopping, monitor: val_loss, patience: 1}]"],
        ["trainer.fast_dev_run=true"],
        ["trainer.enable_checkpointing=false"],
        ["trainer.gradient_clip_val=1.0", "trainer.accumulate_grad_batches=2"],
        ["data.validation=0", "task.monitor=train_loss", "task.mode=min"],
        ["data=synthetic", "data.shape=[5]", "data.samples=64"],
    ],
    ids=lambda o: " ".join(o),
)
@pytest.mark.slow
def test_every_kind_of_setting_trains(work: Path, overrides: list[str]) -> None:
    run = cnnexp.train(["model=mlp", "trainer=smoke", *FAST, *overrides])
    assert run.status == "completed"
    assert run.metrics["test_loss"] > 0


@pytest.mark.slow
def test_the_default_run_reaches_97_percent(work: Path) -> None:
    assert cnnexp.train(FAST).metrics["test_accuracy"] >= 0.97
