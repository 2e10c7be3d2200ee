"""One run from a checked config to a finished record."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.utilities.exceptions import SIGTERMException

from cnnexp.architecture.plan import Plan
from cnnexp.data.module import DataModule
from cnnexp.data.sets import DataSet, load
from cnnexp.errors import ConfigError, Interrupted, Problem, RunError, reason
from cnnexp.records import Record
from cnnexp.records.environment import git, versions
from cnnexp.records.record import identity
from cnnexp.training import checkpoints, metrics, trainer
from cnnexp.training.callbacks import Ledger, Signals, Stopper
from cnnexp.training.classification import Classification
from cnnexp.training.finite import FiniteWatch
from cnnexp.training.layout import choose
from cnnexp.training.logs import logged, quiet
from cnnexp.training.progress import ProgressBar
from cnnexp.training.warm_start import warm_start

log = logging.getLogger("cnnexp")
_FOLDER = "CNNEXP_RUN_FOLDER"


@dataclass(frozen=True)
class Job:
    """What is to be run, and how it is to be called.

    Arguments:
        config: the plain, checked config.
        plan: its network.
        name: the name of the run's folder after the date, such as `tudui_digits`.
        choices: the file that each group of the config came from.
        overrides: what the command line changed.
        command: the command that started it.
        root: the folder in which the run's folder is made.
        dated: whether the folder's name begins with the date and the time.
    """

    config: dict[str, Any]
    plan: Plan
    name: str
    choices: Mapping[str, str]
    overrides: Sequence[str]
    command: str
    root: Path
    dated: bool = True


def run(job: Job) -> Path:
    """Train, keep the best, test it, and record all of it.

    Returns:
        the folder of the run.

    Raises:
        ConfigError: something in the config does not fit this machine or these data; nothing was written.
        RunError: the run failed; its record says so.
        Interrupted: a signal ended it; `last.ckpt` and the record hold what was reached.
    """
    with quiet():
        config = dict(job.config)
        problems = [*trainer.check(config), *_trainable(config), *_metrics(config)]
        if problems:
            raise ConfigError(problems)
        dataset = load(config["data"])
        model = _built(job.plan, config["seed"])
        if config["checkpoint"]:
            warm_start(model, config["checkpoint"])
        data = DataModule(dataset, config["data"], config["seed"], getattr(torch, job.plan.dtype))
        record, follows = _open(job)
        with logged(None if follows else record.path / "log.txt"):
            return _recorded(job, config, record, follows, model, dataset, data)


def _recorded(
    job: Job,
    config: dict[str, Any],
    record: Record,
    follows: bool,
    model: torch.nn.Sequential,
    dataset: DataSet,
    data: DataModule,
) -> Path:
    signals = Signals()
    ledger = _ledger(config, record)
    try:
        with signals.watched():
            if not follows:
                _describe(job, record, dataset)
            pl.seed_everything(config["seed"], workers=True, verbose=False)
            device = trainer.device(config)
            if config["memory_format"] == "auto":
                config["memory_format"] = _layout(config, record, follows, model, device)
            if not follows:
                record.write("config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
                record.update(memory_format=config["memory_format"], device=_device_name(device))
            data.use_layout(config["memory_format"])
            signals.obey()
            _fit(config, record, model, data, ledger, signals)
    except (Interrupted, KeyboardInterrupt, SystemExit, SIGTERMException) as error:
        signum = error.signum if isinstance(error, Interrupted) else 15 if isinstance(error, SIGTERMException) else 2
        _finish(record, follows, "interrupted", ledger, error=str(Interrupted(signum)))
        raise Interrupted(signum, record.path) from None
    except RunError as error:
        _finish(record, follows, "failed", ledger, error=str(error))
        raise RunError(str(error), record.path) from None
    except Exception as error:
        log.debug("the run failed", exc_info=True)
        said = f"{type(error).__name__}: {reason(error)}"
        _finish(record, follows, "failed", ledger, error=said)
        raise RunError(f"the run failed: {said}", record.path) from error
    return record.path


def _built(plan: Plan, seed: int) -> torch.nn.Sequential:
    """The network with its weights.

    Raises:
        ConfigError: a layer asks for a device that this machine has not, or for more memory.
    """
    try:
        return plan.build(seed)
    except (RuntimeError, AssertionError, MemoryError) as error:
        text = f"the network cannot be built on this machine: {reason(error)}"
        raise ConfigError([Problem("cannot-build", ("model", "layers"), text)]) from None


def _ledger(config: Mapping[str, Any], record: Record) -> Ledger:
    every = config["trainer"].get("log_every_n_steps")
    return Ledger(record, config["task"]["monitor"], config["task"]["mode"], 50 if every is None else every)


def _fit(
    config: dict[str, Any],
    record: Record,
    model: torch.nn.Sequential,
    data: DataModule,
    ledger: Ledger,
    signals: Signals,
) -> None:
    settings = config["trainer"]
    keeps = bool(settings.get("enable_checkpointing", True)) and not settings.get("fast_dev_run")
    folder = record.path / "checkpoints"
    bar = ProgressBar("images" if len(config["data"]["shape"]) == 3 else "samples")
    own: list[pl.Callback] = [ledger, Stopper(signals, folder / "last.ckpt" if keeps else None)]
    if settings.get("enable_progress_bar", True):
        own.append(bar)
    if keeps:
        own += trainer.checkpointing(folder, config["task"]["monitor"], config["task"]["mode"])
    coach = trainer.make(config, record.path, own)

    def after_epoch(_: pl.Trainer) -> None:
        values = ledger.write_epoch(coach)
        if settings.get("enable_progress_bar", True):
            bar.epoch_line(coach, values)

    watch = FiniteWatch(_watch_every(config, trainer.device(config)))
    layout = getattr(torch, config["memory_format"])
    module = Classification(model.to(memory_format=layout), config, watch, config["compile"], after_epoch)
    coach.fit(module, datamodule=data)
    best = folder / "best.ckpt"
    if best.is_file():
        module.load_state_dict(checkpoints.load(best)["state_dict"])
    tested = coach.test(module, datamodule=data, verbose=False)
    final = {k: float(v) for found in tested for k, v in found.items()}
    _finish(record, not coach.is_global_zero, "completed", ledger, metrics={**ledger.last, **final})


def _watch_every(config: Mapping[str, Any], device: torch.device) -> int:
    every = config["check_finite_every_n_steps"]
    if every != "auto":
        return int(every)
    return 1 if device.type == "cpu" else max(1, config["trainer"].get("log_every_n_steps") or 50)


def _layout(
    config: Mapping[str, Any], record: Record, follows: bool, model: torch.nn.Sequential, device: torch.device
) -> str:
    if follows:
        chosen = yaml.safe_load((record.path / "config.yaml").read_text(encoding="utf-8"))["memory_format"]
        return str(chosen)
    return choose(model, tuple(config["data"]["shape"]), config["data"]["batch_size"], device)


def _describe(job: Job, record: Record, dataset: DataSet) -> None:
    """Write what the run is, before it runs."""
    record.write("layers.txt", job.plan.table() + "\n")
    record.write("model.py", job.plan.source(job.choices.get("model", "The network of this run")))
    totals = job.plan.totals
    record.update(
        command=job.command,
        overrides=list(job.overrides),
        choices=dict(job.choices),
        config_hash=identity(job.config),
        git=git(),
        versions=versions(),
        seed=job.config["seed"],
        data_fingerprint=dataset.fingerprint(),
        parameters=totals.parameters,
        multiply_adds=totals.multiply_adds,
        **job.plan.start.as_dict(),
    )


def _finish(record: Record, follows: bool, status: str, ledger: Ledger, **more: Any) -> None:
    if follows:
        return
    speed = ledger.samples / ledger.seconds if ledger.seconds else None
    fields = {"metrics": ledger.last, "best": ledger.best, "samples_per_s": speed, **more}
    record.finish(status, **fields)


def follows() -> bool:
    """Whether this process is a further rank of a run that another one keeps the record of."""
    return _FOLDER in os.environ and int(os.environ.get("LOCAL_RANK", "0")) > 0


def _open(job: Job) -> tuple[Record, bool]:
    """The run's record, and whether this process only follows the one that keeps it (a further rank of ddp)."""
    if follows():
        return Record(Path(os.environ[_FOLDER])), True
    record = Record.open(job.root, job.name, job.dated)
    record.update()
    os.environ[_FOLDER] = str(record.path.resolve())
    return record, False


def _trainable(config: Mapping[str, Any]) -> list[Problem]:
    if config["task"]["type"] != "none":
        return []
    text = "task=none: this network is to be looked at (check, code), and there is nothing to train it for"
    return [
        Problem(
            "no-task", ("task", "type"), text, "choose task=classification, with a network that ends in class scores"
        )
    ]


def _metrics(config: Mapping[str, Any]) -> list[Problem]:
    return (
        []
        if config["task"]["type"] == "none"
        else metrics.check(config["task"]["metrics"], config["data"]["num_classes"])
    )


def _device_name(device: torch.device) -> str:
    return f"{device.type} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
