"""Lightning's epoch loop, able to go on with the next batch of an epoch as if it had never stopped."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.loops.fetchers import _DataFetcher
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop


class EpochLoop(_TrainingEpochLoop):
    """Goes on from a checkpoint that `between_batches` has put in order.

    Lightning's own way to go on leaves out a validation that was due, steps some schedulers twice, and begins the
    data of the epoch again.
    """

    _goes_on = False
    _validates_first = False

    def on_save_checkpoint(self) -> dict[str, Any]:
        """Add whether a validation is going on, which must be done again from its beginning."""
        state: dict[str, Any] = super().on_save_checkpoint()
        return {**state, "validates": bool(self.trainer.validating)}

    def on_load_checkpoint(self, state_dict: dict[str, Any]) -> None:
        """Remember that the counters are those of a checkpoint."""
        super().on_load_checkpoint(state_dict)
        self._goes_on, self._validates_first = True, bool(state_dict.get("validates"))

    def reset(self) -> None:
        """Begin an epoch; where it goes on, the counters stay as they are."""
        if not self._goes_on:
            super().reset()
            return
        # From here on nothing is special, so Lightning shall not look for what was left undone.
        self.restarting = False
        self.trainer.fit_loop._restarting = False  # its setter says True for ever where max_steps is set

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        """Leave out the batches of the epoch that were seen, whatever the sampler is."""
        super().on_run_start(data_fetcher)
        if self._goes_on:
            assert data_fetcher.iterator is not None
            for _ in range(self.batch_progress.current.completed):
                next(data_fetcher.iterator)
        self._goes_on = False

    @property
    def done(self) -> bool:
        """Whether the epoch has come to its end."""
        return not self._validates_first and super().done

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """Train one batch, unless the validation after the last one is still to be done."""
        if self._validates_first:
            self._validates_first = False
            return
        super().advance(data_fetcher)


def install(trainer: Trainer) -> None:
    """Put an `EpochLoop` in the place of the Trainer's own."""
    own = trainer.fit_loop.epoch_loop
    trainer.fit_loop.epoch_loop = EpochLoop(trainer, own.min_steps, own.max_steps)


def between_batches(checkpoint: dict[str, Any]) -> None:
    """Count only what is complete, so that a checkpoint says: so many epochs and so many batches, and nothing begun."""
    loops = checkpoint["loops"]["fit_loop"]
    validates = loops["epoch_loop.state_dict"]["validates"]
    epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    for counted in (epochs["total"], epochs["current"], batches["total"], batches["current"]):
        counted.update(dict.fromkeys(("ready", "started", "processed"), counted["completed"]))
    if validates:  # what it has done so far is forgotten
        validated = loops["epoch_loop.val_loop.batch_progress"]
        before = validated["total"]["completed"] - validated["current"]["completed"]
        validated["total"].update(dict.fromkeys(validated["total"], before))
        validated["current"].update(dict.fromkeys(validated["current"], 0))
    # Otherwise it is the coming batch that this was said of.
    batches["is_last_batch"] = batches["is_last_batch"] and validates
    # The epoch to which the last trained batch belongs.
    checkpoint["epoch"] = epochs["current"]["completed"] - (batches["current"]["completed"] == 0)
