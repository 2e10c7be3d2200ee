"""Layer types in plain words: a list of all of them, and one at a time with its parameters, sizes and windows.

Shapes and costs are the Plan's; the knowledge is in `formulas`, the pictures are `window`'s.
"""

from __future__ import annotations

import dataclasses
import math
import re
import textwrap
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from cnnexp import kinds, tables
from cnnexp.architecture.catalog import DTYPES, dimensions, inferable, wide
from cnnexp.architecture.composites import COMPOSITES, STRUCTURE, is_composite
from cnnexp.architecture.explain import formulas, window
from cnnexp.architecture.explain.formulas import meaning, summary
from cnnexp.architecture.fitting import Shape, times
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.plan import PlannedLayer
from cnnexp.architecture.planning import make_plan
from cnnexp.components import Component
from cnnexp.errors import Problem

__all__ = ["catalogue", "example_input", "examples", "explain", "meaning", "summary"]

_WIDTH = 80
_KINDS: Mapping[str, str] = {
    "conv": "convolutions",
    "pooling": "pools",
    "batchnorm": "normalisations",
    "instancenorm": "normalisations",
    "normalization": "normalisations",
    "activation": "activations",
    "dropout": "dropout",
    "padding": "padding",
    "flatten": "reshaping",
    "fold": "reshaping",
    "channelshuffle": "reshaping",
    "pixelshuffle": "resizing",
    "upsampling": "resizing",
    "linear": "linear",
    "composites": "reshaping",
    "stochastic_depth": "dropout",
    "drop_block": "dropout",
}
_EITHER: Mapping[str, tuple[str, str]] = {
    "Upsampl*": ("scale_factor", "size"),
    "Fractional*": ("output_ratio", "output_size"),
}
_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "out_channels": {"*": 8},
    "kernel_size": {"*Conv*": 3, "*": 2},
    "output_size": {"*": 4},
    "output_ratio": {"*": 0.7},
    "out_features": {"*": 10},
    "norm_type": {"*": 2},
    "padding": {"*": 1},
    "value": {"*": 0},
    "threshold": {"*": 0.5},
    "size": {"*": 5},
    "scale_factor": {"*": 2},
    "upscale_factor": {"*": 2},
    "downscale_factor": {"*": 2},
    "dim": {"*": 1},
    "p": {"*": 0.2},
    "mode": {"StochasticDepth": "row"},
    "block_size": {"*": 3},
    "squeeze_channels": {"*": 4},
    "hidden_channels": {"*": [32, 10]},
}
_INPUTS: Mapping[str, Shape] = {
    "PixelShuffle": (12, 16, 16),
    "ChannelShuffle": (6, 16, 16),
    "GroupNorm": (6, 16, 16),
    "Fold": (12, 9),
    "Unfold": (3, 8, 8),
    "Unflatten": (12,),
    "Linear": (64,),
    "MLP": (64,),
    "BatchNorm1d": (64,),
    "TransformerEncoderLayer": (16, 32),
}


def _matching(table: Mapping[str, Any], type_name: str) -> Any:
    return next((value for pattern, value in table.items() if fnmatchcase(type_name, pattern)), None)


def catalogue() -> str:
    """Every layer type by kind, with what must be given and what is inferred, then the types that are refused."""
    groups: dict[str, list[Component]] = {kind: [] for kind in [*_KINDS.values(), "others"]}
    for component in wide().entries.values():
        groups[_KINDS.get(component.cls.__module__.rsplit(".", 1)[-1], "others")].append(component)
    groups["composites"] = list(COMPOSITES.entries.values())
    grid = tables.grid()
    grid.add_column("layer type")
    grid.add_column("what must be given (what is inferred)")
    for kind, components in groups.items():
        if components:
            grid.add_row(f"{kind}:")
        for component in components:
            either = _matching(_EITHER, component.name)
            must = ", ".join([*_needed(component), *([" or ".join(either)] if either else [])])
            inferred = ", ".join(inferable(component))
            grid.add_row(f"  {component.name}", f"{must}{f' ({inferred})' if inferred else ''}".strip())
    return f"{tables.text(grid)}\n\n{_refused()}"


def _needed(component: Component) -> list[str]:
    """What has no default and does not follow from what arrives."""
    inside = STRUCTURE[component.name] if is_composite(component) else ()
    optional = {*inferable(component), "shortcut"}
    required = [name for name, p in component.parameters.items() if p.required]
    return [name for name in dict.fromkeys([*required, *inside]) if name not in optional]


def _refused() -> str:
    """The types that no stack may name, by reason."""
    reasons: dict[str, list[str]] = {}
    for name, reason in wide().refused.items():
        general = re.sub(r"\d+ inputs \(.*?\)", "several inputs", reason)
        general = re.sub(r"^write \w+,", "write the type without 'Lazy',", general)
        if not COMPOSITES.find(name):
            reasons.setdefault(re.sub(r"its parameter '\w+'", "a parameter", general), []).append(name)
    lines = ["These cannot stand in a stack:"]
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        lines += [*_wrapped(reason, "  "), *_wrapped(", ".join(names), "      ")]
    return "\n".join(lines)


