"""Do the optimizer, the scheduler and the loss exist, take these parameters and fit the network? Without Lightning."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

from cnnexp import kinds
from cnnexp.architecture.fitting import times
from cnnexp.architecture.plan import Plan
from cnnexp.components import Component
from cnnexp.errors import Path, Problem, did_you_mean, reason
from cnnexp.training.catalogs import LOSSES, OPTIMIZERS, SCHEDULER_KEYS, SCHEDULERS
from cnnexp.training.components import Loss, make_optimizer, make_scheduler

_PLAIN = ("Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "SGD")
_COVERED = ("lr", "betas", "eps", "momentum", "weight_decay")
"""Optimizers, and their parameters, of which our own value rules check all that torch would.

Constructing one makes torch import its compiler, which takes longer than everything else in `check`.
"""
_REFUSALS = (ValueError, TypeError, RuntimeError, AssertionError, AttributeError, LookupError, ArithmeticError)
_FEW = 1000
"""The most classes for which made-up scores are held in memory."""


def check(config: Mapping[str, Any], plan: Plan | None) -> list[Problem]:
    """Every problem of a config's optimizer, scheduler and loss, and of the network's output against the task.

    Arguments:
        config: the plain config.
        plan: the whole network, or None when it could not be planned.
    """
    if config["task"].get("type") == "none":
        return []
    problems = [
        *_loss(config["loss"], _classes(config)),
        *(refused := _optimizer(config["optimizer"], plan)),
        *_scheduler(config["scheduler"], _STAND_IN if refused else config["optimizer"]),
        *_monitor(config),
    ]
    return problems if plan is None else [*problems, *_output(config, plan)]


_STAND_IN = {"type": "SGD", "lr": 0.1, "momentum": 0.9}
"""What a scheduler is tried on where the optimizer itself is at fault."""


def _classes(config: Mapping[str, Any]) -> int | None:
    """The number of classes; None where it is no such number, which the check of the settings tells."""
    classes = config["data"].get("num_classes")
    return classes if isinstance(classes, int) and not isinstance(classes, bool) and classes > 0 else None


def _loss(entry: Any, classes: int | None) -> list[Problem]:
    component, params, problems = LOSSES.parse(entry, ("loss",), "loss")
    weight = params.get("weight")
    if weight is not None and not problems and any(not isinstance(w, list) and w < 0 for w in weight):
        problems.append(Problem("bad-value", ("loss", "weight"), "loss: weight must not hold negative numbers"))
    if component is not None and not problems and classes is not None:
        problems += _called(entry, params, classes, component.name)
    return problems


def _called(entry: Any, params: Mapping[str, Any], classes: int, name: str) -> list[Problem]:
    """The problem that the loss itself has with these values, found by calling it on a few made-up scores."""
    if len(params.get("weight") or [0] * classes) != classes:
        return []  # told with the network's output
    weighed = any(params.get(key) is not None for key in ("weight", "pos_weight"))
    few = classes if weighed else min(classes, _FEW)

    def call() -> None:
        Loss(entry, few)(torch.full((2, few), 0.5), torch.arange(2) % few)

    return _tried(call, params, ("loss",), f"loss {name}", next(iter(params), None))


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
    if not _learns(plan):
        frozen = plan is not None and plan.totals.parameters > 0
        state = "freeze matches every weight" if frozen else "no layer has parameters"
        place = ("model", "freeze") if frozen else ("model", "layers")
        return [Problem("nothing-to-learn", place, f"optimizer: the network has nothing to learn: {state}")]
    if component.name in _PLAIN and all(k in _COVERED or v in (None, False) for k, v in params.items()):
        return []
    label = f"optimizer {component.name}"
    weights = _weights(plan)
    return _tried(lambda: component.cls(weights, **component.convert(params)), params, ("optimizer",), label)


def _learns(plan: Plan | None) -> bool:
    """Whether a network has weights that are not frozen; a plan says how many weights there are, not which."""
    return plan is None or bool(_weights(plan) if plan.start.frozen else plan.totals.parameters)


def _weights(plan: Plan | None) -> list[torch.nn.Parameter]:
    if plan is None:
        return [torch.nn.Parameter(torch.zeros(2, 2))]
    with torch.device("meta"):
        weights = plan.structure().named_parameters()
    return [weight for name, weight in weights if name not in plan.start.frozen]


def _scheduler(entry: Any, optimizer: Any, path: Path = ("scheduler",), label: str = "scheduler") -> list[Problem]:
    if entry is None or (isinstance(entry, Mapping) and entry.get("type") is None and set(entry) <= {"type"}):
        return []
    component, params, problems = SCHEDULERS.parse(
        entry,
        path,
        label,
        extra=("schedulers",) if len(path) > 1 else (*SCHEDULER_KEYS, "schedulers"),
        optional=_given_elsewhere,
    )
    if isinstance(entry, Mapping) and len(path) == 1:
        problems += _timing(entry, path, label)
    if component is None:
        return problems
    whole = {"type": entry} if isinstance(entry, str) else entry
    problems += _inner(component, whole, optimizer, path, label)
    if problems:
        return problems
    place = path if isinstance(entry, str) else (*path, "type")
    named = {key: value for key, value in whole.items() if key in params or key == "schedulers"}
    return _tried(lambda: _made(whole, optimizer), named, path, f"{label} {component.name}", place=place)


def _inner(component: Component, entry: Mapping[str, Any], optimizer: Any, path: Path, label: str) -> list[Problem]:
    """The problems of the schedulers inside a scheduler, and of their number."""
    inner, place, full = entry.get("schedulers"), (*path, "schedulers"), f"{label} {component.name}"
    if "schedulers" not in component.parameters:
        text = f"{full}: unknown parameter 'schedulers'"
        return [] if inner is None else [Problem("unknown-parameter", place, text)]
    if not isinstance(inner, (list, tuple)) or not any(one is not None for one in inner):
        text = f"{full}: needs a list 'schedulers'"
        return [Problem("missing-parameter", place if "schedulers" in entry else path, text)]
    problems = [
        x for i, one in enumerate(inner) for x in _scheduler(one, optimizer, (*place, i), f"{label}.schedulers[{i}]")
    ]
    wanted, milestones = sum(one is not None for one in inner) - 1, entry.get("milestones")
    if isinstance(milestones, (list, tuple)) and len(milestones) != wanted:
        must = f"must hold {wanted} number{'s' * (wanted != 1)}, one less than there are schedulers"
        text = f"{full}: milestones {must}, not {len(milestones)}"
        problems.append(Problem("wrong-size", (*path, "milestones"), text))
    return problems


def _made(entry: Mapping[str, Any], optimizer: Any) -> None:
    """Construct a scheduler on the optimizer that it will steer, over made-up weights."""
    weights = [torch.nn.Parameter(torch.zeros(2, 2))]
    make_scheduler(entry, make_optimizer(optimizer, weights), 10, "")


def _given_elsewhere(component: Component) -> tuple[str, ...]:
    return ("schedulers",) if "schedulers" in component.parameters else ()


def _timing(entry: Mapping[str, Any], path: Path, label: str) -> list[Problem]:
    problems = []
    if entry.get("interval", "epoch") not in ("epoch", "step"):
        text = f"{label}: interval must be epoch or step, not {kinds.shown(entry['interval'])}"
        problems.append(Problem("bad-value", (*path, "interval"), text))
    frequency = entry.get("frequency", 1)
    if not isinstance(frequency, int) or isinstance(frequency, bool) or frequency < 1:
        text = f"{label}: frequency must be a whole number of at least 1, not {kinds.shown(frequency)}"
        problems.append(Problem("bad-value", (*path, "frequency"), text))
    return problems


def _tried(
    call: Callable[[], object],
    params: Mapping[str, Any],
    path: Path,
    label: str,
    otherwise: str | None = None,
    place: Path | None = None,
) -> list[Problem]:
    """The problem that torch itself has with these values, found by trying them.

    Arguments:
        call: tries them.
        params: the parameters that torch may name.
        path: the key path of the component.
        label: how messages name it.
        otherwise: the parameter to point at when torch names none.
        place: the key path to point at when there is no such parameter either; `path` without one.
    """
    try:
        call()
    except _REFUSALS as error:
        said = reason(error)
        named = _named(said, params) or otherwise
        at = (*path, named) if named else place or path
        return [Problem("refused-by-torch", at, f"{label}: torch refuses it: {said}")]
    return []


def _named(said: str, params: Mapping[str, Any]) -> str | None:
    """The parameter that a sentence of torch is about: the first that it names, in full or by the words of its name."""
    return _first(said, {p: [rf"\b{re.escape(p)}\b"] for p in params}) or _first(
        said, {p: [rf"\b{re.escape(word)}" for word in p.split("_")] for p in params if len(p) > 2}
    )


def _first(said: str, patterns: Mapping[str, list[str]]) -> str | None:
    """The name all of whose patterns are in a sentence, and earliest."""
    places = {}
    for name, wanted in patterns.items():
        hits = [re.search(pattern, said, re.IGNORECASE) for pattern in wanted]
        if all(hits):
            places[name] = min(hit.start() for hit in hits if hit)
    return min(places, key=lambda name: places[name], default=None)


def _output(config: Mapping[str, Any], plan: Plan) -> list[Problem]:
    """The problem of a network whose last layer does not give one score for each class."""
    if config["task"].get("type") != "classification":
        return []
    classes, shape = _classes(config), plan.output_shape
    if classes is None or shape == (classes,):
        weight = config["loss"].get("weight") if isinstance(config["loss"], Mapping) else None
        if isinstance(weight, (list, tuple)) and classes is not None and len(weight) != classes:
            text = f"loss: weight has {len(weight)} numbers for {classes} classes"
            return [Problem("wrong-size", ("loss", "weight"), text)]
        return []
    last = plan.layers[-1]
    wide = [x for _, _, x in plan.walk() if "out_features" in x.params]
    if len(shape) == 1 and wide:
        last = wide[-1]
        path: Path = ("model", *last.path, "out_features")
        must = f"out_features (={shape[0]}) must be {classes}"
        text = f"{last.label}: {must}, the number of classes of data '{config['data'].get('name')}'"
        return [Problem("wrong-classes", path, text, 'write out_features: "${data.num_classes}"')]
    gives = f"the network gives {times(shape)} for each sample"
    text = f"{last.label}: {gives}, but data '{config['data'].get('name')}' has {classes} classes"
    hint = f"end in Flatten and a Linear with out_features {classes}; or set task=none to look at the network only"
    return [Problem("wrong-classes", ("model", *last.path), text, hint)]
