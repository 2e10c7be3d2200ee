"""One run from a checked config to a finished record."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml

from cnnexp.architecture.plan import Plan
from cnnexp.data.module import DataModule
from cnnexp.data.sets import DataSet, load
from cnnexp.errors import ConfigError, Interrupted, Problem, RunError, reason
from cnnexp.records import Record
from cnnexp.records.environment import git, versions
from cnnexp.records.lock import hold
from cnnexp.records.record import identity
from cnnexp.signals import Signals
from cnnexp.training import checkpoints, endings, trainer
from cnnexp.training.callbacks import Ledger
from cnnexp.training.classification import Classification
from cnnexp.training.evaluation import Predictions
from cnnexp.training.finite import FiniteWatch
from cnnexp.training.keeper import Keeper
from cnnexp.training.layout import choose
from cnnexp.training.logs import logged, quiet
from cnnexp.training.progress import ProgressBar, Reporter
from cnnexp.training.ready import unready
from cnnexp.training.resuming import Place, check_data, differences, place
from cnnexp.training.stopping import Stopper
from cnnexp.training.tolerance import Tolerance
from cnnexp.training.views import Moment, Views
from cnnexp.training.warm_start import warm_start
from cnnexp.views import hparams

log = logging.getLogger("cnnexp")
_FOLDER = "CNNEXP_RUN_FOLDER"

Report = Callable[[Mapping[str, Any]], None]


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
        folder: a folder with config.yaml and run.json, in which this run begins or goes on; None to make one.
    """

    config: dict[str, Any]
    plan: Plan
    name: str
    choices: Mapping[str, str]
    overrides: Sequence[str]
    command: str
    root: Path
    dated: bool = True
    folder: Path | None = None


@dataclass(frozen=True)
class _Work:
    """A job with all that it takes to run it.

    Arguments:
        job: the job.
        config: its config, in which choices of speed are filled in.
        record: the run's record.
        follows: whether another process keeps the record (this is a further rank of ddp).
        goes_on: where the run goes on; None where it begins.
        model, dataset: the network and the samples.
    """

    job: Job
    config: dict[str, Any]
    record: Record
    follows: bool
    goes_on: Place | None
    model: torch.nn.Sequential
    dataset: DataSet


def run(job: Job, report: Report | None = None) -> Path:
    """Train, keep the best, test it, and record all of it; where `job.folder` holds a part of that, do the rest.

    Arguments:
        job: what is to be run.
        report: called now and then with epoch, epochs, step, share and values, in place of the progress bar.

    Returns:
        the folder of the run.

    Raises:
        ConfigError: something in the config does not fit this machine or these data; nothing was written.
        RunError: the run failed; its record says so.
        Interrupted: a signal ended it; `last.ckpt` and the record hold what was reached.
    """
    with quiet(), contextlib.ExitStack() as held:
        record = _existing(job, held)
        if record is not None and record.fields.get("status") == "completed":
            return record.path
        config = dict(job.config)
        if problems := unready(config):
            raise ConfigError(problems)
        held.enter_context(_threads(None if record is None else record.fields.get("threads")))
        dataset = load(config["data"])
        if record is not None:
            check_data(record.path, record.fields, dataset)
        goes_on = None if record is None else place(record.path)
        model = _built(job.plan, config["seed"])
        if config["checkpoint"] and goes_on is None:
            warm_start(model, config["checkpoint"])
        data = DataModule(dataset, config["data"], config["seed"], getattr(torch, job.plan.dtype))
        if record is None:
            record = _claimed(job, held)
        held.enter_context(logged(None if follows() else record.path / "log.txt"))
        return _recorded(_Work(job, config, record, follows(), goes_on, model, dataset), data, report)


def _existing(job: Job, held: contextlib.ExitStack) -> Record | None:
    """The record that the job goes on with; None where it makes one."""
    if follows():
        return Record(Path(os.environ[_FOLDER]))
    if job.folder is None:
        return None
    held.enter_context(hold(job.folder))
    return Record.reopen(job.folder)


