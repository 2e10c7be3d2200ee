"""The loss and the metrics of the epoch that is going on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

_PENDING = 64


class Gathered:
    """Gathers batches, and measures them many at a time: nothing waits for the device in between.

    Which batches are measured together depends on their number alone, since sums depend on it.

    Arguments:
        measures: the metrics, by name.
    """

    def __init__(self, measures: Mapping[str, Metric]) -> None:
        self._measures = dict(measures)
        self._pending: list[tuple[Tensor, Tensor]] = []
        self._loss_sum, self._seen = torch.zeros(()), 0

    def add(self, scores: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Gather one batch and its mean loss."""
        self._loss_sum = self._loss_sum.to(loss.device) + loss * len(labels)
        self._seen += len(labels)
        self._pending.append((scores, labels))
        if len(self._pending) >= _PENDING:
            _measure(self._measures, self._pending)
            self._pending.clear()

    def so_far(self) -> dict[str, Tensor]:
        """Loss and metrics so far, by name; nothing before the first batch."""
        if not self._seen:
            return {}
        # Copies: whoever looks now and then must not change what is measured together.
        copies = {name: metric.clone() for name, metric in self._measures.items()}
        _measure(copies, self._pending)
        return {"loss": self._loss_sum / self._seen, **{name: m.compute() for name, m in copies.items()}}

    def finished(self) -> dict[str, Tensor]:
        """Loss and metrics of the whole epoch, by name; the next one begins."""
        _measure(self._measures, self._pending)
        found = {"loss": self._loss_sum / max(self._seen, 1)}
        for name, metric in self._measures.items():
            found[name] = metric.compute()
            metric.reset()
        self._pending.clear()
        self._loss_sum, self._seen = torch.zeros_like(self._loss_sum), 0
        return found

    def state_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "loss_sum": self._loss_sum,
            "seen": self._seen,
            "pending": list(self._pending),
            "metrics": {name: (m.metric_state, m.update_count) for name, m in self._measures.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._loss_sum, self._seen = state["loss_sum"], state["seen"]
        self._pending = list(state["pending"])
        for name, (values, count) in state["metrics"].items():
            metric = self._measures[name]
            for key, value in values.items():
                setattr(metric, key, value)
            metric._update_count = count


def _measure(measures: Mapping[str, Metric], batches: list[tuple[Tensor, Tensor]]) -> None:
    if not batches:
        return
    device = batches[-1][0].device  # those of a checkpoint are still where it was read to
    scores, labels = (torch.cat([part.to(device) for part in parts]) for parts in zip(*batches, strict=True))
    for metric in measures.values():
        metric.update(scores, labels)
