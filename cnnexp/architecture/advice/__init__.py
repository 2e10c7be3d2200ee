"""Advice: what is not wrong and yet hardly meant. It never keeps a network from running.

Every piece of advice is certain: it holds for the sizes of the network at hand, and says them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cnnexp import kinds
from cnnexp.architecture.advice import neighbours, outputs, windows
from cnnexp.architecture.advice.flow import Finding, Network, Rule, steps
from cnnexp.architecture.plan import Plan
from cnnexp.errors import Path, Problem, also_in, closest, did_you_mean, normalised

LANGUAGE = ("layers", "blocks", "init", "freeze", "no_advice", "defaults")
"""The keys of a model mapping that are no variables of the author's."""

_UNUSED = Rule(
    "unused-variable",
    "nothing refers to a variable of the model, so changing it changes nothing",
    "take it out, or refer to it where its value belongs",
)
RULES: Mapping[str, Rule] = MappingProxyType(
    {rule.code: rule for rule in (*outputs.RULES, *neighbours.RULES, *windows.RULES, _UNUSED)}
)
"""Every rule by its code, in the order in which they are listed."""

_COPY = re.compile(r" \(copy \d+\)")
_REFERENCE = re.compile(r"\$\{([^${}]*)\}")


@dataclass(frozen=True)
class Advice:
    """One piece of advice, as data.

    Arguments:
        code: the name of the rule, such as `bias-before-norm`.
        path: the key path in the config, such as `("model", "layers", 3, "bias")`.
        message: one line that names the layer and says what and why, with its numbers.
        hint: the cure.
        where: `file:line:column` or `override 'key=value'`; filled in by a locator, None without one.
    """

    code: str
    path: Path
    message: str
    hint: str
    where: str | None = None

    def __str__(self) -> str:
        colon = ":" if (self.where or "").startswith("override") else ""
        place = f"{self.where}{colon} " if self.where else ""
        return f"advice: {place}[{self.code}] {self.message}\n  hint: {self.hint}"


def advise(
    plan: Plan, loss: str | None = None, unused: Sequence[Path] = (), off: Collection[str] = ()
) -> tuple[Advice, ...]:
    """All advice on a network, in the order of its layers; what was written once is told once for each rule.

    Arguments:
        plan: the network; of one that is not whole nothing is said but of its variables.
        loss: the name of the loss class, such as `CrossEntropyLoss`; None where there is none.
        unused: the key paths of the variables that nothing uses, as `unused_variables` finds them.
        off: the codes of advice that is not wanted.
    """
    unwanted = {normalised(code) for code in off if isinstance(code, str)}
    wanted = [rule for rule in RULES.values() if normalised(rule.code) not in unwanted]
    found: list[Advice] = []
    if plan.whole:
        network = Network(plan, steps(plan), loss)
        order = {id(layer): number for number, (_, _, layer) in enumerate(plan.walk())}
        pairs = [(rule.code, finding) for rule in wanted for finding in rule.find(network)]
        found += _merged(sorted(pairs, key=lambda pair: order[id(pair[1].layer)]))
    if _UNUSED in wanted:
        found += [_unused(path) for path in unused]
    return tuple(found)


def _merged(findings: Sequence[tuple[str, Finding]]) -> Iterator[Advice]:
    """One piece of advice for each rule and each place where something was written, naming all layers it became."""
    groups: dict[tuple[str, Path], list[Finding]] = {}
    for code, finding in findings:
        groups.setdefault((code, finding.path), []).append(finding)
    for (code, path), (told, *others) in groups.items():
        first, *users = [_COPY.sub("", x.layer.label) for x in (told, *others)]
        also = also_in(first, users)
        yield Advice(code, path, f"{told.layer.label}: {told.text}{also}", told.hint)


def _unused(path: Path) -> Advice:
    name = path[-1]
    if path[0] == "blocks":
        text = f"block '{path[1]}': its layers do not use its parameter '{name}'"
        return Advice(_UNUSED.code, path, text, f"take it out, or write ${name} where its value belongs")
    text = f"variable '{name}': nothing refers to it, so changing it changes nothing"
    return Advice(_UNUSED.code, path, text, f"take it out, or write ${{model.{name}}} where its value belongs")


def unknown_codes(value: Any) -> list[Problem]:
    """The problems of the value of a model's `no_advice`, which lists codes.

    Arguments:
        value: the plain value; None where there is none.
    """
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        text = f"'no_advice' must be a list of codes, not {kinds.shown(value)}"
        return [Problem("not-a-list", ("no_advice",), text, f"write no_advice: [{_meant(value)}]")]
    known = {normalised(code) for code in RULES}
    problems = []
    for index, code in enumerate(value):
        if isinstance(code, str) and normalised(code) in known:
            continue
        near = did_you_mean(code, RULES) if isinstance(code, str) else ""
        text = f"no_advice[{index}]: there is no advice {kinds.shown(code)}{near}"
        hint = None if near else f"there is {', '.join(RULES)}"
        problems.append(Problem("unknown-advice", ("no_advice", index), text, hint))
    return problems


def _meant(value: Any) -> str:
    return (closest(value, RULES) if isinstance(value, str) else None) or next(iter(RULES))


def unused_variables(model: Any, raw: Mapping[str, Any], anchored: Collection[str] = ()) -> list[Path]:
    """The author's variables that nothing refers to, and the parameters of blocks that their layers do not use.

    Arguments:
        model: the model mapping before references are resolved.
        raw: the whole config before references are resolved.
        anchored: variables whose values stand elsewhere through an anchor of the YAML file.

    Returns:
        key paths in the model mapping, in its order.
    """
    if not isinstance(model, Mapping):
        return []
    used = {*anchored, *_referred(raw)}
    unused: list[Path] = [(str(key),) for key in model if str(key) not in used and key not in LANGUAGE]
    if None in used:  # the model as a whole is referred to
        unused = []
    return [*unused, *_unused_parameters(model)]


def _referred(raw: Mapping[str, Any]) -> Iterator[str | None]:
    """The variables of the model that references name; None for a reference to the whole model."""
    for path, text in _texts(raw, ()):
        left = text
        while match := _REFERENCE.search(left):
            # What stands inside another reference is a part of its name, and may be any.
            left = left[: match.start()] + "\0" + left[match.end() :]
            yield from _target(match[1], path)


def _target(reference: str, path: Path) -> Iterator[str | None]:
    reference = reference.strip()
    words = re.findall(r"[^\s.\[\]:,\0'\"]+", reference)
    if re.search(r"[:\0]", reference):  # a resolver, or a name that is put together
        yield from words
        if "\0" in reference:
            yield None
        return
    up = len(reference) - len(reference.lstrip("."))
    full = [*map(str, path[: len(path) - up]), *words] if up else words
    if full[:1] == ["model"]:
        yield full[1] if len(full) > 1 else None


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Every text in plain data with its key path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))


def _unused_parameters(model: Mapping[str, Any]) -> Iterator[Path]:
    blocks = model.get("blocks")
    shared = {text for key, value in model.items() if key not in LANGUAGE for _, text in _texts(value, ())}
    for name, block in blocks.items() if isinstance(blocks, Mapping) else ():
        params = block.get("params") if isinstance(block, Mapping) else None
        if isinstance(params, Mapping):
            used = shared | {text for _, text in _texts(block, ())}
            yield from (("blocks", str(name), "params", str(key)) for key in params if f"${key}" not in used)
