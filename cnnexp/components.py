"""One grammar for every component: a type's name, or a mapping with `type` and that class's own parameters.

A `Catalog` holds the classes that a YAML file may name; nothing outside a catalogue can be reached from a config, so
that a config can never run code. Parameters, defaults and types are read from the real signature of the installed
class, never copied, so that a new release of a library works unchanged.
"""

from __future__ import annotations

import collections.abc
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType, SimpleNamespace
from typing import Any, get_type_hints

from cnnexp import kinds
from cnnexp.errors import Path, Problem, did_you_mean, normalised
from cnnexp.kinds import Rule

EMPTY: Any = inspect.Parameter.empty


@dataclass(frozen=True)
class Parameter:
    """One constructor parameter of a component: its name, type, default (`EMPTY` when required) and value rule."""

    name: str
    annotation: Any
    default: Any
    rule: Rule = Rule()

    @property
    def required(self) -> bool:
        return self.default is EMPTY

    def complaint(self, value: Any) -> str | None:
        """What is wrong with `value`, as `must be …, not …`, or None when it fits."""
        if value is None and self.default is None:
            return None
        if not kinds.fits(value, self.annotation):
            return f"must be {kinds.describe(self.annotation)}, not {kinds.shown(value)}"
        return self.rule.complaint(value)