def _wrapped(text: str, indent: str = "", hanging: str = "") -> list[str]:
    """A text as lines, each with an indent; all but the first with a hanging one besides."""
    folded = textwrap.TextWrapper(_WIDTH, indent, indent + hanging, break_long_words=False, break_on_hyphens=False)
    return folded.wrap(text)


def example_input(component: Component) -> Shape:
    """A sample shape that a layer type takes with the examples of `explain`, such as (3, 32, 32)."""
    spatial: Mapping[int, Shape] = {1: (3, 32), 2: (3, 32, 32), 3: (3, 8, 32, 32)}
    named = re.search(r"([123])d", component.name)
    return _INPUTS.get(component.name) or spatial[int(named[1]) if named else 2]


def explain(
    component: Component, params: Mapping[str, Any], input_shape: tuple[int, ...] | None
) -> tuple[str, list[Problem]]:
    """What a layer type does, takes and gives, as lines of text that fit into 80 columns.

    Arguments:
        component: the layer type.
        params: parameters as YAML would give them; what is missing gets an example.
        input_shape: the sample shape that arrives, such as (3, 32, 32); None leaves the numbers out.

    Returns:
        the text, as far as it could be made, and all problems of the parameters and of the input shape. A problem's
        path is the parameter's name, or empty where it is about the layer.
    """
    known = summary(component.name)
    title = f"{component.name}: {known[0].lower()}{known[1:]}" if known else component.name
    parts = ["\n".join(_wrapped(title)), _parameters(component)]
    chosen = examples(component, params, input_shape)
    given = {**params, **chosen}
    if {"type", "name"} & set(params) or any(name not in given for name in _needed(component)):
        own = {name: value for name, value in params.items() if name not in STRUCTURE.get(component.name, ())}
        return "\n\n".join(parts), component.check(own, (), component.name, optional=component.parameters)
    stack, problems = parse({"layers": [{"type": component.name, **given}]})
    values = {name: p.default for name, p in component.parameters.items()} | component.convert(given)
    if not problems:
        parts += _size(component, values)
    if input_shape is not None and stack.whole:
        dtype = given["dtype"] if given.get("dtype") in DTYPES else "float32"
        plan, more = make_plan(stack, input_shape, dtype)
        problems += more
        if plan.layers and not problems:
            parts += _numbers(plan.layers[0], params, chosen)
    return "\n\n".join(parts), [_about(problem) for problem in problems]


def _about(problem: Problem) -> Problem:
    """A problem of the only layer, without the place in a stack that nobody wrote."""
    message = problem.message.removeprefix("layers[0] ")
    return dataclasses.replace(problem, path=problem.path[2:], message=message)


def _parameters(component: Component) -> str:
    """The table of a type's parameters."""
    rows = [*_rows(component)]
    if not rows:
        return "It takes any parameters." if component.takes_anything else "It takes no parameters."
    grid = tables.grid()
    names, defaults, values = (max(len(row[i]) for row in rows) for i in range(3))
    values = min(values, 24)
    taken = max(names, len("parameter")) + max(defaults, len("default")) + values + 11  # the gaps between columns
    for heading, width in (("parameter", None), ("default", None), ("value", values), ("meaning", _WIDTH - taken)):
        grid.add_column(heading, max_width=width)
    for row in rows:
        grid.add_row(*row)
    return tables.text(grid)


def _rows(component: Component) -> Iterator[tuple[str, str, str, str]]:
    """Name, default, value and meaning of each parameter, and of what stands inside a composite."""
    inferred = inferable(component)
    for name, p in component.parameters.items():
        default = "inferred" if name in inferred else "required" if p.required else _default(p.default)
        yield name, default, kinds.describe(p.annotation), meaning(component.name, name)
    for name in STRUCTURE[component.name] if is_composite(component) else ():
        default = "null" if name == "shortcut" else "required"
        value = {"pool": "a layer", "shortcut": "a layer or a list of layers"}.get(name, "a list of layers")
        yield name, default, value, meaning(component.name, name)


