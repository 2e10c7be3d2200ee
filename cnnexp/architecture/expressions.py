"""Python expressions that make a network: one for each planned layer, and a function for each block.

The uses of a block are laid on one another: what is equal in all of them is written into the function, what differs
becomes a parameter of it.
"""

from __future__ import annotations

import bisect
import builtins
import itertools
import keyword
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cnnexp.architecture.catalog import DTYPES
from cnnexp.architecture.composites import Parallel, Residual, Slice, Unpool
from cnnexp.architecture.plan import PlannedLayer
from cnnexp.architecture.standins import STAND_INS

OWN = (Residual, Parallel, Unpool, Slice, *STAND_INS)
"""The classes that a source must hold itself: the layer language's, and stand-ins for torchvision's small layers."""

_WIDTH = 100
_STEP = "    "
_RESERVED = {
    *("nn", "ops", "torch", "model", "OrderedDict", "Tensor", "fnmatchcase", "load_file", "i", "_"),
    *(cls.__name__ for cls in OWN),
    *dir(builtins),
}


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
    if any(_loops(part) for part in parts) or len({_skeleton(part) for part in parts}) > 1:
        return None
    columns = zip(*([value for _, value in _slots(part)] for part in parts), strict=True)
    values = [_progress([str(value) for value in column]) for column in columns]
    return None if None in values else _filled(parts[0], iter([v for v in values if v is not None]))


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


def functions(roots: Sequence[Expression]) -> list[str]:
    """A function for each block, the inner ones first; every use in the expressions becomes a call of its function.

    Uses that hold other layers than the first ones do get a function of their own.
    """
    levels: dict[int, list[Use]] = {}
    for root in roots:
        _collect(root, levels)
    taken = set(_RESERVED) | {use.block for uses in levels.values() for use in uses}
    first: set[str] = set()
    made = []
    for _, uses in sorted(levels.items()):
        groups: dict[Any, list[Use]] = {}
        for use in uses:
            groups.setdefault((use.block, _skeleton(use.body)), []).append(use)
        for (block, _), group in groups.items():
            own = block not in first and block not in _RESERVED and not keyword.iskeyword(block)
            name = block if own else _free(block, taken)
            first.add(block)
            taken.add(name)
            made.append(_function(name, group, taken))
    return made


def _collect(node: Expression, levels: dict[int, list[Use]]) -> int:
    """Put every use of a block at its level, how many uses stand inside one another in it; gives the next level."""
    if isinstance(node, Use):
        height = _collect(node.body, levels)
        levels.setdefault(height, []).append(node)
        return height + 1
    if isinstance(node, Copies):
        return _collect(node.of, levels)
    if isinstance(node, Nest):
        return max((_collect(part, levels) for _, part in node.parts), default=0)
    return 0


def _skeleton(node: Expression) -> Any:
    """What must be equal for two expressions to be one with different values."""
    if isinstance(node, Use):
        node = node.call or node.body
    if isinstance(node, Call):
        return (node.callee, tuple((name, isinstance(value, Steps)) for name, value in node.values.items()))
    if isinstance(node, Copies):
        return _skeleton(node.of)
    if node.kind == "Repeat":  # however many copies of each there are
        return ("Repeat", tuple(_skeleton(part) for _, part in node.parts))
    return (node.kind, tuple((name, _skeleton(part)) for name, part in node.parts), _skeleton(node.call))


def _slots(node: Expression, looped: bool = False) -> Iterator[tuple[str, str | Steps]]:
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
        yield from _slots(node.of, looped=True)
        yield "times", node.times
    else:
        for _, part in node.parts:
            yield from _slots(part, looped)
        yield from _slots(node.call, looped)


def _filled(node: Expression, values: Iterator[str | Steps], looped: bool = False) -> Expression:
    """The expression with other values in its slots."""
    if isinstance(node, Use):
        node = node.call or node.body
    if isinstance(node, Call):
        return replace(node, values={k: _next(v, values, looped) for k, v in node.values.items()})
    if isinstance(node, Copies):
        return Copies(_filled(node.of, values, looped=True), str(next(values)))
    parts = tuple((name, _filled(part, values, looped)) for name, part in node.parts)
    call = _filled(node.call, values, looped)
    assert isinstance(call, Call)
    return Nest(node.kind, parts, call)


def _next(value: str | Steps, values: Iterator[str | Steps], looped: bool) -> str | Steps:
    return Steps(str(next(values)), str(next(values))) if looped and isinstance(value, Steps) else next(values)


