"""A function for each block.

The uses of a block are laid on one another: what is equal in all of them is written into the function, what differs
becomes a parameter of it.
"""

from __future__ import annotations

import builtins
import keyword
from collections import Counter
from collections.abc import Sequence
from typing import Any

from cnnexp.architecture.python.expressions import (
    OWN,
    Call,
    Copies,
    Expression,
    Nest,
    Steps,
    Use,
    filled,
    skeleton,
    slots,
)
from cnnexp.architecture.python.printing import STEP, shown

_RESERVED = {
    *("nn", "ops", "torch", "model", "OrderedDict", "Tensor", "fnmatchcase", "load_file", "i", "_"),
    *(cls.__name__ for cls in OWN),
    *dir(builtins),
}


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
            groups.setdefault((use.block, skeleton(use.body)), []).append(use)
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


def _function(name: str, group: Sequence[Use], taken: set[str]) -> str:
    """The function of a block for uses that differ in values only; the uses become calls of it."""
    rows = [list(slots(use.body)) for use in group]
    columns = [(rows[0][i][0], tuple(row[i][1] for row in rows)) for i in range(len(rows[0]))]
    given: dict[tuple[str, ...], str] = {}
    for key in group[0].params:
        given.setdefault(tuple(use.params.get(key, "") for use in group), key)
    parameters: dict[tuple[str | Steps, ...], str] = {}
    for slot, column in columns:
        constant = len(set(column)) == 1 and isinstance(column[0], str)
        if not constant and column not in parameters:
            named = [name for name, other in columns if other == column]
            wanted = given.get(tuple(map(str, column))) or ("in_channels" if "in_channels" in named else slot)
            parameters[column] = _free(wanted, taken | set(parameters.values()))
    body = filled(group[0].body, iter([parameters.get(column, column[0]) for _, column in columns]))
    defaults = {own: usual for column, own in parameters.items() if (usual := _usual(column)) is not None}
    ordered = sorted(parameters.items(), key=lambda item: item[1] in defaults)
    for index, use in enumerate(group):
        values: dict[str, str | Steps] = {own: column[index] for column, own in ordered}
        use.call = Call(name, values, len(values) - len(defaults), defaults)
    heads = [f"{own}={defaults[own]}" if own in defaults else own for _, own in ordered]
    return f"def {name}({', '.join(heads)}):\n{STEP}return {shown(body, STEP)}\n"


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
