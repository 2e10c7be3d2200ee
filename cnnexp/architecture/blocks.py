"""Blocks: pieces of a stack with parameters. `$name` inside a block stands for what its user gave, or for a default.

Names are bound the way functions bind them: what a user writes is read where the user stands, a default where the block
stands. Every value keeps the place where it was written, so that a problem is located there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cnnexp import kinds
from cnnexp.errors import Path, Problem, closest, did_you_mean, normalised

REQUIRED = "???"
"""The default of a parameter that every user of a block must give, as Hydra writes a missing value."""

_KEYS = ("params", "layers")
_OWN = ("type", "name")
_MOST, _DEEPEST = 10_000, 100  # values and levels of what a name stands for; as much as a file may hold


@dataclass(frozen=True)
class Block:
    """A block as it was written.

    Arguments:
        name: what users call it.
        params: its parameters with their defaults, `???` where a user must give the value.
        layers: the plain list of its entries.
    """

    name: str
    params: Mapping[str, Any]
    layers: Any

    @property
    def path(self) -> Path:
        return ("blocks", self.name)


@dataclass(frozen=True)
class Written:
    """A plain value, where it was written, and what the names in it stand for there."""

    value: Any
    path: Path
    scope: Scope


@dataclass(frozen=True)
class Scope:
    """What `$name` stands for inside one use of a block; outside of blocks nothing is bound.

    Arguments:
        values: what each name stands for.
        blocks: the blocks that are being used, the outermost first.
    """

    values: Mapping[str, Written] = field(default_factory=lambda: MappingProxyType({}))
    blocks: tuple[str, ...] = ()


class Unbound(Exception):
    """A `$name` stands for nothing; holds the Problem that says so."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def is_name(value: Any) -> bool:
    """Whether a value is a `$name` that stands for another."""
    return isinstance(value, str) and value.startswith("$")


def resolve(written: Written, label: str) -> Written:
    """The value that a `$name` stands for, and the place where it was written; any other value is itself.

    Raises:
        Unbound: nothing of that name is known, or it stands for itself.
    """
    seen: list[tuple[Path, str]] = []
    while is_name(written.value):
        name = written.value[1:]
        if (written.path, name) in seen:
            raise Unbound(Problem("endless-name", written.path, f"{label}: {written.value} stands for itself"))
        seen.append((written.path, name))
        bound = written.scope.values.get(name)
        if bound is None:
            raise Unbound(_unbound(written, label))
        written = bound
    return written


def _unbound(written: Written, label: str) -> Problem:
    if not written.scope.blocks:
        text = f"{label}: {written.value} stands for the parameter of a block, and no block is here"
        cure = f"a variable of the model is written ${{model.{written.value[1:]}}}"
        return Problem("unknown-name", written.path, text, cure)
    known = list(written.scope.values)
    near = did_you_mean(written.value[1:], known)
    text = f"{label}: block '{written.scope.blocks[-1]}' has no parameter {written.value[1:]!r}{near}"
    hint = None if near else f"it has {', '.join(known)}" if known else "list it under the block's 'params'"
    return Problem("unknown-name", written.path, text, hint)


def closed(written: Written, label: str = "") -> Any:
    """A value with all names in it replaced, all the way down.

    Raises:
        Unbound: a name stands for nothing, or the value becomes too large.
    """
    return _spelt_out(written, label, itertools.count(), 0)


def _spelt_out(written: Written, label: str, counter: Iterator[int], depth: int) -> Any:
    found = resolve(written, label)
    if next(counter) >= _MOST or depth > _DEEPEST:
        state = f"has more than {_MOST:,} values" if depth <= _DEEPEST else f"holds values more than {_DEEPEST} deep"
        text = f"{label.split(' › ')[0]}: {state}, names spelt out"
        raise Unbound(Problem("too-large", found.path, text))
    value, deeper = found.value, depth + 1
    if isinstance(value, Mapping):
        inside = {k: Written(v, (*found.path, k), found.scope) for k, v in value.items()}
        return {k: _spelt_out(v, label, counter, deeper) for k, v in inside.items()}
    if isinstance(value, (list, tuple)):
        items = [Written(v, (*found.path, i), found.scope) for i, v in enumerate(value)]
        return [_spelt_out(item, label, counter, deeper) for item in items]
    return value


