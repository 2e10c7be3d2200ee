"""What happens beside the training: the record is kept, the curves are written, a signal is obeyed."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from cnnexp.errors import Interrupted
from cnnexp.records import Record

log = logging.getLogger(__name__)


class Signals:
    """Remembers that a signal asked to stop, until the training is at a point where it can save what it has."""

    def __init__(self) -> None:
        self.asked: int | None = None

    @contextmanager
    def watched(self) -> Iterator[Signals]:
        """Catch Ctrl-C and SIGTERM inside the block; a second Ctrl-C interrupts at once."""
        if threading.current_thread() is not threading.main_thread():
            yield self  # only the main thread may set handlers
            return
        before = {s: signal.signal(s, self._remember) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _remember(self, signum: int, frame: object) -> None:
        if self.asked is not None:
            raise KeyboardInterrupt
        self.asked = signum

    def obey(self) -> None:
        """Stop here if a signal came.

        Raises:
            Interrupted: one came.
        """
        if self.asked is not None:
            raise Interrupted(self.asked)


class Stopper(Callback):
    """Stops after the batch in which a signal came, with `last.ckpt` written first.

    Arguments:
        signals: what remembers the signal.
        checkpoint: where `last.ckpt` lies; None where the run writes no checkpoints.
    """

    def __init__(self, signals: Signals, checkpoint: Path | None) -> None:
        self.signals, self.checkpoint = signals, checkpoint

    def _stop(self, trainer: Trainer, save: bool = True) -> None:
        if self.signals.asked is not None:
            if save and self.checkpoint is not None and not trainer.sanity_checking:
                trainer.save_checkpoint(self.checkpoint, weights_only=False)
            self.signals.obey()

    def on_train_batch_end(self, trainer: Trainer, *rest: Any) -> None:
        """Stop here if asked."""
        self._stop(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *rest: Any, **more: Any) -> None:
        """Stop here if asked."""
        self._stop(trainer)

    def on_test_batch_end(self, trainer: Trainer, *rest: Any, **more: Any) -> None:
        """Stop here if asked; the training is over and saved."""
        self._stop(trainer, save=False)


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
        value = values.get(self.monitor)
        if value is not None and (self.best is None or _better(value, self.best[self.monitor], self.mode)):
            self.best = {"epoch": epoch, **values}
        text = "  ".join(f"{k} {v:.4f}" for k, v in values.items())
        log.info("epoch %d  %s", epoch + 1, text)
        self.last = values
        return values

    def _stop_clock(self) -> None:
        if self._began:
            self.samples += self._epoch_samples
            self.seconds += time.perf_counter() - self._began
            self._epoch_samples, self._began = 0, 0.0


def _better(value: float, best: float, mode: str) -> bool:
    return value > best if mode == "max" else value < best
