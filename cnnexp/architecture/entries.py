"""Reading the entries of a stack: plain values in, Layers out, all problems gathered on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from torch import nn

from cnnexp import kinds
from cnnexp.architecture import rules
from cnnexp.architecture.blocks import Block, Unbound, Written, bind, closed, is_name, resolve
from cnnexp.architecture.catalog import LAYERS, catalog_of, inferable
from cnnexp.architecture.composites import COMPOSITES, MOST, STRUCTURE
from cnnexp.architecture.stack import Layer
from cnnexp.components import Component
from cnnexp.errors import Path, Problem, closest, did_you_mean, normalised

_TAKEN = frozenset(dir(nn.Sequential()))
_NOTHING = "Identity stands for no layer at all"
_DEEPEST = 64  # layers inside one another; Python's own limit is not far beyond
SEQUENTIAL = COMPOSITES.entries["Sequential"]


@dataclass(frozen=True)
class _Given:
    """An entry's keys with all names replaced.

    Arguments:
        values: the plain values.
        origins: where those were written that came through a name.
        whole: whether every name stood for something.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, Path]
    whole: bool


class Reader:
    """Reads entries; gathers the problems, and counts the layers so that blocks in blocks cannot fill the memory.

    Arguments:
        blocks: the model's blocks, by the form in which names are compared.
        defined: the names of all blocks, also of those whose definition cannot be read.
    """

    def __init__(self, blocks: Mapping[str, Block], defined: set[str]) -> None:
        self.blocks = blocks
        self.defined = {normalised(name) for name in defined}
        self.problems: list[Problem] = []
        self.count = 0
        self._depth = 0

    def sequence(self, written: Written, label: str) -> tuple[tuple[Layer, ...], bool]:
        """The entries of a list up to the first that cannot be understood, and whether all could be.

        Arguments:
            written: the list.
            label: how messages name it, such as `layers`; its entries are `layers[0]`, `layers[1]`, …
        """
        names: dict[str, str] = {}
        layers = [
            self.entry(entry, f"{label}[{index}]", str(position), names)
            for position, (index, entry) in enumerate(self._present(written))
        ]
        understood = layers[: layers.index(None)] if None in layers else layers
        return tuple(x for x in understood if x), None not in layers and all(x.whole for x in layers if x)

    def _present(self, written: Written) -> list[tuple[int, Written]]:
        """The entries of a list that are not null, with their indices."""
        entries = [Written(value, (*written.path, i), written.scope) for i, value in enumerate(written.value)]
        return [(i, entry) for i, entry in enumerate(entries) if not self._is_null(entry)]

    def _is_null(self, written: Written) -> bool:
        try:
            return resolve(written, "").value is None
        except Unbound:
            return False  # told where the entry is read

    def entry(self, written: Written, label: str, position: str, names: dict[str, str] | None) -> Layer | None:
        """One entry; None when it cannot be understood.

        Arguments:
            written: the entry.
            label: how messages name it before its type is known.
            position: its name in the module that holds it when it has none of its own.
            names: the names that are taken there and by whom; None where the entry cannot have a name of its own.
        """
        self.count += 1
        if self.count > MOST:
            return None
        if self._depth == _DEEPEST:
            text = f"{label.split(' › ')[0]}: more than {_DEEPEST} layers stand inside one another"
            self.problems.append(Problem("too-deep", written.path, text))
            return None
        self._depth += 1
        layer = self._entry(written, label, position, names)
        self._depth -= 1
        return layer

    def _entry(self, written: Written, label: str, position: str, names: dict[str, str] | None) -> Layer | None:
        try:
            found = resolve(written, label)
            mapping = found.value if isinstance(found.value, Mapping) else {"type": found.value}
            kind = resolve(Written(mapping.get("type"), (*found.path, "type"), found.scope), label).value
        except Unbound as unbound:
            self.problems.append(unbound.problem)
            return None
        found = Written(mapping, found.path, found.scope) if isinstance(found.value, str) else found
        if isinstance(kind, str) and isinstance(found.value, Mapping):
            if composite := COMPOSITES.find(kind):
                return self._composite(composite, found, label, position, names)
            if block := self.blocks.get(normalised(kind)):
                return self._use(block, found, label, position, names)
            if normalised(kind) in self.defined:
                return None  # its definition is told of
        return self._layer(found, kind, label, position, names)

    def _given(self, found: Written, label: str, without: Sequence[str] = ()) -> _Given:
        """The keys of an entry with all names replaced, but those that hold other entries."""
        values: dict[str, Any] = {}
        origins: dict[str, Path] = {}
        whole = True
        for key, value in found.value.items():
            own = Written(value, (*found.path, key), found.scope)
            try:
                if key not in without:
                    values[key] = closed(own, label)
                    origins |= {key: resolve(own, label).path} if is_name(value) else {}
            except Unbound as unbound:
                self.problems.append(unbound.problem)
                whole = False
        return _Given(values, origins, whole)

    def _layer(
        self, found: Written, kind: Any, label: str, position: str, names: dict[str, str] | None
    ) -> Layer | None:
        """A layer of the catalogue."""
        path = found.path
        if isinstance(found.value, (list, tuple)):
            text = f"{label} must be a layer type or a mapping with 'type', not {kinds.shown(found.value)}"
            hint = "several layers in the place of one are written {type: Sequential, layers: [...]}"
            self.problems.append(Problem("not-a-component", path, text, hint))
            return None
        given = self._given(found, label) if isinstance(found.value, Mapping) else _Given({}, {}, True)
        plain = dict(given.values) if isinstance(found.value, Mapping) else found.value
        catalog = catalog_of(kind) if isinstance(kind, str) else LAYERS
        lost = [k for k in found.value if k not in given.values] if isinstance(found.value, Mapping) else []
        component, params, problems = catalog.parse(
            plain, path, label, extra=("name",), optional=lambda known: [*inferable(known), *lost]
        )
        if component is None:
            self.problems += _moved([self._meant(p, kind) for p in problems], path, given.origins)
            return None
        self.problems += _moved(problems, path, given.origins)
        label = f"{label} {component.name}"
        name = self._name(given, found, position, names, label)
        good, usable = _recovered(component, params, {str(p.path[-1]) for p in problems})
        clashes = rules.together(component, good, path, label) if usable else []
        self.problems += _moved(clashes, path, given.origins)
        if not usable or clashes or not given.whole:
            return None
        return Layer(component, MappingProxyType(component.convert(good)), name, path, label, given.origins)

    def _meant(self, problem: Problem, kind: Any) -> Problem:
        """The problem of an unknown type, which may be a misspelt composite or block."""
        if problem.code != "unknown-type":
            return problem
        known = [*catalog_of(str(kind)).entries, *COMPOSITES.entries, *(block.name for block in self.blocks.values())]
        return replace(problem, message=problem.message.split("; did you mean")[0] + did_you_mean(str(kind), known))

    def _name(self, given: _Given, found: Written, position: str, names: dict[str, str] | None, label: str) -> str:
        """The name of an entry among its neighbours; its position where it has none, or none that it may have."""
        name = given.values.get("name")
        if name is None:
            return position
        hint: str | None = "choose another name"
        if not isinstance(name, str) or not name or "." in name:
            text, hint = f"{label}: name must be a text without dots, not {kinds.shown(name)}", None
        elif names is None:
            text, hint = f"{label}: is called '{position}' here and can have no other name", "leave name out"
        elif name == position:
            return position
        elif name.isdigit():
            text = f"{label}: name '{name}': whole numbers are the names of entries without a name of their own"
        elif name in _TAKEN:
            text = f"{label}: the name '{name}' is taken by nn.Sequential itself"
        elif name in names:
            text = f"{label}: the name '{name}' is taken by {names[name]}"
        else:
            names[name] = label.rpartition(" ")[0]
            return name
        self.problems.append(Problem("bad-name", given.origins.get("name", (*found.path, "name")), text, hint))
        return position

    def _use(
        self, block: Block, found: Written, label: str, position: str, names: dict[str, str] | None
    ) -> Layer | None:
        """A block in the place of a layer: a Sequential of what the block holds."""
        label = f"{label} {block.name}"
        keys = {k: Written(v, (*found.path, k), found.scope) for k, v in found.value.items()}
        own = {str(k): written for k, written in keys.items() if k not in ("type", "name")}
        scope, params, problems = bind(block, own, found, label)
        self.problems += problems
        naming = self._given(found, label, without=[k for k in found.value if k != "name"])
        name = self._name(naming, found, position, names, label)
        if scope is None:
            return None
        children, whole = self._list(Written(block.layers, (*block.path, "layers"), scope), label, "layers")
        return Layer(SEQUENTIAL, MappingProxyType(params), name, found.path, label, {}, children, block.name, whole)

    def _composite(
        self, component: Component, found: Written, label: str, position: str, names: dict[str, str] | None
    ) -> Layer:
        label, holding = f"{label} {component.name}", STRUCTURE[component.name]
        given = self._given(found, label, without=holding)
        params = {k: v for k, v in given.values.items() if k not in ("type", "name")}
        problems = self._checked(component, params, found, label)
        self.problems += _moved(problems, found.path, given.origins)
        good, _ = _recovered(component, params, {str(p.path[-1]) for p in problems})
        name = self._name(given, found, position, names, label)
        before = self.count
        children, whole = self._inside(component, found, label)
        self.count += (self.count - before) * (good.get("times", 1) - 1)
        whole &= given.whole and not problems
        good = component.convert(good)
        return Layer(component, MappingProxyType(good), name, found.path, label, given.origins, children, None, whole)

    def _checked(self, component: Component, params: Mapping[str, Any], found: Written, label: str) -> list[Problem]:
        """The problems of a composite's keys, but not of what stands inside it."""
        holding = STRUCTURE[component.name]
        keys = [*holding, *component.parameters]
        known = {k: v for k, v in params.items() if k in component.parameters}
        near = {str(k): closest(str(k), keys) for k in params if k not in known}
        problems = component.check(known, found.path, label, optional=[*filter(None, near.values()), *found.value])
        for key, meant in near.items():
            hint = None if meant else f"{component.name} takes {', '.join(keys)}"
            text = f"{label}: unknown parameter '{key}'{did_you_mean(key, keys)}"
            problems.append(Problem("unknown-parameter", (*found.path, key), text, hint))
        for key in holding:
            if key not in found.value and key != "shortcut" and key not in near.values():
                problems.append(Problem("missing-parameter", found.path, f"{label}: '{key}' is missing"))
        return problems

    def _inside(self, component: Component, found: Written, label: str) -> tuple[tuple[Layer, ...], bool]:
        """What stands inside a composite, as the children of its module, and whether all of it could be understood."""
        held = {
            key: Written(found.value[key], (*found.path, key), found.scope)
            for key in STRUCTURE[component.name]
            if key in found.value
        }
        if component.name == "Sequential":
            return self._list(held["layers"], label, "layers") if "layers" in held else ((), False)
        if component.name == "Parallel":
            return self._branches(held["branches"], label) if "branches" in held else ((), False)
        if component.name == "Repeat":
            copy = self._sequential(held["layers"], label, "layers", "0") if "layers" in held else None
            alone = copy is not None and copy.whole and len(copy.children) == 1 and copy.children[0].name == "0"
            return ((copy.children[0] if alone else copy,) if copy else ()), copy is not None and copy.whole
        parts = []
        if "pool" in held:
            parts.append(self._pool(held["pool"], label))
        if "layers" in held:
            parts.append(self._sequential(held["layers"], label, "layers", "layers"))
        if "shortcut" in held and not self._is_null(held["shortcut"]):
            parts.append(self._one_or_more(held["shortcut"], f"{label} › shortcut", "shortcut", None))
        whole = "layers" in held and all(part is not None and part.whole for part in parts)
        return tuple(part for part in parts if part), whole

    def _branches(self, written: Written, label: str) -> tuple[tuple[Layer, ...], bool]:
        found = self._as_list(written, label, "branches")
        if found is None:
            return (), False
        names = dict.fromkeys(COMPOSITES.entries["Parallel"].parameters, "Parallel itself")
        branches = [
            self._one_or_more(branch, f"{label} › branches[{index}]", str(position), names)
            for position, (index, branch) in enumerate(self._present(found))
        ]
        return tuple(b for b in branches if b), all(b is not None and b.whole for b in branches)

    def _pool(self, written: Written, label: str) -> Layer | None:
        """The pool of an `Unpool`, which must remember where its maxima were."""
        pool = self.entry(written, f"{label} › pool", "pool", None)
        if pool is None or (complaint := rules.no_pool_to_undo(pool.component, pool.params)) is None:
            return pool
        name, text = complaint
        self.problems.append(Problem("bad-value", pool.place(name) if name else pool.path, f"{pool.label}: {text}"))
        return None

    def _one_or_more(self, written: Written, label: str, position: str, names: dict[str, str] | None) -> Layer | None:
        """An entry, or a list of entries that stands for a Sequential."""
        try:
            found = resolve(written, label)
        except Unbound as unbound:
            self.problems.append(unbound.problem)
            return None
        if not isinstance(found.value, (list, tuple)):
            return self.entry(written, label, position, names)
        if not self._present(found):
            text = f"{label} is empty"
            self.problems.append(Problem("no-layers", found.path, text, _NOTHING))
            return None
        children, whole = self.sequence(found, label)
        return Layer(SEQUENTIAL, {}, position, found.path, label, {}, children, None, whole)

    def _sequential(self, written: Written, label: str, key: str, name: str) -> Layer:
        """The Sequential that a key of a composite stands for."""
        children, whole = self._list(written, label, key)
        return Layer(SEQUENTIAL, {}, name, written.path, label, {}, children, None, whole)

    def _list(self, written: Written, label: str, key: str) -> tuple[tuple[Layer, ...], bool]:
        found = self._as_list(written, label, key)
        return self.sequence(found, f"{label} › {key}") if found else ((), False)

    def _as_list(self, written: Written, label: str, key: str) -> Written | None:
        """The list under a key, or None where there is no list or nothing in it."""
        try:
            found = resolve(written, label)
        except Unbound as unbound:
            self.problems.append(unbound.problem)
            return None
        listed = isinstance(found.value, (list, tuple))
        if listed and self._present(found):
            return found
        state = "is empty" if listed else f"must be a list, not {kinds.shown(found.value)}"
        one = isinstance(found.value, str) or (isinstance(found.value, Mapping) and "type" in found.value)
        hint = _NOTHING if listed else f"one entry makes a list as well: {key}: [...]" if one else None
        self.problems.append(Problem("no-layers", found.path, f"{label}: '{key}' {state}", hint))
        return None


