"""The rules of all plain settings, and the config files that come with cnnexp: each of them holds what it says."""

from __future__ import annotations

import inspect
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import pytorch_lightning as pl
import yaml

from cnnexp import settings
from cnnexp.cli import main
from cnnexp.config import Composer, packaged
from cnnexp.errors import Problem
from cnnexp.verify import verify

pytestmark = pytest.mark.slow

TRUTH, OPEN_TRUTH = "must be true or false, not 1", "must be true or false or null, not 1"

RUN = {
    "seed=-1": "seed must be between 0 and 4294967295, not -1",
    "seed=4294967296": "seed must be between 0 and 4294967295, not 4294967296",
    "seed=1.5": "seed must be a whole number, not 1.5",
    "seed=null": "seed must be a whole number, not null",
    "memory_format=channel_last": (
        "memory_format must be one of auto, contiguous_format, channels_last, not 'channel_last'"
    ),
    "compile=1": f"compile {TRUTH}",
    "check_finite_every_n_steps=0": "check_finite_every_n_steps must be at least 1, not 0",
    "check_finite_every_n_steps=never": "check_finite_every_n_steps must be auto or a whole number, not 'never'",
    "checkpoint=3": "checkpoint must be a text or null, not 3",
    "outputs=3": "outputs must be a text, not 3",
    "extensions=3": "extensions must be a list of texts, not 3",
    "extensions=[3]": "extensions must be a list of texts, not [3]",
}  # fmt: skip

TRAINER = {
    "accelerator=npu": "must be one of auto, cpu, gpu, cuda, mps, tpu, not 'npu'",
    "strategy=3": "must be a text, not 3",
    "devices=-2": "must be at least -1, not -2",
    "devices=1.5": "must be a list of whole numbers or a text or a whole number, not 1.5",
    "num_nodes=0": "must be at least 1, not 0",
    "precision=8": (
        "must be one of transformer-engine, transformer-engine-float16, 16-true, 16-mixed, bf16-true, bf16-mixed,"
        " 32-true, 64-true, 64, 32, 16, bf16 or null, not 8"
    ),
    "logger=tensorboard": "must be true or false or null, not 'tensorboard'",
    "callbacks=EarlyStopping": "must be a list or null, not 'EarlyStopping'",
    "fast_dev_run=-1": "must be at least 0, not -1",
    "max_epochs=-2": "must be at least -1, not -2",
    "min_epochs=-1": "must be at least 0, not -1",
    "max_steps=-2": "must be at least -1, not -2",
    "min_steps=-1": "must be at least 0, not -1",
    "max_time=3": "must be a text or a mapping or null, not 3",
    "limit_train_batches=-1": "must be at least 0, not -1",
    "limit_train_batches=2.5": "must be a whole number, or a share between 0 and 1, not 2.5",
    "limit_val_batches=-1": "must be at least 0, not -1",
    "limit_test_batches=-1": "must be at least 0, not -1",
    "limit_predict_batches=all": "must be a number or null, not 'all'",
    "overfit_batches=-1": "must be at least 0, not -1",
    "val_check_interval=0": "must be greater than 0, not 0",
    "check_val_every_n_epoch=0": "must be at least 1, not 0",
    "num_sanity_val_steps=-2": "must be at least -1, not -2",
    "log_every_n_steps=-1": "must be at least 0, not -1",
    "enable_checkpointing=1": OPEN_TRUTH,
    "enable_progress_bar=1": OPEN_TRUTH,
    "enable_model_summary=1": OPEN_TRUTH,
    "accumulate_grad_batches=0": "must be at least 1, not 0",
    "gradient_clip_val=-1": "must be at least 0, not -1",
    "gradient_clip_algorithm=norms": "must be one of norm, value or null, not 'norms'",
    "deterministic=never": "must be true or false or warn or null, not 'never'",
    "benchmark=1": OPEN_TRUTH,
    "inference_mode=null": "must be true or false, not null",
    "use_distributed_sampler=1": TRUTH,
    "profiler=simpel": "must be one of simple, advanced, pytorch or null, not 'simpel'",
    "detect_anomaly=1": TRUTH,
    "barebones=1": TRUTH,
    "plugins=3": "must be null, not 3",
    "sync_batchnorm=1": TRUTH,
    "reload_dataloaders_every_n_epochs=-1": "must be at least 0, not -1",
    "default_root_dir=3": "must be a text or null, not 3",
    "enable_autolog_hparams=1": TRUTH,
    "model_registry=3": "must be a text or null, not 3",
}  # fmt: skip

