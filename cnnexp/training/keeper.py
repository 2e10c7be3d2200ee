"""best.ckpt and last.ckpt: the weights of the best validation, and the place from which a run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from cnnexp.training.callbacks import better
from cnnexp.training.loops import between_batches


class Keeper(Checkpoint):
    """Writes both checkpoints.

    `last.ckpt` is written when the batch after an epoch or a validation begins, and at the end of the training: only
    there is all of it done (schedulers, metrics, the record's row), so that a run goes on from it exactly.

    Arguments:
        folder: where they lie.
        monitor, mode: what decides about the best: a metric of a validation, or of the training in a whole epoch.
    """

    def __init__(self, folder: Path, monitor: str, mode: str) -> None:
        self.folder, self.monitor, self.mode = folder, monitor, mode
        self.best: float | None = None
        self._due = self._finished = self._saves_last = False
        self._measured: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Put back what was measured before: early stopping and schedulers may look at it again."""
        trainer._logger_connector._callback_metrics.update(self._measured)

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Keep the weights if they are the best."""
        if not trainer.sanity_checking:
            self._due = True
            if not self.monitor.startswith("train_"):
                self._consider(trainer)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Keep the weights if they are the best by a metric of the training."""
        self._due = True
        if self.monitor.startswith("train_"):
            self._consider(trainer)

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Write last.ckpt if an epoch or a validation lies behind, and no gradients wait for their step."""
        if self._due and batch_idx % trainer.accumulate_grad_batches == 0:
            self.save_last(trainer)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write last.ckpt: the training is over."""
        self._finished = True
        self.save_last(trainer)

    def save_last(self, trainer: Trainer) -> None:
        """Write last.ckpt; every process must call this."""
        if trainer.fit_loop._skip_backward:
            return  # stochastic weight averaging measures batch statistics, from a state that is in no checkpoint
        self._due, self._saves_last = False, True
        try:
            trainer.save_checkpoint(self.folder / "last.ckpt", weights_only=False)
        finally:
            self._saves_last = False

    def _consider(self, trainer: Trainer) -> None:
        found = trainer.callback_metrics.get(self.monitor)
        if found is not None and better(float(found), self.best, self.mode):
            self.best = float(found)
            trainer.save_checkpoint(self.folder / "best.ckpt", weights_only=False)

    def state_dict(self) -> dict[str, Any]:
        """What decides about the best from here on."""
        return {"best": self.best, "finished": self._finished}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.best, self._finished = state_dict["best"], state_dict["finished"]

    def on_save_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning leaves out."""
        if not self._saves_last:
            return  # nothing goes on from best.ckpt
        checkpoint["measured"] = dict(trainer._logger_connector._callback_metrics)
        checkpoint["gathered"] = module.gathered()  # type: ignore[operator]  # our modules all have it
        if self._finished:
            checkpoint["epoch"] -= 1  # the last one, not the next
        else:
            between_batches(checkpoint)

    def on_load_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        self._measured = checkpoint["measured"]
        module.take(checkpoint["gathered"])  # type: ignore[operator]  # see above
        if checkpoint["callbacks"][self.state_key]["finished"]:
            trainer.should_stop = True  # early stopping has forgotten that it stopped the training
