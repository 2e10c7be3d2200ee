"""Losses, optimizers, schedulers and metrics as objects, from their checked entries in a config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn, optim

from cnnexp.components import Catalog, Component
from cnnexp.training.catalogs import LOSSES, OPTIMIZERS, SCHEDULER_KEYS, SCHEDULERS, TARGETS


def _entry(entry: Any, catalog: Catalog) -> tuple[Component, dict[str, Any]]:
    name = entry if isinstance(entry, str) else entry["type"]
    component = catalog.find(name)
    assert component is not None, name  # the check has refused it before
    params = {} if isinstance(entry, str) else {k: v for k, v in entry.items() if k not in ("type", *SCHEDULER_KEYS)}
    return component, component.convert(params)


class Loss(nn.Module):
    """A loss of torch.nn that takes class scores and the class, whatever form of target the loss itself wants.

    Arguments:
        entry: the checked `loss` entry of a config.
        classes: the number of classes.
    """

    def __init__(self, entry: Any, classes: int) -> None:
        super().__init__()
        component, params = _entry(entry, LOSSES)
        tensors = {
            k: torch.tensor(v, dtype=torch.float32)
            for k, v in params.items()
            if k in ("weight", "pos_weight") and v is not None
        }
        self.loss = component.cls(**{**params, **tensors})
        self.target = TARGETS.get(component.name, "vector")
        self.classes = classes

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The loss of (batch, classes) scores against (batch,) labels: one number."""
        if self.target == "index":
            return self.loss(scores, labels)  # type: ignore[no-any-return]
        if self.target == "padded":
            padded = torch.full_like(scores, -1, dtype=torch.int64)
            padded[:, 0] = labels
            return self.loss(scores, padded)  # type: ignore[no-any-return]
        vector = nn.functional.one_hot(labels, self.classes).to(scores.dtype)
        return self.loss(scores, vector * 2 - 1 if self.target == "signed" else vector)  # type: ignore[no-any-return]


def make_optimizer(entry: Any, parameters: Iterable[nn.Parameter]) -> optim.Optimizer:
    """The optimizer of a config over these parameters."""
    component, params = _entry(entry, OPTIMIZERS)
    made: optim.Optimizer = component.cls(list(parameters), **params)
    return made


def make_scheduler(
    entry: Mapping[str, Any], optimizer: optim.Optimizer, total_steps: int, monitor: str
) -> dict[str, Any]:
    """The scheduler of a config as Lightning takes it.

    Arguments:
        entry: the checked `scheduler` entry, with a type.
        optimizer: what it steers.
        total_steps: the length of the training, for schedulers that want it and were not told.
        monitor: the metric that a scheduler which watches one watches, where the entry names none.
    """
    return {
        "scheduler": _scheduler(entry, optimizer, total_steps),
        "interval": entry.get("interval", "epoch"),
        "frequency": entry.get("frequency", 1),
        "monitor": entry.get("monitor", monitor),
        "name": "learning_rate",
    }


def _scheduler(entry: Any, optimizer: optim.Optimizer, total_steps: int) -> Any:
    component, params = _entry(entry, SCHEDULERS)
    if "schedulers" in component.parameters:
        inner = [_scheduler(e, optimizer, total_steps) for e in entry["schedulers"] if e is not None]
        rest = {k: list(v) if isinstance(v, tuple) else v for k, v in params.items() if k != "schedulers"}
        by_name = {**rest, "schedulers": inner, "optimizer": optimizer}
        return component.cls(**by_name)
    sized = {"total_steps", "epochs", "steps_per_epoch"} & set(params)
    if "total_steps" in component.parameters and not sized:
        params["total_steps"] = total_steps
    return component.cls(optimizer, **{k: list(v) if isinstance(v, tuple) else v for k, v in params.items()})
