"""The record is kept beside the training: one row of metrics for each epoch, and the speed."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from cnnexp.records import Record

log = logging.getLogger(__name__)


class Ledger(Callback):
    """Keeps the record: one line of metrics for each epoch, and the speed of the training.

    Arguments:
        record: the run's record.
        monitor, mode: which epoch counts as the best.
        log_every: after how many steps the loss of a step is written to the curves; 0 never.
    """

    def __init__(self, record: Record, monitor: str, mode: str, log_every: int) -> None:
        self.record, self.monitor, self.mode, self.log_every = record, monitor, mode, log_every
        self.best: dict[str, Any] | None = None
        self.last: dict[str, float] = {}
        self.samples, self.seconds = 0, 0.0
        self._epoch_samples, self._began = 0, 0.0

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Start the clock of the epoch."""
        self._epoch_samples, self._began = 0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the samples, and write the loss of the step to the curves now and then."""
        self._epoch_samples += len(batch[1]) * trainer.world_size
        if self.log_every and trainer.global_step % self.log_every == 0 and trainer.loggers:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            values = {"train_loss_step": float(outputs["loss"]), "learning_rate": float(rate)}
            for logger in trainer.loggers:
                logger.log_metrics(values, step=trainer.global_step)

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Stop the clock: what follows is not training."""
        self._stop_clock()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Stop the clock of the epoch."""
        self._stop_clock()

    def write_epoch(self, trainer: Trainer) -> dict[str, float]:
        """Add the metrics of the epoch that has ended to the record, and return them."""
        values = {k: float(v) for k, v in sorted(trainer.callback_metrics.items()) if isinstance(v, Tensor)}
        epoch = trainer.current_epoch
        speed = self.samples / self.seconds if self.seconds else None
        rate = float(trainer.optimizers[0].param_groups[0]["lr"]) if trainer.optimizers else None
        row = {"epoch": epoch, "step": trainer.global_step, **values, "learning_rate": rate, "samples_per_s": speed}
        if trainer.is_global_zero:
            self.record.add_metrics(row)
        if rate is not None and not (self.log_every and trainer.global_step % self.log_every == 0):
            for logger in trainer.loggers:
                logger.log_metrics({"learning_rate": rate}, step=trainer.global_step)
        value = values.get(self.monitor)
        if value is not None and (self.best is None or better(value, self.best.get(self.monitor), self.mode)):
            self.best = {"epoch": epoch, **values}
        text = "  ".join(f"{k} {v:.4f}" for k, v in values.items())
        log.info("epoch %d  %s", epoch + 1, text)
        self.last = values
        return values

    def state_dict(self) -> dict[str, Any]:
        """What an attempt that goes on from here has to know."""
        running = self._began
        self._stop_clock()
        self._began = time.perf_counter() if running else 0.0
        return {
            "rows": self.record.rows,
            "worked": self.record.worked(),
            "best": self.best,
            "last": self.last,
            "samples": self.samples,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.best, self.last = state_dict["best"], state_dict["last"]
        self.samples, self.seconds = state_dict["samples"], state_dict["seconds"]

    def _stop_clock(self) -> None:
        if self._began:
            self.samples += self._epoch_samples
            self.seconds += time.perf_counter() - self._began
            self._epoch_samples, self._began = 0, 0.0


def better(value: float, best: float | None, mode: str) -> bool:
    """Whether a value beats the best one so far; every number beats one that is none."""
    if best is None or math.isnan(best):
        return best is None or not math.isnan(value)
    return value > best if mode == "max" else value < best