def _default(value: Any) -> str:
    """A default in YAML's words."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    return getattr(value, "__name__", "") or kinds.shown(value)


def _size(component: Component, values: Mapping[str, Any]) -> Iterator[str]:
    """How the size that leaves follows, in general."""
    formula = formulas.formula(component.name)
    if formula:
        words = [line for text in formula.words(values) for line in _wrapped(text, "  ", "    ")]
        yield "\n".join(["Output size", *words])
    elif formulas.keeps_shape(component.name):
        yield "The shape stays as it is."


def _numbers(layer: PlannedLayer, params: Mapping[str, Any], examples: Mapping[str, Any]) -> Iterator[str]:
    """What comes out for one input shape, and the picture of the windows."""
    values = {name: p.default for name, p in layer.component.parameters.items()} | dict(layer.params)
    formula = formulas.formula(layer.type)
    lines = formula.lines(values, layer.input_shape) if formula else ()
    counted = tuple(line.value for line in lines if not line.inner)
    if counted != layer.output_shape:
        lines = ()  # the plan is the truth; a formula that says otherwise is better not shown
    rows = [*_merged(lines), ("output", times(layer.output_shape))]
    rows += [("parameters", f"{layer.parameters:,}"), ("multiply-adds", f"{layer.multiply_adds:,}")]
    margin = max(len(name) for name, _ in rows) + 2
    heading = "\n".join(_wrapped(_settings(layer.input_shape, params, examples)))
    yield "\n".join([heading, *(f"  {name:<{margin}}{text}" for name, text in rows)])
    counts = [line.value for line in lines if line.name not in ("channels", "dim 1", "dim 2")]
    spatial = len(layer.input_shape) - 1
    if lines and len(counts) == spatial == (dimensions(layer.type) or 2):
        yield from _picture(window.walks(layer.type, values, layer.input_shape, counts))


def _merged(lines: tuple[window.Line, ...]) -> list[tuple[str, str]]:
    """The filled-in formulas; neighbouring dimensions with the same one share a row."""
    rows: list[tuple[str, str]] = []
    for line in lines:
        text = line.text if line.text == str(line.value) else f"{line.text} = {line.value}"
        if rows and rows[-1][1] == text and line.name != "dim 2":
            rows[-1] = (f"{rows[-1][0]}, {line.name}", text)
        else:
            rows.append((line.name, text))
    return rows


def _settings(shape: Shape, params: Mapping[str, Any], examples: Mapping[str, Any]) -> str:
    """The sentence that says for which input and parameters the numbers are, and which of them are examples."""
    written, chosen = (", ".join(f"{k}={_plain(v)}" for k, v in some.items()) for some in (params, examples))
    example = f" ({'examples' if len(examples) > 1 else 'example'}: {chosen})" if chosen else ""
    return f"For an input of {times(shape)}{f' with {written}' if written else ''}{example}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else kinds.shown(value)


def _picture(walks: tuple[window.Walk, ...]) -> Iterator[str]:
    """The picture of the dimension with the widest window, and which others look the same."""
    if not walks:
        return

    def worth(walk: window.Walk) -> tuple[int, bool]:
        reach = max((w[-1] - w[0] for w in walk.windows), default=sum(map(abs, walk.outside)))
        return reach, bool(walk.note or walk.missing())

    axes = window.AXES[len(walks)]
    best = max(reversed(walks), key=worth)
    same = [name for name, walk in zip(axes, walks, strict=True) if walk == best]
    kind = "The windows" if best.windows else "The border"
    kind = kind if best.columns == "x" else "How inputs x spread over outputs y"
    heading = f"{kind} along {' and '.join([', '.join(same[:-1]), same[-1]] if same[1:] else same)}"
    yield f"{heading}\n{textwrap.indent(window.picture(best, _WIDTH - 2), '  ')}"


def examples(component: Component, given: Mapping[str, Any], shape: Shape | None) -> Mapping[str, Any]:
    """Values for what must be given and is not, chosen so that they fit what is given and what arrives."""
    found: dict[str, Any] = {}
    wanted = _needed(component)
    either = _matching(_EITHER, component.name)
    if either and all(given.get(name) is None for name in either):
        wanted.append(either[0])
    if component.name == "TransformerEncoderLayer":
        wanted.append("batch_first")
    for name in wanted:
        if name not in given:
            value = _fitting(component.name, name, {**given, **found}, shape or example_input(component))
            if value is None:
                value = _matching(_EXAMPLES.get(name, {}), component.name)
            if value is not None:
                found[name] = value
    return MappingProxyType(found)


def _fitting(type_name: str, name: str, given: Mapping[str, Any], shape: Shape) -> Any:
    """An example that depends on the other parameters or on the shape, or None."""
    groups, padding = given.get("groups"), given.get("padding")
    if name == "out_channels" and isinstance(groups, int) and groups > 0:
        return groups * math.ceil(8 / groups)
    if name == "kernel_size" and "Pool" in type_name and isinstance(padding, int):
        return max(2, 2 * padding)
    if name in ("groups", "num_groups"):
        channels = given.get("num_channels", shape[0] if shape else 1)
        return _divisor(channels, 3)
    if name == "dims":
        return [0, *range(2, len(shape) + 1), 1]
    if name == "d_model":
        return shape[-1] if shape else None
    if name == "nhead":
        return _divisor(given.get("d_model"), 4)
    if name == "batch_first":
        return True
    if type_name == "Fold" and name == "output_size":
        return [2, shape[-1] + 1] if math.isqrt(shape[-1]) ** 2 != shape[-1] else math.isqrt(shape[-1]) + 1
    if name == "unflattened_size":
        place = given.get("dim", 1)
        inside = isinstance(place, int) and -len(shape) <= place <= len(shape) and place
        size = shape[place if place < 0 else place - 1] if inside else 1
        first = _divisor(size, min(math.isqrt(size), 64))
        return [first, size // first]
    return None


def _divisor(size: Any, most: int) -> int:
    """The largest divisor of a size up to a bound."""
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        return 1
    return next(d for d in range(most, 0, -1) if size % d == 0)
