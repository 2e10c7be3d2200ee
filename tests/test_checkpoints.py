"""Checkpoints: what is saved is loaded, damage is noticed, and no crash at any step costs more than one checkpoint."""

from __future__ import annotations

import contextlib
import enum
import itertools
import logging
import math
import os
import shutil
import subprocess
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from cnnexp.errors import RunError
from cnnexp.records import files
from cnnexp.training.checkpoints import SafeCheckpointIO, load, save

TEXTS: dict[str, Any] = {"name": "tudui", "done": False, "nothing": None}
PLAIN: dict[Any, Any] = {**TEXTS, "epoch": 3, "best": -math.inf, "betas": (0.9, (0.99, [1, 2])), 7: {"a": []}}


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here cuts the power; the crashes below still count these calls."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def _state(number: int) -> dict[str, Any]:
    return {"number": number, "weights": torch.full((50,), float(number))}


def _number(path: Path) -> int:
    found = load(path)
    assert torch.equal(found["weights"], torch.full((50,), float(found["number"])))
    return int(found["number"])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    tensors = [torch.randn(3, 4), torch.arange(5), torch.tensor(True), torch.randn(2, dtype=torch.bfloat16)]
    sliced = torch.arange(12.0).reshape(3, 4)[:, 1:3]
    path = tmp_path / "new" / "folder" / "last.ckpt"
    save({**PLAIN, "tensors": tensors, "sliced": sliced}, path)
    found = load(path)
    assert all(type(a) is type(b) and torch.equal(a, b) for a, b in zip(found.pop("tensors"), tensors, strict=True))
    assert torch.equal(found.pop("sliced"), sliced)
    assert found == PLAIN
    assert isinstance(found["betas"], tuple)
    assert isinstance(found["betas"][1][1], list)


def test_weights_that_are_shared_stay_shared(tmp_path: Path) -> None:
    weight = nn.Parameter(torch.randn(4))
    save({"a": weight, "b": weight}, tmp_path / "last.ckpt")
    found = load(tmp_path / "last.ckpt")
    assert found["a"].data_ptr() == found["b"].data_ptr()
    assert (type(found["a"]), found["a"].requires_grad) == (torch.Tensor, False)


def test_torch_reads_it_without_trusting_it(tmp_path: Path) -> None:
    save(
        {**PLAIN, "state_dict": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).state_dict()}, tmp_path / "last.ckpt"
    )
    found = torch.load(tmp_path / "last.ckpt", weights_only=True)
    nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).load_state_dict(found.pop("state_dict"))
    assert found == PLAIN


