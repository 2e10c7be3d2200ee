"""An expression as text: in one line where it fits, else indented."""

from __future__ import annotations

from collections.abc import Sequence

from cnnexp.architecture.python.expressions import Call, Copies, Expression, Nest, Steps, Use, slots, text

STEP = "    "
_WIDTH = 100


def shown(node: Expression, indent: str) -> str:
    """An expression as text whose further lines are indented."""
    if isinstance(node, Use):
        return shown(node.call or node.body, indent)
    if isinstance(node, Call):
        return str(node)
    if isinstance(node, Copies):
        return _loop(node, indent)
    inner = indent + STEP
    if node.kind == "Repeat":
        return _bracketed("nn.Sequential(", [shown(part, inner) for _, part in node.parts], ")", indent)
    if node.kind == "Sequential":
        return _sequential(node, indent)
    if node.kind == "Parallel":
        pairs = [f"{text('name', name)}: {shown(part, inner + STEP)}" for name, part in node.parts]
        more = str(node.call)[len("Parallel(") : -1]
        return _bracketed("Parallel(", [_bracketed("{", pairs, "}", inner), *([more] if more else [])], ")", indent)
    return _bracketed(f"{node.kind}(", [shown(part, inner) for _, part in node.parts], ")", indent)


def _loop(node: Copies, indent: str) -> str:
    """The copies of an expression among the arguments of a Sequential."""
    if node.times == "1":
        return shown(node.of, indent)
    counter = "i" if any(isinstance(value, Steps) for _, value in slots(node.of)) else "_"
    loop = f"for {counter} in range({node.times})"
    flat = f"*[{shown(node.of, indent)} {loop}]"
    if "\n" not in flat and len(indent) + len(flat) <= _WIDTH:
        return flat
    inner = indent + STEP
    return f"*[\n{inner}{shown(node.of, inner)}\n{inner}{loop}\n{indent}]"


def _sequential(node: Nest, indent: str) -> str:
    inner = indent + STEP
    if all(name == str(i) for i, (name, _) in enumerate(node.parts)):
        return _bracketed("nn.Sequential(", [shown(part, inner) for _, part in node.parts], ")", indent)
    deep = inner + STEP * 2
    pairs = []
    for name, part in node.parts:
        one = f"({text('name', name)}, {shown(part, deep)})"
        flat = "\n" not in one and len(deep) + len(one) < _WIDTH
        pairs.append(
            one if flat else f"(\n{deep}{STEP}{text('name', name)},\n{deep}{STEP}{shown(part, deep + STEP)},\n{deep})"
        )
    listed = "".join(f"{deep}{pair},\n" for pair in pairs)
    return f"nn.Sequential(\n{inner}OrderedDict(\n{inner}{STEP}[\n{listed}{inner}{STEP}]\n{inner})\n{indent})"


def _bracketed(opening: str, items: Sequence[str], closing: str, indent: str) -> str:
    """Items between brackets: in one line where they fit, else each in its own."""
    flat = f"{opening}{', '.join(items)}{closing}"
    if len(indent) + len(flat) <= _WIDTH and "\n" not in flat:
        return flat
    return f"{opening}\n" + "".join(f"{indent}{STEP}{item},\n" for item in items) + f"{indent}{closing}"
