"""Python expressions that make a network, one for each planned layer, and what is alike in them."""

from __future__ import annotations

import bisect
import itertools
import keyword
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cnnexp.architecture.catalog import DTYPES
from cnnexp.architecture.composites import Parallel, Residual, Slice, Unpool
from cnnexp.architecture.plan import PlannedLayer
from cnnexp.architecture.python.standins import STAND_INS

OWN = (Residual, Parallel, Unpool, Slice, *STAND_INS)
"""The classes that a source must hold itself: the layer language's, and stand-ins for torchvision's small layers."""


@dataclass(frozen=True)
class Steps:
    """A number that grows from copy to copy of a `Repeat`, which counts them in `i`."""

    first: str
    step: str

    def __str__(self) -> str:
        return f"{self.first} + {self.step} * i"


@dataclass(frozen=True)
class Call:
    """A call with plain values.

    Arguments:
        callee: what is called.
        values: the arguments as Python texts, by parameter.
        positional: how many of them, from the first, are given by position.
        defaults: what need not be written, by parameter.
    """

    callee: str
    values: Mapping[str, str | Steps]
    positional: int = 0
    defaults: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        texts = [
            str(value) if i < self.positional else _keyword(name, str(value))
            for i, (name, value) in enumerate(self.values.items())
            if i < self.positional or self.defaults.get(name) != value
        ]
        return f"{self.callee}({', '.join(texts)})"


@dataclass(frozen=True)
class Nest:
    """Expressions inside an expression.

    Arguments:
        kind: Sequential, Repeat, Residual, Parallel or Unpool.
        parts: what stands inside, with its name in the module.
        call: the further arguments of the constructor.
    """

    kind: str
    parts: tuple[tuple[str, Expression], ...]
    call: Call


@dataclass(frozen=True)
class Copies:
    """An expression that is evaluated several times, for the copies of a `Repeat`; `times` is a Python text."""

    of: Expression
    times: str


@dataclass
class Use:
    """A use of a block: what the block holds here, and, once the block's function is known, the call of it."""

    block: str
    params: Mapping[str, str]
    body: Nest
    call: Call | None = None


Expression = Call | Nest | Use | Copies


def expression(layer: PlannedLayer) -> Expression:
    """The expression that makes a layer."""
    if not layer.composite:
        return construct(layer)
    values: dict[str, str] = {k: text(k, v) for k, v in layer.params.items()}
    parts, kind = tuple((child.name, expression(child)) for child in layer.children), layer.component.name
    if kind == "Repeat":
        return Nest("Repeat", tuple(_copies([part for _, part in parts])), Call("nn.Sequential", {}))
    if layer.block is not None:
        return Use(layer.block, values, Nest("Sequential", parts, Call("nn.Sequential", {})))
    callee = "nn.Sequential" if kind == "Sequential" else kind
    defaults = {k: text(k, p.default) for k, p in layer.component.parameters.items() if not p.required}
    return Nest(kind, parts, Call(callee, values, 0, defaults))


def _copies(parts: Sequence[Expression]) -> Iterator[tuple[str, Expression]]:
    """The copies of a `Repeat` in as few loops as possible; the first ones may differ in what arrives."""
    at = 0
    while at < len(parts):
        count = _reach(parts[at:])
        yield str(at), Copies(_together(parts[at : at + count]) or parts[at], str(count))
        at += count