def _moved(problems: Sequence[Problem], path: Path, origins: Mapping[str, Path]) -> list[Problem]:
    """The problems, located where a value was written that reached the entry through a name."""
    depth = len(path)
    return [
        replace(p, path=(*origins[str(p.path[depth])], *p.path[depth + 1 :]))
        if len(p.path) > depth and str(p.path[depth]) in origins and p.code != "unknown-parameter"
        else p
        for p in problems
    ]


def _recovered(component: Component, params: dict[str, Any], bad: set[str]) -> tuple[dict[str, Any], bool]:
    """The parameters that the rest of the check can go on with, and whether they suffice.

    A misspelt parameter counts as the one that was meant and a wrong truth value as the default, so that the problems
    further down the network are found in the same go.
    """
    if component.takes_anything:
        return params, True
    good: dict[str, Any] = {}
    usable = True
    for name, value in params.items():
        parameter = component.parameters.get(name)
        meant = parameter or component.parameters.get(closest(str(name), component.parameters) or "")
        if meant is None or (parameter is None and (meant.name in params or meant.complaint(value))):
            continue
        if parameter and name in bad:
            usable &= parameter.annotation is bool
            continue
        good[meant.name] = value
    optional = inferable(component)
    missing = [p for p, q in component.parameters.items() if q.required and p not in good and p not in optional]
    return good, usable and not missing