def define(raw: Any, types: Mapping[str, object]) -> tuple[dict[str, Block], list[Problem]]:
    """The blocks of a model mapping by the form in which names are compared, and all problems of their definitions.

    Arguments:
        raw: the value of the key `blocks`; None where there is none.
        types: the names that are taken, by that same form.
    """
    if raw is None:
        return {}, []
    if not isinstance(raw, Mapping):
        text = f"'blocks' must be a mapping of names to blocks, not {kinds.shown(raw)}"
        return {}, [Problem("not-a-mapping", ("blocks",), text)]
    blocks: dict[str, Block] = {}
    problems: list[Problem] = []
    for name, body in raw.items():
        found = list(_misdefined(name, body, types, blocks))
        problems += found
        if not found and body is not None:
            blocks[normalised(str(name))] = Block(str(name), dict(body.get("params") or {}), body["layers"])
    return blocks, problems


def _misdefined(name: Any, body: Any, types: Mapping[str, object], others: Mapping[str, Block]) -> list[Problem]:
    path: Path = ("blocks", name)
    label = f"block '{name}'"
    if body is None:
        return []
    if not isinstance(name, str) or not name.isidentifier():
        return [Problem("bad-name", path, f"{label}: a block's name must be a word of letters, digits and underscores")]
    if taken := types.get(normalised(name)):
        text = f"{label}: the name is taken by the layer type {taken}"
        return [Problem("bad-name", path, text, "choose another name")]
    if twin := others.get(normalised(name)):
        return [Problem("bad-name", path, f"{label}: the name is taken by block '{twin.name}'", "choose another name")]
    if not isinstance(body, Mapping):
        text = f"{label} must be a mapping with a list 'layers', not {kinds.shown(body)}"
        return [Problem("not-a-mapping", path, text)]
    found = [
        Problem("unknown-key", (*path, key), f"{label}: there is no key '{key}'{did_you_mean(str(key), _KEYS)}")
        for key in body
        if key not in _KEYS
    ]
    params, layers = body.get("params"), body.get("layers")
    if params is not None and not isinstance(params, Mapping):
        text = f"{label}: 'params' must be a mapping of names to defaults, not {kinds.shown(params)}"
        found.append(Problem("not-a-mapping", (*path, "params"), text, "write ??? where every user must give a value"))
    for key in params if isinstance(params, Mapping) else ():
        if not isinstance(key, str) or not key.isidentifier() or key in _OWN:
            text = f"{label}: '{key}' cannot be the name of a parameter"
            found.append(Problem("bad-name", (*path, "params", key), text, "take a word other than type and name"))
    if not isinstance(layers, (list, tuple)) and not is_name(layers):
        near = not any(p.code == "unknown-key" for p in found)
        text = f"{label}: 'layers' must be a list, not {kinds.shown(layers)}"
        if "layers" in body or near:
            found.append(Problem("no-layers", (*path, "layers") if "layers" in body else path, text))
    return found


def bind(
    block: Block, given: Mapping[str, Written], use: Written, label: str
) -> tuple[Scope | None, Mapping[str, Any], list[Problem]]:
    """What the names of a block stand for in one use of it.

    Arguments:
        block: the block.
        given: what the user gives, by parameter.
        use: the entry that uses it.
        label: how messages name the use.

    Returns:
        the scope (None when it cannot be read any further), the values of all parameters without names, and all
        problems.
    """
    path, chain = use.path, (*use.scope.blocks, block.name)
    if block.name in use.scope.blocks:
        way = " → ".join(chain[chain.index(block.name) :])
        return None, {}, [Problem("recursion", path, f"{label}: a block cannot use itself: {way}")]
    problems: list[Problem] = []
    values: dict[str, Written] = {}
    missing = []
    for name, written in given.items():
        if name in block.params:
            values[name] = written
            continue
        meant = closest(name, block.params)
        text = f"{label}: unknown parameter '{name}'" + (f"; did you mean '{meant}'?" if meant else "")
        known = ", ".join(block.params) or "no parameters"
        problems.append(
            Problem("unknown-parameter", written.path, text, None if meant else f"{block.name} takes {known}")
        )
        if meant and meant not in given:
            values[meant] = written  # so that what is wrong further down is found in the same go
    scope = Scope(values, chain)
    for name, default in block.params.items():
        if name not in values and default == REQUIRED:
            missing.append(name)
        values.setdefault(name, Written(default, (*block.path, "params", name), scope))
    problems += [Problem("missing-parameter", path, f"{label}: '{name}' is missing") for name in missing]
    try:
        params = {name: closed(values[name], label) for name in block.params if name not in missing}
    except Unbound as unbound:
        return None, {}, [*problems, unbound.problem]
    return (None if missing else scope), params, problems