DATA = {
    "name=digit": "unknown data 'digit'; did you mean 'digits'?",
    "shape=3": "data.shape must be a list of whole numbers, not 3",
    "shape=[3,0,32]": "data.shape must be at least 1, not [3, 0, 32]",
    "shape=[2,32,32]": "data.shape (=[2, 32, 32]) must be [1 or 3, height, width] for 'digits'",
    "num_classes=ten": "data.num_classes must be a whole number, not 'ten'",
    "num_classes=true": "data.num_classes must be a whole number, not true",
    "class_names=3": "data.class_names must be a list of texts or null, not 3",
    "class_names=[a,b]": "data.class_names has 2 names for 10 classes",
    "mean=x": "data.mean must be a number or a list of numbers or null, not 'x'",
    "mean=[1,2]": "data.mean has 2 values for 3 channels",
    "std=0": "data.std must be greater than 0, not 0",
    "std=[1,2]": "data.std has 2 values for 3 channels",
    "validation=0.95": "data.validation must be between 0 and 0.9, not 0.95",
    "validation=-0.1": "data.validation must be between 0 and 0.9, not -0.1",
    "batch_size=0": "data.batch_size must be at least 1, not 0",
    "batch_size=2000": "data.batch_size (=2000) is larger than the 1293 samples there are to train on",
    "shuffle=1": f"data.shuffle {TRUTH}",
    "drop_last=1": f"data.drop_last {TRUTH}",
}  # fmt: skip

OTHER_DATA = {
    ("synthetic", "samples=3"): "data.samples must be at least 4, not 3",
    ("synthetic", "noise=1.5"): "data.noise must be between 0 and 1, not 1.5",
    ("cifar10", "root=3"): "data.root must be a text, not 3",
    ("cifar10", "download=1"): f"data.download {TRUTH}",
    ("cifar10", "shape=[3,28,28]"): (
        "data.shape (=[3, 28, 28]) must be [3, 32, 32], the shape of the samples of 'cifar10'"
    ),
    ("arrays", "path=3"): "data.path must be a text, not 3",
    ("arrays", "path=nope.npz"): "data.path: there is no file 'nope.npz'",
}  # fmt: skip

TASK = {
    "type=classify": "unknown task 'classify'; did you mean 'classification'?",
    "monitor=3": "task.monitor must be a text, not 3",
    "monitor=val_acuracy": "task.monitor 'val_acuracy' is not measured; did you mean 'val_accuracy'?",
    "mode=maximum": "task.mode must be one of min, max, not 'maximum'",
    "metrics=3": "task.metrics must be a mapping, not 3",
}

LOGGER = {"type=tensorbord": "unknown logger 'tensorbord'; did you mean 'tensorboard'?"}

ROWS: dict[tuple[str, ...], str] = {
    **{(k,): v for k, v in RUN.items()},
    **{(f"trainer.{k}",): f"trainer.{k.partition('=')[0]} {v}" for k, v in TRAINER.items()},
    **{(f"data.{k}",): v for k, v in DATA.items()},
    **{(f"data={name}", f"data.{k}"): v for (name, k), v in OTHER_DATA.items()},
    **{(f"task.{k}",): v for k, v in TASK.items()},
    **{(f"logger.{k}",): v for k, v in LOGGER.items()},
}