def _function(name: str, group: Sequence[Use], taken: set[str]) -> str:
    """The function of a block for uses that differ in values only; the uses become calls of it."""
    rows = [list(_slots(use.body)) for use in group]
    columns = [(rows[0][i][0], tuple(row[i][1] for row in rows)) for i in range(len(rows[0]))]
    given: dict[tuple[str, ...], str] = {}
    for key in group[0].params:
        given.setdefault(tuple(use.params.get(key, "") for use in group), key)
    parameters: dict[tuple[str | Steps, ...], str] = {}
    for slot, column in columns:
        constant = len(set(column)) == 1 and isinstance(column[0], str)
        if not constant and column not in parameters:
            slots = [name for name, other in columns if other == column]
            wanted = given.get(tuple(map(str, column))) or ("in_channels" if "in_channels" in slots else slot)
            parameters[column] = _free(wanted, taken | set(parameters.values()))
    body = _filled(group[0].body, iter([parameters.get(column, column[0]) for _, column in columns]))
    defaults = {own: usual for column, own in parameters.items() if (usual := _usual(column)) is not None}
    ordered = sorted(parameters.items(), key=lambda item: item[1] in defaults)
    for index, use in enumerate(group):
        values: dict[str, str | Steps] = {own: column[index] for column, own in ordered}
        use.call = Call(name, values, len(values) - len(defaults), defaults)
    heads = [f"{own}={defaults[own]}" if own in defaults else own for _, own in ordered]
    return f"def {name}({', '.join(heads)}):\n{_STEP}return {shown(body, _STEP)}\n"


def _usual(column: Sequence[str | Steps]) -> str | None:
    """The value that most uses give, where it is worth a default."""
    value, count = Counter(column).most_common(1)[0]
    return value if isinstance(value, str) and len(column) > 2 and 2 * count > len(column) else None


def _free(wanted: str, taken: set[str]) -> str:
    """A Python name near the wanted one that is not taken."""
    name, number = (f"{wanted}_" if keyword.iskeyword(wanted) else wanted), 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    return name


def shown(node: Expression, indent: str) -> str:
    """An expression as text whose further lines are indented."""
    if isinstance(node, Use):
        return shown(node.call or node.body, indent)
    if isinstance(node, Call):
        return str(node)
    if isinstance(node, Copies):
        return _loop(node, indent)
    inner = indent + _STEP
    if node.kind == "Repeat":
        return _bracketed("nn.Sequential(", [shown(part, inner) for _, part in node.parts], ")", indent)
    if node.kind == "Sequential":
        return _sequential(node, indent)
    if node.kind == "Parallel":
        pairs = [f"{text('name', name)}: {shown(part, inner + _STEP)}" for name, part in node.parts]
        more = str(node.call)[len("Parallel(") : -1]
        return _bracketed("Parallel(", [_bracketed("{", pairs, "}", inner), *([more] if more else [])], ")", indent)
    return _bracketed(f"{node.kind}(", [shown(part, inner) for _, part in node.parts], ")", indent)


def _loop(node: Copies, indent: str) -> str:
    """The copies of an expression among the arguments of a Sequential."""
    if node.times == "1":
        return shown(node.of, indent)
    counter = "i" if any(isinstance(value, Steps) for _, value in _slots(node.of)) else "_"
    loop = f"for {counter} in range({node.times})"
    flat = f"*[{shown(node.of, indent)} {loop}]"
    if "\n" not in flat and len(indent) + len(flat) <= _WIDTH:
        return flat
    inner = indent + _STEP
    return f"*[\n{inner}{shown(node.of, inner)}\n{inner}{loop}\n{indent}]"


def _sequential(node: Nest, indent: str) -> str:
    inner = indent + _STEP
    if all(name == str(i) for i, (name, _) in enumerate(node.parts)):
        return _bracketed("nn.Sequential(", [shown(part, inner) for _, part in node.parts], ")", indent)
    deep = inner + _STEP * 2
    pairs = []
    for name, part in node.parts:
        one = f"({text('name', name)}, {shown(part, deep)})"
        flat = "\n" not in one and len(deep) + len(one) < _WIDTH
        pairs.append(
            one
            if flat
            else f"(\n{deep}{_STEP}{text('name', name)},\n{deep}{_STEP}{shown(part, deep + _STEP)},\n{deep})"
        )
    listed = "".join(f"{deep}{pair},\n" for pair in pairs)
    return f"nn.Sequential(\n{inner}OrderedDict(\n{inner}{_STEP}[\n{listed}{inner}{_STEP}]\n{inner})\n{indent})"


def _bracketed(opening: str, items: Sequence[str], closing: str, indent: str) -> str:
    """Items between brackets: in one line where they fit, else each in its own."""
    flat = f"{opening}{', '.join(items)}{closing}"
    if len(indent) + len(flat) <= _WIDTH and "\n" not in flat:
        return flat
    return f"{opening}\n" + "".join(f"{indent}{_STEP}{item},\n" for item in items) + f"{indent}{closing}"
