"""torchmetrics' multi-class metrics by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torchmetrics.classification
from torchmetrics import Metric

from cnnexp.components import Catalog, Component
from cnnexp.errors import Path, Problem, reason

_FILLED = frozenset({"num_classes", "validate_args"})
METRICS = Catalog(
    "metric",
    {
        name: Component(name, getattr(torchmetrics.classification, name), skip=_FILLED)
        for name in torchmetrics.classification.__all__
        if name.startswith("Multiclass")
    },
)


class Mean(Metric):
    """The mean of batches' means over samples, also where processes have unequal numbers of them.

    Lightning's own mean is wrong there, and torchmetrics' MeanMetric, told to let NaN through, forgets the weights.
    """

    total: torch.Tensor
    samples: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("samples", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, mean: torch.Tensor, samples: int) -> None:
        """Add a batch: its mean, and of how many samples."""
        self.total = self.total + mean * samples
        self.samples = self.samples + samples

    def compute(self) -> torch.Tensor:
        """The mean of all."""
        return self.total / self.samples


def check(entries: Mapping[str, Any], classes: int) -> list[Problem]:
    """Every problem of the metrics of a task, tried on a few made-up scores."""
    problems = []
    for name, entry in entries.items():
        path: Path = ("task", "metrics", name)
        component, params, found = METRICS.parse(
            entry, path, f"task.metrics.{name}", optional=lambda c: ("num_classes",)
        )
        problems += found
        if component is not None and not found:
            problems += _tried(component, params, classes, path)
    return problems


def _tried(component: Component, params: Mapping[str, Any], classes: int, path: Path) -> list[Problem]:
    label = f"task.metrics.{path[-1]} {component.name}"
    try:
        metric = _made(component, params, classes)
        metric.update(torch.eye(classes), torch.arange(classes))
        value = metric.compute()
    except Exception as error:  # the library raises many types for parameters that it does not take
        return [Problem("refused-by-torchmetrics", path, f"{label}: torchmetrics refuses it: {reason(error)}")]
    if not isinstance(value, torch.Tensor) or value.dim() != 0:
        text = f"{label}: gives a table, and a metric here must be one number"
        return [Problem("not-a-number", path, text, "set average to micro, macro or weighted")]
    return []


def make(entries: Mapping[str, Any], classes: int, synced: bool = True) -> dict[str, Metric]:
    """The checked metrics of a task, by the name they are reported under.

    Arguments:
        entries: as in `task.metrics`.
        classes: the number of classes.
        synced: whether the processes of a distributed run compute them together.
    """
    made = {}
    for name, entry in entries.items():
        component, params, _ = METRICS.parse(entry, (), name)
        assert component is not None
        made[name] = _made(component, params, classes, synced)
    return made


def _made(component: Component, params: Mapping[str, Any], classes: int, synced: bool = True) -> Metric:
    known = {"num_classes": classes, "validate_args": False, "sync_on_compute": synced}
    metric: Metric = component.cls(**component.convert(params), **known)
    return metric