class Kind(enum.IntEnum):
    FIRST = 1


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (Kind.FIRST, 1),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (OmegaConf.create({"a": 1}), {"a": 1}),
        (torch.Size((2, 3)), (2, 3)),
        (torch.float64, "torch.float64"),
        (torch.device("cpu"), "cpu"),
        (Path("a") / "b", "a/b"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_almost_plain_becomes_plain(value: Any, plain: Any, tmp_path: Path) -> None:
    save({"x": [value], "y": {"z": value}}, tmp_path / "last.ckpt")
    found = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert found == {"x": [plain], "y": {"z": plain}}
    assert type(found["x"][0]) is type(plain)


@pytest.mark.parametrize(
    ("value", "place", "kind"),
    [
        ({"callbacks": [1, {"state": object()}]}, "checkpoint.callbacks[1].state", "object"),
        ({"hyper": {"sizes": OmegaConf.create([1, 2])}}, "checkpoint.hyper.sizes", "ListConfig"),
        ({"names": {"a", "b"}}, "checkpoint.names", "set"),
        ({"call": print}, "checkpoint.call", "builtin_function_or_method"),
        ({"array": np.zeros(2)}, "checkpoint.array", "ndarray"),
        ({"model": nn.ReLU()}, "checkpoint.model", "ReLU"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_object_is_refused_with_its_place(value: Any, place: str, kind: str, tmp_path: Path) -> None:
    save(_state(1), tmp_path / "last.ckpt")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(TypeError) as caught:
        save(value, tmp_path / "last.ckpt")
    assert str(caught.value) == f"{place} is a {kind}; a checkpoint holds plain values and tensors only"
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def _sums_agree(folder: Path) -> list[str]:
    """What sha256sum says of the files that the hashes name."""
    done = subprocess.run(["sha256sum", "-c", "last.ckpt.sha256"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_sha256sum_accepts_the_hashes(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save(_state(1), path)
    assert _sums_agree(tmp_path) == ["last.ckpt: OK"]
    for number in (2, 3):
        save(_state(number), path)
        assert sorted(_sums_agree(tmp_path)) == ["last.ckpt: OK", "last.previous.ckpt: OK"]
        assert torch.load(tmp_path / "last.previous.ckpt", weights_only=True)["number"] == number - 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.ckpt", "last.ckpt.sha256", "last.previous.ckpt"]


@pytest.mark.parametrize("damage", [_flip, _cut, _empty, Path.unlink])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "last.ckpt"
    save(_state(1), path)
    save(_state(2), path)
    with caplog.at_level(logging.WARNING):
        assert _number(path) == 2
        assert not caplog.messages
        damage(path)
        assert _number(path) == 1
    assert caplog.messages == [f"{path} is damaged or missing; last.previous.ckpt is used in its place"]
    damage(tmp_path / "last.previous.ckpt")
    missing = damage is Path.unlink
    expected = f"there is no checkpoint '{path}'" if missing else f"the checkpoint '{path}' is damaged"
    with pytest.raises(RunError) as caught:
        load(path)
    assert str(caught.value) == expected


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        load(tmp_path / "last.ckpt")
    assert str(caught.value) == f"there is no checkpoint '{tmp_path}/last.ckpt'"


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x02."])
def test_a_file_of_another_kind_without_hashes_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(RunError, match=r" is damaged$"):
        load(tmp_path / "last.ckpt")


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "went off",)

    torch.save({"x": Bomb()}, tmp_path / "last.ckpt")
    with pytest.raises(RunError, match=r" is damaged$"):
        load(tmp_path / "last.ckpt")
    with pytest.raises(RunError, match=r" is damaged$"):
        SafeCheckpointIO().load_checkpoint(tmp_path / "last.ckpt", weights_only=False)
    assert not (tmp_path / "went off").exists()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\xff", b"no hashes\n"])
def test_damaged_hashes_are_no_traceback_and_do_not_stop_the_next_save(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save(_state(1), path)
    (tmp_path / "last.ckpt.sha256").write_bytes(content)
    with contextlib.suppress(RunError):
        assert _number(path) == 1
    save(_state(2), path)
    assert _number(path) == 2


class Crash(BaseException):
    """The end of the process, as nothing but a test can see it."""


def _burn(patch: pytest.MonkeyPatch, last: int, after: bool) -> None:
    """End the process before or after step number `last` of those that make a save durable; a step may hold others."""
    steps = itertools.count()

    def guarded(step: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            ends = next(steps) == last
            if ends and not after:
                raise Crash
            done = step(*arguments)
            if ends:
                raise Crash
            return done

        return wrapped

    for owner, name in ((Path, "replace"), (os, "fsync"), (files, "write")):
        patch.setattr(owner, name, guarded(getattr(owner, name)))


def _crashes(monkeypatch: pytest.MonkeyPatch, state: dict[str, Any], path: Path, step: int, after: bool) -> bool:
    with monkeypatch.context() as patch:
        _burn(patch, step, after)
        try:
            save(state, path)
        except Crash:
            return True
    return False


def _saved(folder: Path, *numbers: int) -> Path:
    for number in numbers:
        save(_state(number), folder / "last.ckpt")
    return folder / "last.ckpt"


PASTS: dict[str, Callable[[Path], Any]] = {
    "one save": lambda folder: _saved(folder, 2),
    "two saves": lambda folder: _saved(folder, 1, 2),
    "no hashes": lambda folder: _saved(folder, 2).with_name("last.ckpt.sha256").unlink(),
    "damaged": lambda folder: _flip(_saved(folder, 2, 3)),
    "lost": lambda folder: _saved(folder, 2, 3).unlink(),
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("past", PASTS.values(), ids=PASTS)
def test_a_crash_at_any_step_leaves_the_old_or_the_new(
    past: Callable[[Path], Any], after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, steps = [], 0
    while True:
        folder = tmp_path / str(steps)
        folder.mkdir()
        past(folder)
        crashed = _crashes(monkeypatch, _state(4), folder / "last.ckpt", steps, after)
        try:
            assert _number(folder / "last.ckpt") in ((2, 4) if crashed else (4,))
        except RunError:
            lost.append(steps)
        save(_state(5), folder / "last.ckpt")
        assert _number(folder / "last.ckpt") == 5
        if not crashed:
            break
        steps += 1
    assert steps >= 5
    assert lost == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_second_crash_leaves_one_as_well(after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed, resumed and killed again before its next save is through."""
    lost: list[tuple[int, int]] = []
    for first in range(20):
        once = tmp_path / f"{first}"
        once.mkdir()
        _saved(once, 1, 2)
        if not _crashes(monkeypatch, _state(3), once / "last.ckpt", first, after):
            break
        for second in range(20):
            twice = tmp_path / f"{first}-{second}"
            shutil.copytree(once, twice)
            crashed = _crashes(monkeypatch, _state(4), twice / "last.ckpt", second, after)
            try:
                assert _number(twice / "last.ckpt") in ((2, 3, 4) if crashed else (4,))
            except RunError:
                lost.append((first, second))
            if not crashed:
                break
    assert lost == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_the_hashes_agree_again_with_the_first_save_after_a_crash(
    after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for steps in range(20):
        folder = tmp_path / str(steps)
        folder.mkdir()
        _saved(folder, 1, 2)
        crashed = _crashes(monkeypatch, _state(3), folder / "last.ckpt", steps, after)
        save(_state(4), folder / "last.ckpt")
        assert "last.ckpt: OK" in _sums_agree(folder)
        if not crashed:
            break


def test_removing_a_checkpoint_removes_all_of_it(tmp_path: Path) -> None:
    save(_state(1), tmp_path / "last.ckpt")
    save(_state(2), tmp_path / "last.ckpt")
    (tmp_path / "best.ckpt").touch()
    SafeCheckpointIO().remove_checkpoint(tmp_path / "last.ckpt")
    assert [p.name for p in tmp_path.iterdir()] == ["best.ckpt"]
    SafeCheckpointIO().remove_checkpoint(tmp_path / "last.ckpt")


class Line(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.steps = 0

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        self.steps += 1
        loss = (self.layer(batch[0]) - batch[1]).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


def _fit(module: Line, folder: Path, epochs: int, checkpoint: Path | None = None) -> pl.Trainer:
    x = torch.linspace(-1, 1, 16).reshape(8, 2)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        plugins=[SafeCheckpointIO()],
        callbacks=[
            ModelCheckpoint(folder, "last", monitor="loss", enable_version_counter=False, save_on_train_epoch_end=True)
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=4), ckpt_path=checkpoint)
    return trainer


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)")
@pytest.mark.filterwarnings("ignore:.*smaller than the logging interval")
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_lightning_saves_and_resumes_through_it(tmp_path: Path) -> None:
    pl.seed_everything(0, verbose=False)
    whole = Line()
    start = {k: v.clone() for k, v in whole.state_dict().items()}
    _fit(whole, tmp_path / "whole", 4)
    half = Line()
    half.load_state_dict(start)
    _fit(half, tmp_path / "half", 2)
    found = torch.load(tmp_path / "half" / "last.ckpt", weights_only=True)
    assert (found["epoch"], found["global_step"]) == (1, 4)
    assert torch.equal(found["state_dict"]["layer.weight"], half.layer.weight)
    resumed = Line()
    trainer = _fit(resumed, tmp_path / "half", 4, tmp_path / "half" / "last.ckpt")
    assert (resumed.steps, trainer.global_step) == (4, 8)
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in whole.state_dict().items())
