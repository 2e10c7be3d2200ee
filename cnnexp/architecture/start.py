"""How a network's weights begin: what the rules of `init` and `freeze` touch, looked at before anything is built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from cnnexp import weights as files
from cnnexp.architecture.fitting import times
from cnnexp.architecture.initialize import Init
from cnnexp.components import Component
from cnnexp.errors import Problem, did_you_mean, normalised

_FEW = 20
"""The most names that one message lists."""


@dataclass(frozen=True)
class Step:
    """What one rule of `init` does to a network.

    Arguments:
        rule: the rule.
        names: the weights that it touches, in the order in which it touches them.
        tensors: what is put into them, where they are loaded from a file.
        file: that file.
    """

    rule: Init
    names: tuple[str, ...]
    tensors: Mapping[str, Tensor] = field(default_factory=lambda: MappingProxyType({}))
    file: FilePath | None = None

    def apply(self, model: nn.Module) -> None:
        """Follow the rule."""
        for name in self.names:
            if self.rule.source is not None:
                with torch.no_grad():
                    model.state_dict(keep_vars=True)[name].copy_(self.tensors[name])
            else:
                component, params = self.rule.fills[name.rpartition(".")[2]]
                component.cls(model.get_parameter(name), **params)

    def as_dict(self) -> dict[str, Any]:
        """The rule and what it touches as plain data."""
        how = {"from": self.rule.source} if self.rule.source else {k: c.name for k, (c, _) in self.rule.fills.items()}
        return {"match": list(self.rule.match), **how, "weights": list(self.names)}


@dataclass(frozen=True)
class Start:
    """How a network's weights begin.

    Arguments:
        steps: the rules of `init` in order, with what they touch.
        frozen: the names of the weights that do not learn.
        freeze: the patterns of `freeze`, each with what it matches.
    """

    steps: tuple[Step, ...] = ()
    frozen: tuple[str, ...] = ()
    freeze: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def apply(self, model: nn.Module) -> None:
        """Set and freeze the weights of a freshly built network."""
        for step in self.steps:
            step.apply(model)
        for name in self.frozen:
            model.get_parameter(name).requires_grad_(False)

    def as_dict(self) -> dict[str, Any]:
        """Which rule touched which weights, as plain data; nothing where there are no rules."""
        init = {"init": [step.as_dict() for step in self.steps]} if self.steps else {}
        frozen = [{"match": pattern, "weights": list(names)} for pattern, names in self.freeze]
        return {**init, **({"freeze": frozen} if frozen else {})}


def start(
    rules: Sequence[Init], freeze: Sequence[str], model: nn.Module, blocks: Mapping[str, str]
) -> tuple[Start, list[Problem]]:
    """What rules do to a network, and every problem of rules that match nothing or do not work on what they match.

    Arguments:
        rules: the rules of `init`.
        freeze: the patterns of `freeze`.
        model: the network, on the meta device.
        blocks: the dotted names of the layers that are blocks, with the names of the blocks.
    """
    problems: list[Problem] = []
    steps = []
    for rule in rules:
        matched = [_matched(pattern, model, blocks) for pattern in rule.match]
        misses = [_no_match(p, rule.label, model, blocks) for p, m in zip(rule.match, matched, strict=True) if not m]
        problems += [Problem("no-match", (*rule.path, "match"), text) for text in misses]
        touched = {name for names in matched for name in names}
        layers = [name for name in _names(model) if name in touched]
        if not misses:
            step, found = _loaded(rule, layers, model) if rule.source is not None else _filled(rule, layers, model)
            problems += found
            steps += [] if found else [step]
    own = {name: name.rpartition(".")[0] for name, _ in model.named_parameters()}
    frozen = {}
    for index, pattern in enumerate(freeze):
        touched = set(_matched(pattern, model, blocks))
        frozen[pattern] = tuple(name for name, holder in own.items() if holder in touched or fnmatchcase(name, pattern))
        if not frozen[pattern]:
            text = f"freeze: no layer with weights matches '{pattern}'" if touched else None
            text = text or _no_match(pattern, "freeze", model, blocks)
            problems.append(Problem("no-match", ("freeze", index), text))
    every = {name for names in frozen.values() for name in names}
    return Start(tuple(steps), tuple(name for name in own if name in every), tuple(frozen.items())), problems


def _names(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_modules() if name]


def _matched(pattern: str, model: nn.Module, blocks: Mapping[str, str]) -> list[str]:
    """The dotted names of the layers that match, and of all that stand inside them."""
    modules = {name: module for name, module in model.named_modules() if name}
    roots = {name for name in modules if fnmatchcase(name, pattern)}
    if not roots:
        wanted = normalised(pattern)
        roots = {
            name
            for name, module in modules.items()
            if wanted in (normalised(type(module).__name__), normalised(blocks.get(name, "")))
        }
    parts = {name: name.split(".") for name in modules}
    return [name for name, at in parts.items() if any(".".join(at[: n + 1]) in roots for n in range(len(at)))]


def _no_match(pattern: str, label: str, model: nn.Module, blocks: Mapping[str, str]) -> str:
    types = {type(module).__name__ for name, module in model.named_modules() if name}
    near = did_you_mean(pattern, [*types, *blocks.values(), *_names(model)])
    return f"{label}: no layer matches '{pattern}'{near}"


def _filled(rule: Init, layers: Sequence[str], model: nn.Module) -> tuple[Step, list[Problem]]:
    """A rule that draws weights, tried on small stand-ins for them."""
    names: list[str] = []
    failed: dict[str, list[str]] = {}
    for layer in layers:
        own = dict(model.get_submodule(layer).named_parameters(recurse=False))
        for key, (component, params) in rule.fills.items():
            if key not in own:
                continue
            names.append(f"{layer}.{key}")
            shape = tuple(own[key].shape)
            if refusal := _refusal(component, params, shape):
                failed.setdefault(key, []).append(f"{layer}.{key} ({times(shape)}): {refusal}")
    problems = []
    for key, complaints in failed.items():
        more = f"; nor on {len(complaints) - 1} more" if len(complaints) > 1 else ""
        text = f"{rule.label} {key}: {rule.fills[key][0].name} does not work on {complaints[0]}{more}"
        problems.append(Problem("refused-by-torch", (*rule.path, key), text, "match the layers that it is meant for"))
    for key in rule.fills:
        if not any(name.rpartition(".")[2] == key for name in names):
            known = {p for x in layers for p, _ in model.get_submodule(x).named_parameters(recurse=False)}
            text = f"{rule.label}: no layer that matches has a weight '{key}'{did_you_mean(key, known)}"
            problems.append(Problem("no-match", (*rule.path, key), text))
    return Step(rule, tuple(names)), problems


def _refusal(component: Component, params: Mapping[str, Any], shape: tuple[int, ...]) -> str | None:
    """What torch says to an initialiser for weights of this shape, or None; torch's generator is left as it was.

    What it says depends on the first size and on how many there are, so that the others are kept small. On the meta
    device it would import its compiler.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            component.cls(torch.empty((*shape[:1], *(min(size, 2) for size in shape[1:]))), **params)
        except Exception as error:  # torch refuses in many ways; each is the config's problem
            return str(error).strip().split("\n")[0].rstrip(".")
    return None