@dataclass(frozen=True)
class Component:
    """A class that a config may name, with its parameters; or a function, whose first argument the caller supplies.

    Arguments:
        name: the library's own name of the class.
        cls: the class or the function.
        skip: parameters that the caller supplies (`params` of an optimizer) or that are private.
        rules: value rules by parameter name.
        sizes: parameters that follow from the shape that arrives, each with its axis there (0 is the channels, -1 the
            last); None stands for all of it.
    """

    name: str
    cls: Any
    skip: frozenset[str] = frozenset()
    rules: Mapping[str, Rule] = field(default_factory=lambda: MappingProxyType({}))
    sizes: Mapping[str, int | None] = field(default_factory=lambda: MappingProxyType({}))

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(_constructor(self.cls))

    @cached_property
    def takes_anything(self) -> bool:
        """Whether the constructor has `**kwargs` of its own (torch's Identity)."""
        kwargs = any(p.kind is p.VAR_KEYWORD for p in self._signature.parameters.values())
        return kwargs and "__init__" in vars(self.cls)

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """The parameters that a config may set, in the order of the signature."""
        hints = _hints(self.cls)
        found = {}
        for p in list(self._signature.parameters.values())[1:]:
            if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) or p.name in self.skip or p.name.startswith("_"):
                continue
            annotation = hints.get(p.name, kinds.unannotated(p.name, p.default))
            found[p.name] = Parameter(p.name, annotation, p.default, self.rules.get(p.name, Rule()))
        return MappingProxyType(found)

    def check(self, params: Mapping[str, Any], path: Path, label: str, optional: Iterable[str] = ()) -> list[Problem]:
        """Every problem of `params` against the signature: unknown, missing and ill-typed ones.

        Arguments:
            params: the parameters as the config gives them.
            path: the key path of the component.
            label: how messages name it, such as `layers[2] Conv2d`.
            optional: required parameters that may be left out all the same because they are inferred.
        """
        if self.takes_anything:
            return []
        problems = []
        for name, value in params.items():
            parameter = self.parameters.get(name)
            if parameter is None:
                problems.append(self._unknown(name, path, label))
            elif value is not None and not kinds.expressible(parameter.annotation):
                text = f"{label}: {name} cannot be written in YAML, because it is a Python class or function"
                problems.append(Problem("bad-value", (*path, name), text, "leave it out"))
            elif complaint := parameter.complaint(value):
                hint = kinds.cure(value, parameter.annotation)
                problems.append(Problem("bad-value", (*path, name), f"{label}: {name} {complaint}", hint))
        mistaken = {did_you_mean(str(name), self.parameters) for name in params if name not in self.parameters}
        for name, parameter in self.parameters.items():
            absent = parameter.required and name not in params and name not in optional
            if absent and f"; did you mean '{name}'?" not in mistaken:
                text = f"{label}: '{name}' is missing ({kinds.describe(parameter.annotation)})"
                problems.append(Problem("missing-parameter", path, text))
        return problems

    def _unknown(self, key: object, path: Path, label: str) -> Problem:
        name = str(key)
        text = f"{label}: unknown parameter '{name}'{did_you_mean(name, self.parameters)}"
        known = ", ".join(self.parameters) or "no parameters"
        hint = None if "did you mean" in text else f"{self.name} takes {known}"
        return Problem("unknown-parameter", (*path, name), text, hint)

    def convert(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`params` as the class wants them: lists become tuples."""
        return {name: kinds.convert(value) for name, value in params.items()}


@dataclass(frozen=True)
class Catalog:
    """The components of one kind, by name.

    Arguments:
        noun: what they are called in messages, such as `layer type`.
        entries: the components by their own names.
        refused: names that exist in the library but cannot be used, each with the sentence that says why.
    """

    noun: str
    entries: Mapping[str, Component]
    refused: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @cached_property
    def _by_form(self) -> dict[str, Component]:
        return {normalised(name): component for name, component in self.entries.items()}

    @cached_property
    def _refused_by_form(self) -> dict[str, str]:
        return {normalised(name): name for name in self.refused}

    def find(self, name: str) -> Component | None:
        """The component called `name`, whatever its case and underscores, or None."""
        return self._by_form.get(normalised(name))

    def refuses(self, name: str) -> bool:
        """Whether `name` exists in the library but cannot be used."""
        return normalised(name) in self._refused_by_form

    def missing(self, name: str, path: Path, label: str) -> Problem:
        """The problem of a name that is not in the catalogue: refused with its reason, or unknown."""
        if known := self._refused_by_form.get(normalised(name)):
            return Problem("refused-type", path, f"{label}: {known} cannot be used here: {self.refused[known]}")
        text = f"{label}: unknown {self.noun} '{name}'{did_you_mean(name, self.entries)}"
        return Problem("unknown-type", path, text)

    def parse(
        self,
        entry: Any,
        path: Path,
        label: str,
        extra: Iterable[str] = (),
        optional: Callable[[Component], Iterable[str]] = lambda component: (),
    ) -> tuple[Component | None, dict[str, Any], list[Problem]]:
        """Read one entry of a config: `Name` or `{type: Name, parameter: value, …}`.

        Arguments:
            entry: the plain value from the config.
            path: its key path.
            label: how messages name it before its type is known.
            extra: keys that the caller reads itself and that are not the class's.
            optional: gives the required parameters of a component that may be left out.

        Returns:
            the component (None when it could not be found), its parameters as written, and all problems.
        """
        if isinstance(entry, str):
            entry = {"type": entry}
        if not isinstance(entry, Mapping):
            text = f"{label} must be {_a(self.noun)} or a mapping with 'type', not {kinds.shown(entry)}"
            return None, {}, [Problem("not-a-component", path, text)]
        name = entry.get("type")
        if not isinstance(name, str):
            text = (
                f"{label}: 'type' is missing"
                if name is None
                else f"{label}: 'type' must be a name, not {kinds.shown(name)}"
            )
            place = (*path, "type") if "type" in entry else path
            return None, {}, [Problem("missing-type", place, text, f"write the {self.noun} as 'type: Name'")]
        component = self.find(name)
        if component is None:
            return None, {}, [self.missing(name, (*path, "type"), label)]
        params = {key: value for key, value in entry.items() if key != "type" and key not in extra}
        return component, params, component.check(params, path, f"{label} {component.name}", optional(component))


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


_BORROWED = {name: getattr(collections.abc, name) for name in ("Callable", "Iterable", "Sequence")}


def _constructor(cls: Any) -> Any:
    """What is called to make a component: a class's constructor; of a function, the function itself."""
    return cls if inspect.isfunction(cls) else cls.__init__


def _hints(cls: Any) -> dict[str, Any]:
    """The annotations of a constructor; one that only its own library can resolve counts as an object."""
    constructor = _constructor(cls)
    scope = {**vars(sys.modules[constructor.__module__]), **_BORROWED} if hasattr(constructor, "__module__") else {}
    found = {}
    for name, annotation in getattr(constructor, "__annotations__", {}).items():
        try:
            found[name] = get_type_hints(SimpleNamespace(__annotations__={name: annotation}), scope)[name]
        except (NameError, TypeError):
            found[name] = object
    return found
