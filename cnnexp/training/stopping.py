"""A signal is obeyed at a place from which the run can go on; what was reached is saved first."""

from __future__ import annotations

import signal
import threading
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging

from cnnexp.errors import Interrupted
from cnnexp.signals import Signals
from cnnexp.training.keeper import Keeper


class Stopper(Callback):
    """Stops before the batch that follows a signal, or in a validation, with `last.ckpt` written first.

    Arguments:
        signals: what remembers the signal, and is watching.
        keeper: writes `last.ckpt`; None where the run writes no checkpoints.
    """

    def __init__(self, signals: Signals, keeper: Keeper | None) -> None:
        self.signals, self.keeper = signals, keeper
        self._handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_sanity_check_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Take the signals."""
        self._take_signals()

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Take the signals."""
        self._take_signals()

    def on_test_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Take the signals."""
        self._take_signals()

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop here if asked, unless gradients of earlier batches wait for their step."""
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._stop(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *rest: Any, **more: Any) -> None:
        """Stop here if asked: the validation will be done again, and nothing of the training is lost."""
        if trainer.sanity_checking:
            self._stop(trainer, save=False)
        elif not trainer.fit_loop._should_accumulate() and not _validates_other_weights(trainer):
            self._stop(trainer)

    def on_test_batch_end(self, trainer: Trainer, *rest: Any, **more: Any) -> None:
        """Stop here if asked; the training is over and saved."""
        self._stop(trainer, save=False)

    def _take_signals(self) -> None:
        # Lightning has put handlers of its own in front, which stop the training where it cannot go on exactly.
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    def _stop(self, trainer: Trainer, save: bool = True) -> None:
        asked = self.signals.asked is not None
        if trainer.world_size > 1:  # the signal may have reached one process only
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if not asked:
            return
        if save and self.keeper is not None:
            self.keeper.save_last(trainer)
        raise Interrupted(self.signals.asked or signal.SIGTERM)


def _validates_other_weights(trainer: Trainer) -> bool:
    """Whether the weights that are trained are put away in a validation."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # which a connector of Lightning's sets
    return any(isinstance(callback, WeightAveraging) for callback in callbacks)
