"""Optimizers, schedulers and losses by name: everything that torch has, read from its real signatures."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import ModuleType

from torch import nn, optim

from cnnexp import kinds
from cnnexp.components import Catalog, Component
from cnnexp.kinds import Rule

_OPTIMIZER_RULES = {
    "lr": Rule(least=0),
    "momentum": Rule(least=0),
    "weight_decay": Rule(least=0),
    "eps": Rule(least=0),
    "betas": Rule(least=0, below=1),
}
_SCHEDULER_RULES = {
    **dict.fromkeys(("T_0", "T_mult", "step_size", "total_steps", "epochs", "steps_per_epoch"), Rule(least=1)),
    **dict.fromkeys(("total_iters", "milestones", "patience", "cooldown"), Rule(least=0)),
    "T_max": Rule(least=1),
    **dict.fromkeys(("step_size_up", "step_size_down"), Rule(above=0)),
    **dict.fromkeys(("max_lr", "base_lr", "min_lr", "eta_min"), Rule(least=0)),
}
_LOSS_RULES = {"reduction": Rule(choices=("mean", "sum")), "label_smoothing": Rule(least=0, most=1)}
_GIVEN_UP = frozenset({"size_average", "reduce"})  # torch only warns, and `reduce: false` gives one loss per sample
_REFUSED_OPTIMIZERS = {"SparseAdam": "it takes sparse gradients only, which no layer of a stack gives"}
SCHEDULER_KEYS = ("interval", "frequency", "monitor")
"""What Lightning wants to know beside the scheduler's own parameters."""


def _classes(module: ModuleType, base: type) -> dict[str, type]:
    members = {n: c for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, base)}
    return {n: c for n, c in sorted(members.items()) if c is not base and not n.startswith("_")}


def _optimizers() -> Catalog:
    entries = {
        name: Component(name, cls, skip=frozenset({"params"}), rules=_OPTIMIZER_RULES)
        for name, cls in _classes(optim, optim.Optimizer).items()
        if name not in _REFUSED_OPTIMIZERS
    }
    return Catalog("optimizer", entries, _REFUSED_OPTIMIZERS)


def _schedulers() -> Catalog:
    entries, refused = {}, {}
    for name, cls in _classes(optim.lr_scheduler, optim.lr_scheduler.LRScheduler).items():
        component = Component(name, cls, skip=frozenset({"optimizer", "last_epoch"}), rules=_SCHEDULER_RULES)
        nested = "schedulers" in component.parameters
        functions = [
            p.name for p in component.parameters.values() if p.required and not kinds.expressible(p.annotation)
        ]
        if functions and not nested:
            refused[name] = f"its parameter '{functions[0]}' is a function, which YAML cannot hold"
        else:
            entries[name] = component
    return Catalog("scheduler", entries, refused)


_METHODS = ("forward", "__init__")


def _losses() -> Catalog:
    entries: dict[str, Component] = {}
    refused: dict[str, str] = {}
    for name, cls in ((n, c) for n, c in _classes(nn, nn.Module).items() if "Loss" in n):
        forward, constructor = (inspect.signature(vars(cls)[m]) if m in vars(cls) else None for m in _METHODS)
        inputs = list(forward.parameters)[1:] if forward else []
        if constructor and "in_features" in constructor.parameters:
            refused[name] = "it has a linear layer of its own; end the network in Linear and use CrossEntropyLoss"
        elif len(inputs) != 2:
            refused[name] = f"it takes {len(inputs)} inputs ({', '.join(inputs)}), not an output and a target"
        else:
            entries[name] = Component(name, cls, skip=_GIVEN_UP, rules=_LOSS_RULES)
    return Catalog("loss", entries, refused)


OPTIMIZERS: Catalog = _optimizers()
SCHEDULERS: Catalog = _schedulers()
LOSSES: Catalog = _losses()

TARGETS: Mapping[str, str] = {
    "CrossEntropyLoss": "index",
    "NLLLoss": "index",
    "MultiMarginLoss": "index",
    "MultiLabelMarginLoss": "padded",
    "HingeEmbeddingLoss": "signed",
    "SoftMarginLoss": "signed",
}
"""How a loss wants the class of a sample: its index, or (all others) a vector with 1 at the class and 0 elsewhere;
`signed` has -1 for the 0, `padded` has the index followed by -1."""