def _reach(parts: Sequence[Expression]) -> int:
    """How many of these, from the first, go together; where a number of them does, any fewer do."""
    beyond = 2
    while beyond <= len(parts) and _together(parts[:beyond]):
        beyond *= 2
    more = range(beyond // 2 + 1, min(beyond, len(parts) + 1))
    return beyond // 2 + bisect.bisect_left(more, True, key=lambda n: _together(parts[:n]) is None)


def _together(parts: Sequence[Expression]) -> Expression | None:
    """One expression for copies that are equal, or that differ in numbers which grow by the same step; else None."""
    if all(part == parts[0] for part in parts):
        return parts[0]
    if any(_loops(part) for part in parts) or len({skeleton(part) for part in parts}) > 1:
        return None
    columns = zip(*([value for _, value in slots(part)] for part in parts), strict=True)
    values = [_progress([str(value) for value in column]) for column in columns]
    return None if None in values else filled(parts[0], iter([v for v in values if v is not None]))


def _progress(column: Sequence[str]) -> str | Steps | None:
    """The value of a slot in all copies: the same one, or a number that grows by the same step; else None."""
    if len(set(column)) == 1:
        return column[0]
    if not all(value.isdigit() for value in column):
        return None
    numbers = list(map(int, column))
    steps = {b - a for a, b in itertools.pairwise(numbers)}
    return Steps(column[0], str(steps.pop())) if len(steps) == 1 and min(steps) > 0 else None


def _loops(node: Expression) -> bool:
    """Whether an expression has a loop of its own."""
    node = node.body if isinstance(node, Use) else node
    return isinstance(node, Copies) or (isinstance(node, Nest) and any(_loops(part) for _, part in node.parts))


def construct(layer: PlannedLayer, library: bool = True) -> Call:
    """A plain layer's constructor call: required parameters by position, the others by name, defaults left out."""
    known = layer.component.parameters
    required = [name for name, p in known.items() if p.required]
    leading = next((i for i, (name, p) in enumerate(known.items()) if not p.required), len(known))
    defaults = {name: text(name, p.default) for name, p in known.items() if not p.required and _literal(p.default)}
    given = {name: text(name, value) for name, value in layer.params.items()}
    values = {name: given.get(name, defaults.get(name)) for name in known if name in given or name in defaults}
    rest = {name: value for name, value in given.items() if name not in known}
    ordered: dict[str, str | Steps] = {k: v for k, v in {**values, **rest}.items() if v is not None}
    callee = f"{origin(layer.component.cls) if library else ''}{layer.component.name}"
    return Call(callee, ordered, min(leading, len(required)), defaults)


def origin(cls: type) -> str:
    """The library that a class is written with: `nn.`, `ops.`, or nothing for one that is imported by its own name."""
    module = cls.__module__
    if module.startswith("torchvision.") and cls.__name__ in {stand_in.__name__ for stand_in in STAND_INS}:
        return ""
    return "nn." if module.startswith("torch.nn.") else "ops." if module.startswith("torchvision.") else ""


def _literal(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_literal, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _keyword(name: str, value: str) -> str:
    """A keyword argument; one whose name is no Python name (only Identity takes such) goes through a mapping."""
    if name.isidentifier() and not keyword.iskeyword(name):
        return f"{name}={value}"
    return f"**{{{text('name', name)}: {value}}}"


def text(name: str, value: Any) -> str:
    """A parameter's value as Python writes it."""
    if name == "dtype" and value in DTYPES:
        return f"torch.{value}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{text('', k)}: {text('', v)}" for k, v in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        items = ", ".join(text("", v) for v in value)
        return f"[{items}]" if isinstance(value, list) else f"({items}{',' if len(value) == 1 else ''})"
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    plain = isinstance(value, str) and value.isprintable() and '"' not in value and "\\" not in value
    return f'"{value}"' if plain else repr(value)


def skeleton(node: Expression) -> Any:
    """What must be equal for two expressions to be one with different values."""
    if isinstance(node, Use):
        node = node.call or node.body
    if isinstance(node, Call):
        return (node.callee, tuple((name, isinstance(value, Steps)) for name, value in node.values.items()))
    if isinstance(node, Copies):
        return skeleton(node.of)
    if node.kind == "Repeat":  # however many copies of each there are
        return ("Repeat", tuple(skeleton(part) for _, part in node.parts))
    return (node.kind, tuple((name, skeleton(part)) for name, part in node.parts), skeleton(node.call))


def slots(node: Expression, looped: bool = False) -> Iterator[tuple[str, str | Steps]]:
    """The values in an expression, with the names of their parameters, always in the same order.

    Of a number that grows in a loop of the same expression, the first value and the step are two values.
    """
    if isinstance(node, Use):
        node = node.call or node.body
    if isinstance(node, Call):
        for name, value in node.values.items():
            if looped and isinstance(value, Steps):
                yield from ((name, value.first), ("step", value.step))
            else:
                yield name, value
    elif isinstance(node, Copies):
        yield from slots(node.of, looped=True)
        yield "times", node.times
    else:
        for _, part in node.parts:
            yield from slots(part, looped)
        yield from slots(node.call, looped)


def filled(node: Expression, values: Iterator[str | Steps], looped: bool = False) -> Expression:
    """The expression with other values in its slots."""
    if isinstance(node, Use):
        node = node.call or node.body
    if isinstance(node, Call):
        return replace(node, values={k: _next(v, values, looped) for k, v in node.values.items()})
    if isinstance(node, Copies):
        return Copies(filled(node.of, values, looped=True), str(next(values)))
    parts = tuple((name, filled(part, values, looped)) for name, part in node.parts)
    call = filled(node.call, values, looped)
    assert isinstance(call, Call)
    return Nest(node.kind, parts, call)


def _next(value: str | Steps, values: Iterator[str | Steps], looped: bool) -> str | Steps:
    return Steps(str(next(values)), str(next(values))) if looped and isinstance(value, Steps) else next(values)