def _loaded(rule: Init, layers: Sequence[str], model: nn.Module) -> tuple[Step, list[Problem]]:
    """A rule that loads weights: every name and shape that does not fit is a problem."""
    place = (*rule.path, "from")
    try:
        found = files.read(str(rule.source))
    except files.UnreadableWeights as error:
        return Step(rule, ()), [Problem("bad-weights", place, f"{rule.label}: {error}")]
    chosen = set(layers)
    own = {k: v for k, v in model.state_dict().items() if k.rpartition(".")[0] in chosen}
    if not own:
        text = f"{rule.label}: no layer that matches has weights"
        return Step(rule, ()), [Problem("no-match", (*rule.path, "match"), text)]
    if _wrapped(found) and not _wrapped(own):
        text = f"{rule.label}: every name in '{rule.source}' begins with 'module.', as torch's DataParallel writes them"
        return Step(rule, ()), [Problem("bad-weights", place, text, "save model.module.state_dict() in its place")]
    wrong = list(_differences(rule, own, found))
    problems = [Problem("bad-weights", place, f"{rule.label}: {text}") for text in wrong[:_FEW]]
    if len(wrong) > _FEW:
        problems.append(Problem("bad-weights", place, f"{rule.label}: {len(wrong) - _FEW} more weights do not fit"))
    names = tuple(name for name in own if name in found)
    return Step(rule, names, {name: found[name] for name in names}, files.file(str(rule.source))), problems


def _wrapped(names: Iterable[str]) -> bool:
    return all(name.startswith("module.") for name in names)


def _differences(rule: Init, own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Iterator[str]:
    free = [name for name in found if name not in own]
    for name, tensor in own.items():
        if name not in found:
            yield f"'{rule.source}' has no {name} ({times(tuple(tensor.shape))}){did_you_mean(name, free)}"
        elif found[name].shape != tensor.shape:
            shapes = [times(tuple(t.shape)) for t in (found[name], tensor)]
            yield f"{name} is {shapes[0]} in '{rule.source}', but {shapes[1]} in this network"
    for name in free:
        holder = name.rpartition(".")[0]
        if any(fnmatchcase(holder, p) or holder.startswith(f"{p}.") for p in rule.match):
            yield f"'{rule.source}' has {name}, which this network has not"