def _claimed(job: Job, held: contextlib.ExitStack) -> Record:
    record = Record.open(job.root, job.name, job.dated)
    try:
        held.enter_context(hold(record.path))
    except ConfigError:  # a full disk: the folder would be all that there is of this run
        shutil.rmtree(record.path, ignore_errors=True)
        raise
    return record


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """With as many threads as the run began with: the order of a sum depends on it."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _recorded(work: _Work, data: DataModule, report: Report | None) -> Path:
    config, record, signals = work.config, work.record, Signals()
    ledger = _ledger(config, record)
    try:
        with signals.watched():
            if not work.follows:
                _begin(work, ledger)
            pl.seed_everything(config["seed"], workers=True, verbose=False)
            device = trainer.device(config)
            if config["memory_format"] == "auto":
                config["memory_format"] = _layout(work, device)
            if not work.follows:
                _write_config(work)
                record.update(memory_format=config["memory_format"], device=_device_name(device))
            data.use_layout(config["memory_format"])
            signals.obey()
            _fit(work, data, ledger, signals, report)
    except BaseException as error:
        raise _ended(work, ledger, error, signals.asked) from error
    return record.path


def _ended(work: _Work, ledger: Ledger, error: BaseException, asked: int | None) -> RunError:
    """Write how the run ended before its end, and give the error that says so."""
    ended = endings.ending(error, asked)
    if ended.status == "failed":
        log.error("the run failed", exc_info=error)
    try:
        _finish(work, ended.status, ledger, error=ended.text, failure=ended.failure)
    except OSError as full:
        return RunError(ended.text if ended.failure == "disk" else f"{ended.text}; {endings.unwritable(full)}")
    if ended.signum is not None:
        return Interrupted(ended.signum, work.record.path)
    plain = ended.failure != "raised" or isinstance(error, RunError)
    return RunError(ended.text if plain else f"the run failed: {ended.text}", work.record.path)


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


def _fit(work: _Work, data: DataModule, ledger: Ledger, signals: Signals, report: Report | None) -> None:
    config, settings, goes_on = work.config, work.config["trainer"], work.goes_on
    folder = work.record.path / "checkpoints"
    keeps = bool(settings.get("enable_checkpointing", True)) and not settings.get("fast_dev_run")
    keeper = Keeper(folder, config["task"]["monitor"], config["task"]["mode"]) if keeps else None
    bar = ProgressBar("images" if len(config["data"]["shape"]) == 3 else "samples")
    reporter = Reporter(report) if report else None
    shown = settings.get("enable_progress_bar", True) and reporter is None
    predictions, views = _looking(work, data)
    own = [ledger, Stopper(signals, keeper), bar if shown else None, reporter, keeper, predictions, views]
    coach = trainer.make(
        config, work.record.path, [c for c in own if c is not None], None if goes_on is None else goes_on.step
    )
    if goes_on is not None and not work.follows:
        log.info("%s", goes_on)
        if shown:
            bar.say(str(goes_on))

    def after_epoch(_: pl.Trainer) -> None:
        values = ledger.write_epoch(coach)
        if shown:
            bar.epoch_line(coach, values)
        if reporter is not None:
            reporter.epoch(coach, values)

    watch = FiniteWatch(_watch_every(config, trainer.device(config)))
    layout = getattr(torch, config["memory_format"])
    module = Classification(work.model.to(memory_format=layout), config, watch, config["compile"], after_epoch)
    coach.fit(module, datamodule=data, ckpt_path=None if goes_on is None else goes_on.checkpoint)
    best = folder / "best.ckpt"
    kept = Moment(max(coach.current_epoch - 1, 0), coach.global_step)
    if keeps and best.is_file():
        held = checkpoints.load(best)
        module.load_state_dict(held["state_dict"])
        kept = Moment(held["epoch"], held["global_step"])
    tested = coach.test(module, datamodule=data, verbose=False)
    if views is not None:
        views.finish(coach, module, kept)
    if predictions is not None and not work.follows:
        predictions.write(work.record.path)
    final = {k: float(v) for found in tested for k, v in found.items()}
    _finish(work, "completed", ledger, metrics={**ledger.last, **final})


def _looking(work: _Work, data: DataModule) -> tuple[Predictions | None, Views | None]:
    """What looks at the network and its predictions beside the training."""
    if work.config["trainer"].get("fast_dev_run"):
        return None, None
    settings = work.config["views"]
    predictions = Predictions(work.config["data"], data, settings["enabled"])
    if not settings["enabled"]:
        return predictions, None
    return predictions, Views(settings, work.job.plan, work.record.path, data, predictions.pictures)


def _watch_every(config: Mapping[str, Any], device: torch.device) -> int:
    every = config["check_finite_every_n_steps"]
    if every != "auto":
        return int(every)
    return 1 if device.type == "cpu" else max(1, config["trainer"].get("log_every_n_steps") or 50)


def _layout(work: _Work, device: torch.device) -> str:
    if work.follows:
        chosen = yaml.safe_load((work.record.path / "config.yaml").read_text(encoding="utf-8"))["memory_format"]
        return str(chosen)
    data = work.config["data"]
    return choose(work.model, tuple(data["shape"]), data["batch_size"], device)


def _begin(work: _Work, ledger: Ledger) -> None:
    """Write what the run is, before it runs; where it goes on, say from where."""
    record, goes_on = work.record, work.goes_on
    os.environ[_FOLDER] = str(record.path.resolve())
    if goes_on is None:
        record.start()
        record.keep_metrics(0)
        _describe(work)
        _write_config(work)
    else:
        for text in differences(record.fields, identity(work.job.config), versions()):
            log.warning("%s", text)
        if "config_hash" not in record.fields:  # the record was lost, the checkpoint was not
            _describe(work)
        ledger.load_state_dict(goes_on.ledger)
        record.start(goes_on.step, goes_on.ledger["worked"])
        record.keep_metrics(goes_on.ledger["rows"])


def _describe(work: _Work) -> None:
    job, record = work.job, work.record
    record.write("layers.txt", job.plan.table() + "\n")
    record.write("model.py", job.plan.source(job.choices.get("model", "The network of this run")))
    totals = job.plan.totals
    record.update(
        command=record.fields.get("command", job.command),
        overrides=list(job.overrides),
        choices=dict(job.choices),
        config_hash=identity(job.config),
        git=record.fields["git"] if "git" in record.fields else git(),
        versions=versions(),
        seed=job.config["seed"],
        threads=torch.get_num_threads(),
        monitor=job.config["task"]["monitor"],
        mode=job.config["task"]["mode"],
        data_fingerprint=work.dataset.fingerprint(),
        parameters=totals.parameters,
        multiply_adds=totals.multiply_adds,
        **job.plan.start.as_dict(),
    )


def _write_config(work: _Work) -> None:
    work.record.write("config.yaml", yaml.safe_dump(work.config, sort_keys=False, allow_unicode=True))


def _finish(work: _Work, status: str, ledger: Ledger, **more: Any) -> None:
    if work.follows:
        return
    speed = ledger.samples / ledger.seconds if ledger.seconds else None
    fields = {"metrics": ledger.last, "best": ledger.best, "samples_per_s": speed, **more}
    work.record.finish(status, **fields)
    if (events := work.record.path / "tensorboard").is_dir():
        with Tolerance(log)("the comparison in TensorBoard"):
            values = hparams.chosen(work.record.fields, work.config, work.record.path)
            hparams.write(events, values, fields["metrics"], status == "completed")


def follows() -> bool:
    """Whether this process is a further rank of a run that another one keeps the record of."""
    return _FOLDER in os.environ and int(os.environ.get("LOCAL_RANK", "0")) > 0


def _device_name(device: torch.device) -> str:
    return f"{device.type} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
