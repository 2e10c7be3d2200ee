"""Do the optimizer, the scheduler and the loss exist, take these parameters and fit the network? Without Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import optim

from cnnexp.architecture.fitting import times
from cnnexp.architecture.plan import Plan
from cnnexp.components import Component
from cnnexp.errors import Path, Problem, did_you_mean, reason
from cnnexp.training.catalogs import LOSSES, OPTIMIZERS, SCHEDULER_KEYS, SCHEDULERS
from cnnexp.training.components import Loss, make_scheduler

_PLAIN = ("Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "SGD")
_COVERED = ("lr", "betas", "eps", "momentum", "weight_decay")
"""Optimizers, and their parameters, of which our own value rules check all that torch would.

Constructing one makes torch import its compiler, which takes longer than everything else in `check`.
"""


def check(config: Mapping[str, Any], plan: Plan | None) -> list[Problem]:
    """Every problem of a config's optimizer, scheduler and loss, and of the network's output against the task.

    Arguments:
        config: the plain config.
        plan: the whole network, or None when it could not be planned.
    """
    if config["task"].get("type") == "none":
        return []
    problems = [
        *_loss(config["loss"], config["data"].get("num_classes")),
        *_optimizer(config["optimizer"], plan),
        *_scheduler(config["scheduler"]),
    ]
    problems += _monitor(config)
    return problems if plan is None else [*problems, *_output(config, plan)]


def _loss(entry: Any, classes: Any) -> list[Problem]:
    component, params, problems = LOSSES.parse(entry, ("loss",), "loss")
    weight = params.get("weight")
    if component is not None and weight is not None and not problems and not all(w >= 0 for w in weight):
        problems.append(Problem("bad-value", ("loss", "weight"), "loss: weight must not hold negative numbers"))
    if component is not None and not problems and isinstance(classes, int):
        problems += _called(entry, params, classes, component.name)
    return problems


def _called(entry: Any, params: Mapping[str, Any], classes: int, name: str) -> list[Problem]:
    """The problem that the loss itself has with these values, found by calling it on a few made-up scores."""
    if len(params.get("weight") or [0] * classes) != classes:
        return []  # told with the network's output
    try:
        Loss(entry, classes)(torch.full((2, classes), 0.5), torch.arange(2) % classes)
    except (ValueError, TypeError, RuntimeError, IndexError) as error:
        said = reason(error)
        named = next((p for p in params if p in said), next(iter(params), None))
        place = ("loss", named) if named else ("loss",)
        return [Problem("refused-by-torch", place, f"loss {name}: torch refuses it: {said}")]
    return []


def _monitor(config: Mapping[str, Any]) -> list[Problem]:
    entry, task = config["scheduler"], config["task"]
    monitor = entry.get("monitor") if isinstance(entry, Mapping) else None
    if monitor is None or not isinstance(task.get("metrics"), Mapping):
        return []
    names = [f"{s}_{m}" for s in ("val", "train") for m in ("loss", *task["metrics"])]
    if monitor in names:
        return []
    text = f"scheduler: monitor '{monitor}' is not measured{did_you_mean(str(monitor), names)}"
    return [Problem("unknown-metric", ("scheduler", "monitor"), text, f"measured are {', '.join(names)}")]


def _optimizer(entry: Any, plan: Plan | None) -> list[Problem]:
    component, params, problems = OPTIMIZERS.parse(entry, ("optimizer",), "optimizer")
    if component is None or problems:
        return problems
    weights = _weights(plan)
    if not weights:
        text = "optimizer: the network has nothing to learn: no layer has parameters"
        return [Problem("nothing-to-learn", ("model", "layers"), text)]
    if component.name in _PLAIN and all(k in _COVERED or v is False for k, v in params.items()):
        return []
    return _constructed(component, (weights,), params, ("optimizer",), f"optimizer {component.name}")


def _weights(plan: Plan | None) -> list[torch.nn.Parameter]:
    if plan is None:
        return [torch.nn.Parameter(torch.zeros(2, 2))]
    with torch.device("meta"):
        return list(plan.build().parameters())


def _scheduler(entry: Any, path: Path = ("scheduler",), label: str = "scheduler") -> list[Problem]:
    if entry is None or (isinstance(entry, Mapping) and entry.get("type") is None and set(entry) <= {"type"}):
        return []
    inner = entry.get("schedulers") if isinstance(entry, Mapping) else None
    component, params, problems = SCHEDULERS.parse(
        entry,
        path,
        label,
        extra=("schedulers",) if len(path) > 1 else (*SCHEDULER_KEYS, "schedulers"),
        optional=_given_elsewhere,
    )
    if isinstance(entry, Mapping):
        problems += _timing(entry, path, label)
    if component is not None and "schedulers" in component.parameters:
        if not isinstance(inner, (list, tuple)) or not inner:
            problems.append(Problem("missing-parameter", path, f"{label} {component.name}: needs a list 'schedulers'"))
        else:
            for i, one in enumerate(inner):
                problems += _scheduler(one, (*path, "schedulers", i), f"{label}.schedulers[{i}]")
            if not problems and len(path) == 1:
                problems += _together(entry, path, f"{label} {component.name}")
    elif component is not None and inner is not None:
        text = f"{label} {component.name}: unknown parameter 'schedulers'"
        problems.append(Problem("unknown-parameter", (*path, "schedulers"), text))
    elif component is not None and not problems:
        full = {**_stand_ins(component, params), **params}
        sgd = optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
        problems += _constructed(component, (sgd,), full, path, f"{label} {component.name}")
    return problems


def _together(entry: Any, path: Path, label: str) -> list[Problem]:
    """The problem that torch has with schedulers, each sound, when they are put together."""
    sgd = optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    try:
        make_scheduler(entry, sgd, 10, "")
    except (ValueError, TypeError, RuntimeError) as error:
        return [Problem("refused-by-torch", path, f"{label}: torch refuses it: {reason(error)}")]
    return []


def _given_elsewhere(component: Component) -> tuple[str, ...]:
    return ("schedulers",) if "schedulers" in component.parameters else ()


def _stand_ins(component: Component, params: Mapping[str, Any]) -> dict[str, Any]:
    """What the training itself fills in later: the length of a OneCycleLR."""
    sized = {"total_steps", "epochs", "steps_per_epoch"} & set(params)
    return {"total_steps": 10} if "total_steps" in component.parameters and not sized else {}


def _timing(entry: Mapping[str, Any], path: Path, label: str) -> list[Problem]:
    problems = []
    if entry.get("interval", "epoch") not in ("epoch", "step"):
        text = f"{label}: interval must be epoch or step, not {entry['interval']!r}"
        problems.append(Problem("bad-value", (*path, "interval"), text))
    frequency = entry.get("frequency", 1)
    if not isinstance(frequency, int) or isinstance(frequency, bool) or frequency < 1:
        text = f"{label}: frequency must be a whole number of at least 1, not {frequency!r}"
        problems.append(Problem("bad-value", (*path, "frequency"), text))
    return problems


def _constructed(
    component: Component, first: tuple[Any, ...], params: Mapping[str, Any], path: Path, label: str
) -> list[Problem]:
    """The problem that the class itself has with these values, found by constructing it on nothing."""
    try:
        component.cls(*first, **component.convert(params))
    except (ValueError, TypeError, RuntimeError, AssertionError) as error:
        said = reason(error)
        named = next((p for p in params if p in said), None)
        place = (*path, named) if named else path
        return [Problem("refused-by-torch", place, f"{label}: torch refuses it: {said}")]
    return []


def _output(config: Mapping[str, Any], plan: Plan) -> list[Problem]:
    """The problem of a network whose last layer does not give one score for each class."""
    if config["task"].get("type") != "classification":
        return []
    classes, shape = config["data"].get("num_classes"), plan.output_shape
    if not isinstance(classes, int) or shape == (classes,):
        weight = config["loss"].get("weight") if isinstance(config["loss"], Mapping) else None
        if isinstance(weight, (list, tuple)) and isinstance(classes, int) and len(weight) != classes:
            text = f"loss: weight has {len(weight)} numbers for {classes} classes"
            return [Problem("wrong-size", ("loss", "weight"), text)]
        return []
    last = plan.layers[-1]
    wide = [x for x in plan.layers if "out_features" in x.params]
    if len(shape) == 1 and wide:
        last = wide[-1]
        path: Path = ("model", *last.path, "out_features")
        must = f"out_features (={shape[0]}) must be {classes}"
        text = f"{last.label}: {must}, the number of classes of data '{config['data']['name']}'"
        return [Problem("wrong-classes", path, text, 'write out_features: "${data.num_classes}"')]
    gives = f"the network gives {times(shape)} for each sample"
    text = f"{last.label}: {gives}, but data '{config['data']['name']}' has {classes} classes"
    hint = f"end in Flatten and a Linear with out_features {classes}; or set task=none to look at the network only"
    return [Problem("wrong-classes", ("model", *last.path), text, hint)]
