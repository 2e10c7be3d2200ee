"""The Lightning Trainer of a config: every key is the Trainer's own; loggers, callbacks and checkpoints are ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import TensorBoardLogger

from cnnexp.components import Catalog, Component
from cnnexp.errors import Path as KeyPath
from cnnexp.errors import Problem, reason
from cnnexp.training import loops
from cnnexp.training.checkpoints import SafeCheckpointIO
from cnnexp.views import checksum

_OURS = ("logger", "callbacks", "plugins", "enable_progress_bar", "enable_checkpointing", "default_root_dir")
_REFUSED_CALLBACKS = {
    "ModelCheckpoint": "best.ckpt and last.ckpt are always written; see task.monitor",
    "RichProgressBar": "the progress bar is cnnexp's own",
    "TQDMProgressBar": "the progress bar is cnnexp's own",
    "ProgressBar": "the progress bar is cnnexp's own",
    "Callback": "it does nothing",
    "LambdaCallback": "its parameters are functions, which YAML cannot hold",
    "Checkpoint": "best.ckpt and last.ckpt are always written; see task.monitor",
    "BasePredictionWriter": "it is a base class",
    "BaseFinetuning": "it is a base class",
    "BackboneFinetuning": "its parameters are functions, which YAML cannot hold",
}
CALLBACKS = Catalog(
    "callback",
    {
        name: Component(name, getattr(pl.callbacks, name))
        for name in pl.callbacks.__all__
        if name not in _REFUSED_CALLBACKS
    },
    _REFUSED_CALLBACKS,
)


def check(config: Mapping[str, Any]) -> list[Problem]:
    """The problems that only Lightning and this machine can tell, such as a missing accelerator."""
    if problem := _no_accelerator(config["trainer"]):
        return [problem]
    problems: list[Problem] = []
    for i, entry in enumerate(config["trainer"].get("callbacks") or []):
        path: KeyPath = ("trainer", "callbacks", i)
        component, params, found = CALLBACKS.parse(entry, path, f"trainer.callbacks[{i}]")
        problems += found or ([] if component is None else _tried(component, params, path))
    try:
        pl.Trainer(**_settings(config), logger=False, enable_checkpointing=False, enable_progress_bar=False)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        said = reason(error).partition(". ")[0]
        named = next((key for key in _settings(config) if key in said), None)
        where = ("trainer", named) if named else ("trainer",)
        problems.append(Problem("refused-by-lightning", where, f"trainer: Lightning refuses it: {said}"))
    return problems


def _no_accelerator(settings: Mapping[str, Any]) -> Problem | None:
    wanted = settings.get("accelerator")
    available = {
        "gpu": torch.cuda.is_available() or torch.backends.mps.is_available(),
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "tpu": False,
    }
    if available.get(str(wanted), True):
        return None
    noun = "GPU" if wanted in ("gpu", "cuda") else str(wanted)
    text = (
        f"trainer.accelerator is {wanted}, but torch finds no {noun} on this machine; "
        "use trainer.accelerator=cpu, or auto to take a GPU where there is one"
    )
    return Problem("no-accelerator", ("trainer", "accelerator"), text)


def _tried(component: Component, params: Mapping[str, Any], path: KeyPath) -> list[Problem]:
    try:
        component.cls(**params)
    except Exception as error:  # the callbacks raise many types for values that they do not take
        text = f"trainer.callbacks[{path[-1]}] {component.name}: Lightning refuses it: {reason(error)}"
        return [Problem("refused-by-lightning", path, text)]
    return []


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    settings = {k: v for k, v in config["trainer"].items() if k not in _OURS}
    return settings if config["data"].get("validation") else {**settings, "limit_val_batches": 0}


def device(config: Mapping[str, Any]) -> torch.device:
    """The device that this process trains on."""
    wanted = config["trainer"].get("accelerator", "auto")
    if wanted in ("gpu", "cuda", "auto") and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if wanted in ("gpu", "mps", "auto") and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def make(config: Mapping[str, Any], folder: Path, own: Sequence[pl.Callback], step: int | None = None) -> pl.Trainer:
    """The Trainer of a checked config.

    Arguments:
        config: the plain config.
        folder: the run's folder.
        own: our callbacks; those that the config names come after them.
        step: the step that the run goes on from; its curves after it are hidden, since they are drawn again.
    """
    settings = config["trainer"]
    named = []
    for entry in settings.get("callbacks") or []:
        component, params, _ = CALLBACKS.parse(entry, (), "callback")
        assert component is not None  # the check has refused it before
        named.append(component.cls(**params))
    writes = config["logger"]["type"] == "tensorboard" and settings.get("logger") is not False
    keeps = any(isinstance(c, Checkpoint) for c in own)
    hidden = None if step is None else step + 1
    if writes:
        checksum.install()
    made = pl.Trainer(
        **_settings(config),
        logger=TensorBoardLogger(folder, name="tensorboard", version="", purge_step=hidden) if writes else False,
        callbacks=[*own, *named],
        plugins=[SafeCheckpointIO()],
        enable_checkpointing=keeps,
        enable_progress_bar=False,
        default_root_dir=settings.get("default_root_dir") or folder,
    )
    loops.install(made)
    return made