@cache
def composer() -> Composer:
    return Composer()


def problems(*words: str) -> tuple[Problem, ...]:
    return verify(composer().compose(words)).problems


@pytest.mark.parametrize("words", ROWS, ids=" ".join)
def test_a_setting_that_is_wrong(words: tuple[str, ...]) -> None:
    told = [(p.where, p.message) for p in problems(*words)]

    assert (f"override '{words[-1]}'", ROWS[words]) in told
    assert len(told) == len({where for where, _ in told}), "one problem for one override"


def test_every_setting_has_a_row() -> None:
    def keys(rows: dict[str, str]) -> set[str]:
        return {row.partition("=")[0] for row in rows}

    data = keys(DATA) | keys({row: "" for _, row in OTHER_DATA})
    assert keys(RUN) == set(settings.RUN)
    assert keys(TRAINER) == set(settings.TRAINER)
    assert data == {key for table in settings.DATA.values() for key in table}
    assert keys(TASK) == {key for table in settings.TASKS.values() for key in table}
    assert keys(LOGGER) == {key for table in settings.LOGGERS.values() for key in table}


TOGETHER = {
    ("data.validation=0",): (
        "task.monitor is val_accuracy, but there is no validation set: data.validation is 0",
        "set task.monitor=train_loss task.mode=min",
    ),
    ("trainer.max_epochs=-1",): (
        "the training has no end: trainer.max_epochs, max_steps and max_time are all open", "set one of them"
    ),
    ("data=synthetic", "data.samples=20"): (
        "data.batch_size (=32) is larger than the 18 samples there are to train on", None
    ),
    ("data.num_classes=5", "data.class_names=null"): (
        "data.num_classes (=5) must be at least 10: 'digits' has that many", None
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", TOGETHER, ids=" ".join)
def test_settings_that_do_not_go_together(words: tuple[str, ...]) -> None:
    assert [(p.message, p.hint) for p in problems(*words)] == [TOGETHER[words]]


def test_the_trainer_has_the_parameters_of_lightning_and_no_others() -> None:
    file = yaml.safe_load((packaged() / "trainer" / "default.yaml").read_text(encoding="utf-8"))
    parameters = set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"}

    assert set(file) == parameters
    assert set(settings.TRAINER) == parameters


FILES = sorted(packaged().rglob("*.yaml"))


def name(file: Path) -> str:
    return str(file.relative_to(packaged()))


def commands(file: Path) -> list[str]:
    """The commands in the comment that a shipped file opens with."""
    opening = re.match(r"(#.*\n)+", file.read_text(encoding="utf-8"))
    found = re.findall(r"^# +python -m cnnexp(.*)$", opening[0], re.MULTILINE) if opening else []
    return [re.split(r" {2,}\(", text)[0].strip() for text in found]


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_shipped_file_opens_with_what_it_is_and_the_command_that_runs_it(file: Path) -> None:
    lines = [x for x in file.read_text(encoding="utf-8").splitlines() if not x.startswith(("# @package", "# yaml-"))]

    assert re.match(r"# [A-Z0-9].*[^ ]", lines[0]), "what it is"
    assert commands(file), "the command that runs it"


RUNNABLE = [(f, c) for f in FILES for c in commands(f) if "arrays" not in c and "loss=nll" not in c]


@pytest.mark.parametrize(("file", "command"), RUNNABLE, ids=[f"{name(f)}: {c}" for f, c in RUNNABLE])
def test_the_command_of_a_shipped_file_is_sound(
    file: Path, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [w for w in shlex.split(command) if w not in ("train", "check", "show")]

    if "--multirun" in words:
        assert main(["check", *words]) == 0
    else:
        assert problems(*words) == ()


def test_the_negative_log_likelihood_is_sound_behind_a_log_softmax() -> None:
    layers = "model.layers=[Flatten,{type:Linear,out_features:10},{type:LogSoftmax,dim:1}]"

    assert problems("loss=nll", layers) == ()
