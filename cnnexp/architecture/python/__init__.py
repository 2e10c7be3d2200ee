"""A Plan becomes stand-alone PyTorch source, as a person would write it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn

from cnnexp.architecture.fitting import times
from cnnexp.architecture.plan import Plan, PlannedLayer
from cnnexp.architecture.python.expressions import OWN, Call, Nest, expression, origin, text
from cnnexp.architecture.python.functions import functions
from cnnexp.architecture.python.printing import shown
from cnnexp.architecture.start import Step


def source(plan: Plan, title: str) -> str:
    """Source that imports torch alone and leaves the network in `model`.

    Layers of torchvision and of the user's own are imported from where they are.

    Arguments:
        plan: the network.
        title: the first words of the module's docstring.

    Returns:
        Python text; executing it with the same seed draws the same weights as `plan.build(seed)`.
    """
    parts = tuple((layer.name, expression(layer)) for layer in plan.layers)
    blocks = functions([part for _, part in parts])
    model = f"model = {_spread(Nest('Sequential', parts, Call('nn.Sequential', {})))}\n"
    body = "\n\n".join([*blocks, model]) if blocks else model
    held = {x.component.name for _, _, x in plan.walk() if _is_held(x)}
    classes = [inspect.getsource(cls) for cls in OWN if cls.__name__ in held]
    body = "\n\n".join([*classes, body]) + "".join(f"\n{text}" for text in _start(plan))
    heading = "".join(c if c.isprintable() and c not in '\\"' else " " for c in title)
    docstring = f'"""{heading}: {times(plan.input_shape)} in, {times(plan.output_shape)} out."""'
    gap = "\n" if classes or blocks else ""
    return "\n".join([docstring, "", *_imports(body, plan), gap, body])


def _is_held(layer: PlannedLayer) -> bool:
    """Whether a layer is of a class that the source holds itself."""
    cls = layer.component.cls
    return cls in OWN or (cls.__module__.startswith("torchvision.") and origin(cls) == "")


def _spread(model: Nest) -> str:
    """The network itself, every layer in a line of its own."""
    flat = shown(model, "")
    if "\n" in flat:
        return flat
    items = [f"    {shown(part, '    ')},\n" for _, part in model.parts]
    return f"nn.Sequential(\n{''.join(items)})"


def _imports(body: str, plan: Plan) -> Iterator[str]:
    standard = ["from collections import OrderedDict"] if "OrderedDict(" in body else []
    standard += ["from fnmatch import fnmatchcase"] if "fnmatchcase(" in body else []
    yield from [*standard, ""] if standard else []
    if "torch." in body.replace("torch.nn", ""):
        yield "import torch"
    if "load_file(" in body:
        yield "from safetensors.torch import load_file"
    yield "from torch import Tensor, nn" if "Tensor" in body else "from torch import nn"
    if "ops." in body:
        yield "from torchvision import ops"
    foreign = {x.component.cls for _, _, x in plan.walk() if not (x.composite or _is_held(x))}
    own = sorted((cls.__module__, cls.__name__) for cls in foreign if not origin(cls))
    yield from [""] if own else []
    yield from (f"from {module} import {name}" for module, name in own)


def _start(plan: Plan) -> Iterator[str]:
    """The statements that set and freeze weights."""
    if not (plan.start.steps or plan.start.freeze):
        return
    with torch.device("meta"):
        model = plan.structure()
    for step in plan.start.steps:
        yield _loading(step) if step.rule.source is not None else _drawing(step, model)
    every = [name for name, _ in model.named_parameters()]
    for pattern, names in plan.start.freeze:
        condition = _condition("name", pattern, names, every)
        loop = "for name, parameter in model.named_parameters():"
        yield f"{loop}\n    if {condition}:\n        parameter.requires_grad_(False)\n"


def _condition(variable: str, pattern: str, names: Sequence[str], every: Sequence[str]) -> str:
    """A test for exactly these names, as short as the pattern allows."""
    if [n for n in every if fnmatchcase(n, pattern)] == list(names):
        return f"fnmatchcase({variable}, {text('pattern', pattern)})"
    if [n for n in every if n.startswith(f"{pattern}.")] == list(names):
        return f"{variable}.startswith({text('pattern', f'{pattern}.')})"
    return f"{variable} in {_names(names)}"


def _names(names: Sequence[str]) -> str:
    flat = f"({', '.join(text('name', n) for n in names)}{',' if len(names) == 1 else ''})"
    if len(flat) < 80:
        return flat
    return "(\n" + "".join(f"        {text('name', n)},\n" for n in names) + "    )"


def _drawing(step: Step, model: nn.Module) -> str:
    """A loop over the layers whose weights a rule draws."""
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in step.names))
    modules = {name: module for name, module in model.named_modules() if name}
    kinds = {type(modules[name]) for name in layers}
    alike = [name for name, module in modules.items() if type(module) in kinds]
    lines = []
    for key, (component, params) in step.rule.fills.items():
        more = "".join(f", {k}={text(k, v)}" for k, v in params.items())
        call = f"nn.init.{component.name}(module.{key}{more})"
        lacking = any(f"{name}.{key}" not in step.names for name in layers)
        lines += [f"if getattr(module, {text('key', key)}, None) is not None:", f"    {call}"] if lacking else [call]
    exact = all(isinstance(modules[n], tuple(kinds)) == (n in layers) for n in modules)
    if alike == layers and exact and all(getattr(nn, kind.__name__, None) is kind for kind in kinds):
        wanted = [f"nn.{kind.__name__}" for kind in sorted(kinds, key=lambda k: k.__name__)]
        names = wanted[0] if len(wanted) == 1 else f"({', '.join(wanted)})"
        inside = "".join(f"        {line}\n" for line in lines)
        return f"for module in model.modules():\n    if isinstance(module, {names}):\n{inside}"
    inside = "".join(f"        {line}\n" for line in lines)
    return f"for name, module in model.named_modules():\n    if name in {_names(layers)}:\n{inside}"


def _loading(step: Step) -> str:
    """The statements that put the weights of a file into the network."""
    file = text("file", str(step.file))
    safe = step.file is not None and step.file.suffix == ".safetensors"
    read = f"load_file({file})" if safe else f'torch.load({file}, map_location="cpu", weights_only=True)'
    within = (
        'if "state_dict" in weights:\n'
        '    weights = {k.removeprefix("model."): v for k, v in weights["state_dict"].items()}\n'
    )
    return (
        f"weights = {read}\n{'' if safe else within}"
        f"model.load_state_dict({{k: weights[k] for k in {_names(step.names)}}}, strict=False)\n"
    )
