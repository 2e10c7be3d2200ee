"""Runs that are ended at a certain step, and what of two runs must be equal."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import cnnexp
from cnnexp.cli import main
from cnnexp.training import fit
from cnnexp.training.classification import Classification

SMALL = [
    "model=mlp",
    "data=synthetic",
    "data.shape=[6]",
    "data.samples=150",
    "data.batch_size=16",
    "data.validation=0.3",
    "model.layers=[Flatten,{type: Linear,out_features: 12},BatchNorm1d,ReLU,{type: Dropout,p: 0.3},"
    "{type: Linear,out_features: 10}]",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=3",
    "trainer.enable_progress_bar=false",
    "logger=none",
    "memory_format=contiguous_format",
]
STEPS = ("training_step", "validation_step", "test_step")


class Killed(BaseException):
    """What a SIGKILL leaves on the disk is what this leaves: `Tap` sees to it that nothing writes how the run ended."""


def kill() -> None:
    raise Killed


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


class Tap:
    """Does something in the middle of the n-th step of a kind, once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: dict[str, int] = {}
        self.act: Callable[[], None] = kill
        for name in STEPS:
            self._wrap(monkeypatch, name, getattr(Classification, name))
        ended = fit._ended

        def ended_unless_killed(work: Any, ledger: Any, error: BaseException, asked: int | None) -> BaseException:
            return error if isinstance(error, Killed) else ended(work, ledger, error, asked)

        monkeypatch.setattr(fit, "_ended", ended_unless_killed)

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, name: str, original: Callable[..., Any]) -> None:
        def step(module: Classification, batch: Any, batch_idx: int) -> Any:
            result = original(module, batch, batch_idx)
            self.left[name] = self.left.get(name, 0) - 1
            if self.left[name] == 0:
                self.act()
            return result

        monkeypatch.setattr(Classification, name, step)

    def at(self, name: str, count: int, act: Callable[[], None]) -> None:
        self.left, self.act = {name: count}, act


def tensors(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of nested data with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from tensors(inner, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for i, inner in enumerate(value):
            yield from tensors(inner, f"{path}[{i}]")
    else:
        yield path, value


CLOCK = (".worked", ".seconds", ".samples", ".time_elapsed")


def leaves(checkpoint: Path) -> dict[str, Any]:
    loaded = torch.load(checkpoint, weights_only=True)
    loaded.pop("loops") if checkpoint.name == "best.ckpt" else None
    return {path: leaf for path, leaf in tensors(loaded) if not any(word in path for word in CLOCK)}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "samples_per_s"} for row in csv.DictReader(file)]


def assert_same(ours: Path, theirs: Path) -> None:
    assert rows(ours) == rows(theirs)
    fields = [json.loads((folder / "run.json").read_text()) for folder in (ours, theirs)]
    assert [f["status"] for f in fields] == ["completed", "completed"]
    for key in ("best", "metrics", "config_hash", "data_fingerprint"):
        assert fields[0][key] == fields[1][key]
    for name in ("best.ckpt", "last.ckpt"):
        mine, other = (leaves(folder / "checkpoints" / name) for folder in (ours, theirs))
        assert mine.keys() == other.keys()
        for path, leaf in mine.items():
            same = torch.equal(leaf, other[path]) if isinstance(leaf, Tensor) else leaf == other[path]
            assert same, f"{name}: {path}: {leaf} != {other[path]}"


def only_run() -> Path:
    return cnnexp.runs("outputs")[-1].path


def disturbed(words: list[str], tap: Tap, *ends: tuple[str, int, Callable[[], None]]) -> Path:
    """A run that is ended at all these places and resumed after each of them."""
    folder: Path | None = None
    for end in ends:
        tap.at(*end)
        try:
            code = main(words if folder is None else ["resume", str(folder)])
            assert code == 143 if end[2] is terminate else code == 0
        except Killed:
            pass
        folder = folder or only_run()
    tap.at("training_step", -1, kill)
    assert main(["resume", str(folder)]) == 0
    assert folder is not None
    return folder
