"""The LightningModule for one class per sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torchmetrics import Metric

from cnnexp.training import metrics
from cnnexp.training.components import Loss, make_optimizer, make_scheduler
from cnnexp.training.finite import FiniteWatch, first_not_finite

Batch = tuple[Tensor, Tensor]
_PENDING = 64


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
        self.measures = nn.ModuleDict(
            {stage: nn.ModuleDict(dict(metrics.make(config["task"]["metrics"], classes))) for stage in _STAGES}
        )
        for metric in _of(self.measures, "train").values():
            metric.sync_on_compute = False  # the progress bar of one process asks for it
        self._config, self._watch, self._after_epoch = config, watch, after_epoch
        if compiled:
            model.compile()
        self._pending: list[Batch] = []
        self._loss_sum, self._seen = torch.zeros(()), 0

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
        self._loss_sum = self._loss_sum.to(loss.device) + loss.detach() * len(labels)
        self._seen += len(labels)
        self._pending.append((scores.detach(), labels))
        if len(self._pending) >= _PENDING:
            self._measure()
        return loss

    def _measure(self) -> None:
        if not self._pending:
            return
        scores, labels = (torch.cat(parts) for parts in zip(*self._pending, strict=True))
        self._pending.clear()
        for metric in _of(self.measures, "train").values():
            metric.update(scores, labels)

    def running(self) -> dict[str, float]:
        """Loss and metrics of the epoch so far; makes the device wait, so ask for it now and then only."""
        if not self._seen:
            return {}
        self._measure()
        values = {f"train_{name}": float(metric.compute()) for name, metric in _of(self.measures, "train").items()}
        return {"train_loss": float(self._loss_sum) / self._seen, **values}

    def on_train_epoch_end(self) -> None:
        """Log the loss and the metrics of the epoch."""
        self._measure()
        mean = self._loss_sum / max(self._seen, 1)
        self.log("train_loss", mean, sync_dist=True)
        for name, metric in _of(self.measures, "train").items():
            self.log(f"train_{name}", metric.compute(), sync_dist=True)
            metric.reset()
        self._loss_sum, self._seen = torch.zeros_like(self._loss_sum), 0
        # Lightning calls the callbacks' hook of this name before this one, when the values are not there yet.
        self._after_epoch(self.trainer)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a batch that was held out."""
        self._evaluate("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a batch of the test set."""
        self._evaluate("test", batch)

    def _evaluate(self, stage: str, batch: Batch) -> None:
        images, labels = batch
        scores = self(images)
        size = len(labels)
        self.log(
            f"{stage}_loss", self.loss(scores, labels), batch_size=size, on_epoch=True, on_step=False, sync_dist=True
        )
        for name, metric in _of(self.measures, stage).items():
            metric.update(scores, labels)
            self.log(f"{stage}_{name}", metric, batch_size=size, on_epoch=True, on_step=False)


_STAGES = ("at_train", "at_val", "at_test")  # `train` is a method of every module and cannot be a key


def _of(measures: nn.ModuleDict, stage: str) -> dict[str, Metric]:

    group = measures[f"at_{stage}"]
    assert isinstance(group, nn.ModuleDict)
    return {name: metric for name, metric in group.items() if isinstance(metric, Metric)}
