"""Rules that set the first values of weights and that freeze them.

    init:
      - {match: Conv2d, weight: {type: kaiming_normal_, mode: fan_out}, bias: zeros_}
      - {match: "features*", from: outputs/runs/RUN}
    freeze: ["features*"]

A pattern is a layer type, the name of a block, or the dotted name of a layer with `*` for any text; what stands inside
a layer that matches, matches too. Rules are followed in order, the last word counts.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import nn

from cnnexp import kinds
from cnnexp.components import Catalog, Component
from cnnexp.errors import Path, Problem
from cnnexp.kinds import Rule as Range


def _initialisers() -> Catalog:
    entries = {
        name: Component(
            name,
            function,
            frozenset({"generator"}),
            {
                "std": Range(above=0) if name == "trunc_normal_" else Range(least=0),
                "sparsity": Range(least=0, most=1),
                "groups": Range(least=1),
            },
        )
        for name, function in inspect.getmembers(nn.init, inspect.isfunction)
        if name.endswith("_") and not name.startswith("_")
    }
    return Catalog("initialiser", MappingProxyType(entries))


INITIALISERS = _initialisers()
"""The functions of torch.nn.init that fill a tensor."""


@dataclass(frozen=True)
class Init:
    """One rule of `init` as it was written.

    Arguments:
        match: the patterns, one of which a layer must match.
        fills: the initialiser and its parameters, by the name of the weight that it fills.
        source: the file or the run that weights are loaded from; None where they are drawn.
        path: the key path of the rule.
    """

    match: tuple[str, ...]
    fills: Mapping[str, tuple[Component, Mapping[str, Any]]]
    source: str | None
    path: Path

    @property
    def label(self) -> str:
        return f"init[{self.path[-1]}]"


def parse_init(value: Any) -> tuple[tuple[Init, ...], list[Problem]]:
    """The rules under the key `init`, and all problems of how they are written."""
    if value is None:
        return (), []
    if not isinstance(value, (list, tuple)):
        text = f"'init' must be a list of rules, not {kinds.shown(value)}"
        return (), [Problem("not-a-list", ("init",), text)]
    rules, problems = [], []
    for index, entry in enumerate(value):
        if entry is not None:
            rule, found = _rule(entry, index)
            problems += found
            rules += [rule] if rule else []
    return tuple(rules), problems


def _rule(entry: Any, index: int) -> tuple[Init | None, list[Problem]]:
    path: Path = ("init", index)
    label = f"init[{index}]"
    if not isinstance(entry, Mapping):
        text = f"{label} must be a mapping with 'match' and a weight or 'from', not {kinds.shown(entry)}"
        return None, [Problem("not-a-mapping", path, text, "such as {match: Conv2d, weight: kaiming_normal_}")]
    source = entry.get("from")
    default = ["*"] if source is not None else None
    match, problems = _patterns(entry.get("match", default), (*path, "match"), label, path)
    keys = [key for key in entry if key not in ("match", "from")]
    if "from" in entry and not (isinstance(source, str) and source):
        text = f"{label}: from must be a file or the folder of a run, not {kinds.shown(source)}"
        problems.append(Problem("bad-value", (*path, "from"), text))
    if "from" in entry and keys:
        text = f"{label}: weights are loaded or drawn, not both: '{keys[0]}' stands beside 'from'"
        problems.append(Problem("bad-value", (*path, str(keys[0])), text, "make two rules of it; the last one counts"))
    if not keys and "from" not in entry:
        text = f"{label} says nothing: it needs a weight with an initialiser, or 'from' with a file"
        problems.append(Problem("empty-rule", path, text, "such as weight: kaiming_normal_"))
    fills = {}
    for key in keys:
        component, params, found = INITIALISERS.parse(entry[key], (*path, str(key)), f"{label} {key}")
        problems += found
        if component is not None and not found:
            problems += _bounds(component, params, (*path, str(key)), f"{label} {key} {component.name}")
            fills[str(key)] = (component, MappingProxyType(component.convert(params)))
    return (None if problems else Init(match, MappingProxyType(fills), source, path)), problems


def _bounds(component: Component, params: Mapping[str, Any], path: Path, label: str) -> Iterator[Problem]:
    """The problems of a range to draw from, which torch meets only where there is memory."""
    values = {name: p.default for name, p in component.parameters.items()} | dict(params)
    if component.name not in ("uniform_", "trunc_normal_"):
        return
    a, b = values["a"], values["b"]
    if a > b:
        yield Problem("bad-value", (*path, "b"), f"{label}: b (={b}) must be at least a (={a})")
    elif "mean" in values and not a - 2 * values["std"] <= values["mean"] <= b + 2 * values["std"]:
        text = f"{label}: mean (={values['mean']}) must be within two std of the range from a (={a}) to b (={b})"
        yield Problem("bad-value", (*path, "mean"), text)


def parse_freeze(value: Any) -> tuple[tuple[str, ...], list[Problem]]:
    """The patterns under the key `freeze`, and the problems of how they are written."""
    return ((), []) if value is None or value == [] else _patterns(value, ("freeze",), "freeze", ())


def _patterns(value: Any, path: Path, label: str, otherwise: Path) -> tuple[tuple[str, ...], list[Problem]]:
    patterns = [value] if isinstance(value, str) else value
    if isinstance(patterns, (list, tuple)) and patterns and all(isinstance(p, str) and p for p in patterns):
        return tuple(patterns), []
    if value is None:
        text = f"{label}: 'match' is missing (a layer type, or the name of a layer with * for any text)"
        return (), [Problem("missing-parameter", otherwise, text)]
    wrong = [i for i, p in enumerate(patterns) if not (isinstance(p, str) and p)] if isinstance(patterns, list) else []
    shown = kinds.shown(value if not wrong else value[wrong[0]])
    text = f"{label}: must be a layer type, a name or a list of them, not {shown}"
    return (), [Problem("bad-value", (*path, wrong[0]) if wrong else path, text)]
