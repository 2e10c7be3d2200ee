"""The progress bar: epoch, loss, metrics and samples per second; plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cnnexp.tables import PatientConsole

_REFRESH_SECONDS = 0.25


class ProgressBar(Callback):
    """Shows how far the training is, on standard error.

    Reading the running loss makes the device wait, so it is read a few times a second and never at every step.

    Arguments:
        unit: what is counted per second: images or samples.
    """

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self._console = PatientConsole(file=sys.stderr)
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._seen, self._began, self._shown = 0, 0.0, 0.0

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Begin a bar for the epoch."""
        self._seen, self._began, self._shown = 0, time.perf_counter(), 0.0
        if not self._console.is_terminal or not trainer.is_global_zero:
            return
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[values]}"),
            console=self._console,
            refresh_per_second=4,
            transient=True,
        )
        total = trainer.num_training_batches
        epochs = "" if (trainer.max_epochs or -1) < 0 else f"/{trainer.max_epochs}"
        self._task = self._progress.add_task(
            f"epoch {trainer.current_epoch + 1}{epochs}", total=float(total), values=""
        )
        self._progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar on, now and then."""
        self._seen += len(batch[1]) * trainer.world_size
        now = time.perf_counter()
        if self._progress is not None and now - self._shown > _REFRESH_SECONDS:
            self._shown = now
            running: dict[str, float] = module.running()  # type: ignore[operator]  # our modules all have it
            self._progress.update(self._task, completed=batch_idx + 1, values=f"{_text(running)}  {self._speed(now)}")

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Remember the speed before the clock counts something else."""
        self._pace = self._speed(time.perf_counter())

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Take the bar away; the line of the epoch takes its place."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def epoch_line(self, trainer: Trainer, values: dict[str, float]) -> None:
        """Print the line of an epoch that has ended.

        Arguments:
            trainer: the trainer.
            values: the metrics of the epoch.
        """
        pace = getattr(self, "_pace", None) or self._speed(time.perf_counter())
        if trainer.is_global_zero:
            self.say(f"epoch {trainer.current_epoch + 1}  {_text(values)}  {pace}")

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Give the terminal back."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _speed(self, now: float) -> str:
        return f"{self._seen / max(now - self._began, 1e-9):,.0f} {self.unit}/s"


class Reporter(Callback):
    """Tells how far the training is to whoever started it, a few times a second and at the end of every epoch.

    Arguments:
        report: gets the epoch (from 1), epochs, step, share of the whole training and values.
    """

    def __init__(self, report: Callable[[Mapping[str, Any]], None]) -> None:
        self._report, self._told = report, 0.0

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell, now and then."""
        if trainer.is_global_zero and time.perf_counter() - self._told > _REFRESH_SECONDS:
            running: dict[str, float] = module.running()  # type: ignore[operator]  # our modules all have it
            self._tell(trainer, (batch_idx + 1) / trainer.num_training_batches, running)

    def epoch(self, trainer: Trainer, values: Mapping[str, float]) -> None:
        """Tell the metrics of an epoch that has ended."""
        if trainer.is_global_zero:
            self._tell(trainer, 1.0, values)

    def _tell(self, trainer: Trainer, of_epoch: float, values: Mapping[str, float]) -> None:
        self._told = time.perf_counter()
        epochs = trainer.max_epochs if (trainer.max_epochs or -1) > 0 else None
        done = [(trainer.current_epoch + of_epoch) / epochs] if epochs else []
        done += [trainer.global_step / trainer.max_steps] if trainer.max_steps > 0 else []
        share = min(1.0, max(done)) if done else None
        where = {"epoch": trainer.current_epoch + 1, "epochs": epochs, "step": trainer.global_step, "share": share}
        self._report({**where, "values": dict(values)})


def _text(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in values.items())
