"""The LightningModule for one class per sample."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import Metric

from cnnexp.data.module import counted
from cnnexp.errors import RunError
from cnnexp.training import metrics
from cnnexp.training.components import Loss, make_optimizer, make_scheduler
from cnnexp.training.finite import FiniteWatch, first_not_finite
from cnnexp.training.gathered import Gathered

Batch = tuple[Tensor, Tensor]


class Classification(LightningModule):
    """Trains class scores; measures loss and metrics on train, val and test.

    Arguments:
        model: the network; it gives (batch, classes) scores.
        config: the plain config.
        watch: looks at every training loss.
        compiled: whether the network is compiled with torch.compile.
        after_epoch: called with the trainer when the metrics of an epoch are all there.
    """

    def __init__(
        self,
        model: nn.Sequential,
        config: Mapping[str, Any],
        watch: FiniteWatch,
        compiled: bool = False,
        after_epoch: Callable[[Trainer], None] = lambda trainer: None,
    ) -> None:
        super().__init__()
        classes = config["data"]["num_classes"]
        self.model = model
        self.loss = Loss(config["loss"], classes)
        # One process alone asks how far the training metrics are, so they may not wait for the others.
        made = {stage: metrics.make(config["task"]["metrics"], classes, stage != "at_train") for stage in _STAGES}
        self.measures = nn.ModuleDict({stage: nn.ModuleDict(dict(group)) for stage, group in made.items()})
        self.losses = nn.ModuleDict({stage: metrics.Mean() for stage in _HELD_OUT})
        self._config, self._watch, self._after_epoch = config, watch, after_epoch
        if compiled:
            model.compile()
        self._epoch = Gathered(_of(self.measures, "train"))

    def forward(self, images: Tensor) -> Tensor:
        """(batch, classes) scores of (batch, *sample shape) samples."""
        scores: Tensor = self.model(images)
        return scores

    def configure_optimizers(self) -> Any:
        """The config's optimizer over all weights that are not frozen, and its scheduler."""
        optimizer = make_optimizer(self._config["optimizer"], (p for p in self.model.parameters() if p.requires_grad))
        entry = self._config["scheduler"]
        if not isinstance(entry, str) and (entry is None or entry.get("type") is None):
            return {"optimizer": optimizer}
        entry = {"type": entry} if isinstance(entry, str) else entry
        total = int(self.trainer.estimated_stepping_batches)
        scheduler = make_scheduler(entry, optimizer, total, self._config["task"]["monitor"])
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch; metrics are gathered and measured many batches at a time, off the hot path."""
        images, labels = batch
        scores = self(images)
        loss: Tensor = self.loss(scores, labels)
        self._watch.see(loss, self.global_step, lambda: first_not_finite(self.model, images))
        self._epoch.add(scores.detach(), labels, loss.detach())
        return loss

    def running(self) -> dict[str, float]:
        """Loss and metrics of the epoch so far; makes the device wait, so ask for it now and then only."""
        return {f"train_{name}": float(value) for name, value in self._epoch.so_far().items()}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Draw random numbers that belong to this batch, however the process got here."""
        self._seed("train", batch_idx)

    def on_validation_batch_start(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """See `on_train_batch_start`: a layer may draw in a validation as well."""
        self._seed("val", batch_idx)

    def on_test_batch_start(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """See `on_validation_batch_start`."""
        self._seed("test", batch_idx)

    def _seed(self, stage: str, batch_idx: int) -> None:
        where = (self._config["seed"], stage, self.current_epoch, batch_idx, self.global_rank)
        number = int.from_bytes(hashlib.blake2b(repr(where).encode(), digest_size=7).digest())
        # torch.manual_seed looks at the stack for every kind of device, which takes half as long as a small step.
        torch.default_generator.manual_seed(number)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(number)
        elif self.device.type == "mps":
            torch.mps.manual_seed(number)

    def on_train_epoch_end(self) -> None:
        """Log the loss and the metrics of the epoch."""
        for name, value in self._epoch.finished().items():
            self.log(f"train_{name}", value, sync_dist=True)
        # Lightning calls the callbacks' hook of this name before this one, when the values are not there yet.
        self._after_epoch(self.trainer)

    def gathered(self) -> list[Any]:
        """What each process has gathered of the epoch, as plain data; every process must call this."""
        states: list[Any] = [self._epoch.state_dict()]
        if self.trainer.world_size > 1:
            mine, states = states[0], [None] * self.trainer.world_size
            torch.distributed.all_gather_object(states, mine)
        return states

    def take(self, states: Sequence[Any]) -> None:
        """Go on with what was `gathered`.

        Raises:
            RunError: it was gathered by another number of processes.
        """
        then, now = len(states), self.trainer.world_size
        if then != now:
            raise RunError(f"the run was trained by {then} processes and cannot go on with {now}; see trainer.devices")
        self._epoch.load_state_dict(states[self.global_rank])

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Measure a batch that was held out; its scores."""
        return self._evaluate("val", batch, batch_idx, self.trainer.val_dataloaders)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Measure a batch of the test set; its scores."""
        return self._evaluate("test", batch, batch_idx, self.trainer.test_dataloaders)

    def _evaluate(self, stage: str, batch: Batch, batch_idx: int, loader: DataLoader[Batch] | None) -> Tensor:
        images, labels = batch
        scores: Tensor = self(images)
        assert loader is not None
        assert loader.batch_size is not None
        kept = min(max(counted(loader) - batch_idx * loader.batch_size, 0), len(labels))
        mean, measures = self.losses[f"at_{stage}"], _of(self.measures, stage)
        assert isinstance(mean, metrics.Mean)
        if kept:
            mean.update(self.loss(scores[:kept], labels[:kept]), kept)
            for metric in measures.values():
                metric.update(scores[:kept], labels[:kept])
        for name, metric in {"loss": mean, **measures}.items():
            self.log(f"{stage}_{name}", metric, batch_size=kept, on_epoch=True, on_step=False)
        return scores


_HELD_OUT = ("at_val", "at_test")
_STAGES = ("at_train", *_HELD_OUT)  # `train` is a method of every module and cannot be a key


def _of(measures: nn.ModuleDict, stage: str) -> dict[str, Metric]:

    group = measures[f"at_{stage}"]
    assert isinstance(group, nn.ModuleDict)
    return {name: metric for name, metric in group.items() if isinstance(metric, Metric)}
