"""The way back: an nn.Module becomes the model mapping that builds the same network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cnnexp.architecture.catalog import wide
from cnnexp.architecture.composites import Parallel, Residual, Slice
from cnnexp.architecture.importer import graph
from cnnexp.architecture.importer.nesting import SHARED, Call, Item, Join
from cnnexp.architecture.importer.nodes import Unsayable
from cnnexp.architecture.importer.parts import Part, joined, overwrites, placed, recovered, sequential, written
from cnnexp.architecture.importer.tracing import Subject, Untraceable, in_mode, is_torchs, parameters_of
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.planning import make_plan
from cnnexp.architecture.python.standins import STAND_INS
from cnnexp.components import Component
from cnnexp.errors import Problem, reason

_CLOSE = 1e-5
"""How far the results of two networks may lie apart to be the same, measured by the largest value."""


_HELD = frozenset(cls.__name__ for cls in (Slice, *STAND_INS))
"""Layers whose classes stand-alone source defines itself, so that they are known by their names."""


@dataclass(frozen=True)
class Imported:
    """What could be read from a module.

    Arguments:
        model: the model mapping, plain values; empty where it could not be found.
        unsaid: what cannot be said in the layer language, each in a sentence; empty when the mapping says it all.
        weights: for every layer with tensors, by its dotted name in the network that the mapping builds, the dotted
            name of the layer in the module that was read.
    """

    model: dict[str, Any]
    unsaid: tuple[str, ...]
    weights: Mapping[str, str]


def from_module(module: nn.Module, sample: Tensor | None = None) -> Imported:
    """The model mapping of a network that was written in Python.

    Arguments:
        module: the network; it is left as it was.
        sample: a batch that it takes; needed where its forward computes with sizes.

    Returns:
        the mapping, and what it cannot say. Nothing is run but the module itself, once, on the sample.
    """
    with in_mode(module, training=False):
        try:
            parameters_of(module)
            shapes = _shapes(module, sample) if sample is not None else {}
        except Unsayable as found:
            return Imported({}, (str(found),), {})
        except Exception as error:  # whatever a stranger's forward raises
            return Imported({}, (f"the module does not take the sample: {reason(error)}",), {})
        reader = _Reader(module, shapes)
        try:
            parts = reader.root()
        except Untraceable as found:
            return Imported({}, tuple(found.reasons), {})
    if not parts:
        return Imported({}, ("the module does nothing: it has no layers",), {})
    whole = sequential(parts)
    weights = {new: reader.names[id(layer)] for new, layer in placed(whole)}
    model = written(whole)
    frozen = _frozen(module, weights)
    return Imported({**model, "freeze": frozen} if frozen else model, tuple(_unused(module, weights)), weights)


def checked(module: Any, input_shape: tuple[int, ...]) -> tuple[Imported, list[Problem]]:
    """The model mapping of a network in Python, and whether it builds a network of the same results.

    Arguments:
        module: the network.
        input_shape: the sample shape without the batch; the two networks are compared on random samples of it.

    Returns:
        what could be read; and a problem for everything that keeps the mapping from standing for the module.
    """
    if not isinstance(module, nn.Module):
        text = f"it is no torch.nn.Module but of type {type(module).__name__}"
        return Imported({}, (), {}), [Problem("cannot-say", (), text)]
    sample = torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(0))
    found = from_module(module, sample)
    if not found.model:
        return found, [Problem("cannot-say", (), text) for text in found.unsaid]
    stack, problems = parse(found.model)
    plan, misfits = make_plan(stack, input_shape)
    if problems or misfits:
        said = [replace(p, message=f"the YAML of it does not fit: {p.message}") for p in (*problems, *misfits)]
        return found, said
    built = plan.build(seed=0)
    try:
        copy_weights(module, built, found.weights)
    except RuntimeError as error:
        text = f"the YAML of it has other weights: {reason(error)}"
        return found, [Problem("cannot-say", (), text)]
    with in_mode(module, training=False), torch.no_grad():
        size = max(1.0, float(module(sample.clone()).abs().max()))
    if not (apart := difference(module, built, sample)) <= _CLOSE * size:
        return found, [Problem("cannot-say", (), f"the YAML of it gives other results: they differ by {apart:.2g}")]
    return found, []


def copy_weights(source: nn.Module, target: nn.Module, weights: Mapping[str, str]) -> None:
    """Give a network the tensors of the module that it was read from.

    Arguments:
        source: the module that was read.
        target: the network that its mapping builds; it is changed.
        weights: the names of `Imported.weights`.

    Raises:
        RuntimeError: the tensors of a layer do not fit.
    """
    for new, old in weights.items():
        target.get_submodule(new).load_state_dict(source.get_submodule(old).state_dict())


def difference(source: nn.Module, target: nn.Module, sample: Tensor) -> float:
    """The largest difference between the results of two networks in eval mode; infinite where their shapes differ."""
    with in_mode(source, training=False), in_mode(target, training=False), torch.no_grad():
        one, other = source(sample.clone()), target(sample.clone())
    if not isinstance(one, Tensor) or one.shape != other.shape:
        return float("inf")
    return float((one - other).abs().max()) if one.numel() else 0.0


def _shapes(module: nn.Module, sample: Tensor) -> dict[int, Tensor]:
    """A batch of zeros of the shape that arrives at each module inside, by the module's identity."""
    found: dict[int, Tensor] = {}

    def keep(m: nn.Module, args: tuple[Any, ...]) -> None:
        if len(args) == 1 and isinstance(args[0], Tensor):
            found.setdefault(id(m), torch.zeros_like(args[0]))

    hooks = [m.register_forward_pre_hook(keep) for m in module.modules()]
    try:
        with torch.no_grad():
            module(sample.clone())
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _unused(module: nn.Module, weights: Mapping[str, str]) -> Iterator[str]:
    """The layers with tensors that the forward never reaches."""
    used = {id(t) for name in weights.values() for t in _tensors(module.get_submodule(name))}
    for name, inner in module.named_modules():
        own = [*inner.parameters(recurse=False), *inner.buffers(recurse=False)]
        if own and not any(id(t) in used for t in own):
            yield f"{name}: its weights are never used in eval mode".removeprefix(": ")


def _frozen(module: nn.Module, weights: Mapping[str, str]) -> list[str]:
    """The names in the new network of what does not learn: of a layer, or of its weights where others of it learn."""
    found = []
    for new, old in weights.items():
        own = dict(module.get_submodule(old).named_parameters())
        still = [name for name, weight in own.items() if not weight.requires_grad]
        found += [new] if own and len(still) == len(own) else [f"{new}.{name}" for name in still]
    return found


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


class _Reader:
    """Reads a module from its innermost modules outwards.

    Arguments:
        module: the whole network, in eval mode.
        shapes: a batch for every module inside that is known to take one.
    """

    def __init__(self, module: nn.Module, shapes: Mapping[int, Tensor]) -> None:
        self.module = module
        self.shapes = shapes
        self.names = {id(m): name for name, m in module.named_modules()}
        self.order = {id(t): i for i, t in enumerate(_tensors(module))}
        self.read: dict[int, tuple[Part, ...] | list[str]] = {}

    def root(self) -> tuple[Part, ...]:
        """The parts of the whole network.

        Raises:
            Untraceable: it has none.
        """
        parts = self._outcome(self.module)
        if isinstance(parts, list):
            raise Untraceable(parts)
        if isinstance(self.module, nn.Sequential) and len(parts) == 1 and parts[0].type == "Sequential":
            parts = parts[0].inside
        if shared := self._shared(parts):
            raise Untraceable(shared)
        return parts

    def _outcome(self, module: nn.Module) -> tuple[Part, ...] | list[str]:
        """The parts that a module is, or the reasons why it is none; those inside it are read first."""
        if id(module) not in self.read:
            for child in module.children():
                self._outcome(child)
            subject = Subject(module, self.names[id(module)], self._against, self._overwrites)
            try:
                self.read[id(module)] = self._parts(subject)
            except Untraceable as found:
                self.read[id(module)] = found.reasons
            except Unsayable as found:
                self.read[id(module)] = [subject.at(None, str(found))]
            except Exception as error:  # attributes of a stranger's that raise, and whatever else
                self.read[id(module)] = [subject.at(None, f"it cannot be read ({reason(error)})")]
        return self.read[id(module)]

    def _shared(self, parts: Sequence[Part]) -> list[str]:
        """Layers that hold a tensor that another layer holds as well."""
        owners: dict[int, str] = {}
        found = []
        for _, layer in placed(sequential(parts)):
            name = self.names[id(layer)]
            for other in {owners[id(t)] for t in _tensors(layer) if id(t) in owners}:
                shares = f"it has the weights of {other}, and no two layers of a config share weights"
                found.append(f"{name}: {SHARED if other == name else shares}")
            owners |= {id(t): name for t in _tensors(layer)}
        return found

    def _against(self, module: nn.Module) -> list[str]:
        parts = self.read[id(module)]
        return parts if isinstance(parts, list) else []

    def _overwrites(self, module: nn.Module) -> bool:
        parts = self.read[id(module)]
        return isinstance(parts, tuple) and not is_torchs(module) and overwrites(sequential(parts))

    def _parts(self, subject: Subject) -> tuple[Part, ...]:
        """The parts that one module is, after all modules inside it have been read."""
        module, name = subject.module, type(subject.module).__name__
        component = _components().get(type(module))
        if parametrize.is_parametrized(module):
            raise Unsayable("its weights are computed from others by a parametrization")
        if is_torchs(module) and component is None:
            why = wide().refused.get(name)
            raise Unsayable(f"{name} cannot stand in a config" + (f": {why}" if why else ""))
        if module._forward_hooks or module._forward_pre_hooks:
            raise Unsayable("it has hooks, which change what goes in or comes out")
        if "forward" in vars(module):
            raise Unsayable("its forward was replaced after it was built")
        if component:
            try:
                return (recovered(component, module),)
            except Unsayable:
                if is_torchs(module):
                    raise
        if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
            if not any(map(self._against, module)):
                children = self._children(module)
                return (sequential(children),) if children else ()
        elif part := self._composite(subject):
            return (part,)
        return self._listed(module, graph.series(subject, self.shapes.get(id(module))))

    def _children(self, module: nn.Module) -> tuple[Part, ...]:
        """The parts of a Sequential's children, named as they are; one child may stand there twice."""
        children = [(name, child) for name, child in module._modules.items() if child is not None]
        return tuple(part for name, child in children for part in self._named(child, name))

    def _named(self, module: nn.Module, name: str) -> tuple[Part, ...]:
        """The parts of a module inside; several become one Sequential where it has a name and no mere number."""
        parts = self.read[id(module)]
        assert isinstance(parts, tuple)
        if len(parts) == 1:
            return (parts[0].called(name),)
        return parts if name.isdigit() or not parts else (sequential(parts).called(name),)

    def _composite(self, subject: Subject) -> Part | None:
        """The part of one of the composites' own modules, also where stand-alone source has defined its class."""
        module = subject.module
        name, inside = type(module).__name__, dict(module.named_children())
        if name == "Unpool" and set(inside) == {"pool", "layers"} and not self._against(inside["layers"]):
            pool = graph.without_indices(inside["pool"])
            return Part("Unpool", inside=(recovered(_components()[type(pool)], pool), self._slot(inside["layers"], "")))
        if any(map(self._against, inside.values())):
            return None
        if name in _HELD:
            with contextlib.suppress(Unsayable, AttributeError, TypeError):  # it may be a stranger's of the same name
                return recovered(wide().entries[name], module)
        if name == "Residual" and {"layers"} <= set(inside) <= {"layers", "shortcut"} and self._joins(subject, "add"):
            return Part("Residual", inside=tuple(self._slot(inside[n], n) for n in sorted(inside)))
        if name == "Parallel" and {"merge", "dim"} <= set(vars(module)) and self._joins(subject, str(module.merge)):
            params = {"merge": module.merge, "dim": module.dim}
            defaults = {"merge": "concat", "dim": 1}
            params = {k: v for k, v in params.items() if v != defaults[k]}
            return Part("Parallel", params, inside=tuple(self._slot(m, n) for n, m in inside.items()))
        return None

    def _joins(self, subject: Subject, merge: str) -> bool:
        """Whether a module does no more than join what its children make of x; a stranger's may have the same name."""
        if isinstance(subject.module, (Residual, Parallel)):
            return True
        try:
            items = graph.series(subject, None)
        except Untraceable:
            return False
        joins = [item for item in items if isinstance(item, Join) and item.merge == merge]
        calls = [call for join in joins for branch in join.branches for call in branch]
        return len(items) == len(joins) == 1 and [getattr(c, "target", "") for c in calls] == list(
            dict(subject.module.named_children())
        )

    def _slot(self, module: nn.Module, name: str) -> Part:
        """The one part that a module in a composite's place is."""
        parts = self.read[id(module)]
        assert isinstance(parts, tuple)
        return (parts[0] if len(parts) == 1 else sequential(parts)).called(name)

    def _listed(self, module: nn.Module, items: Sequence[Item]) -> tuple[Part, ...]:
        found: list[Part] = []
        for item in items:
            if isinstance(item, Call):
                found += self._called(item)
            elif isinstance(item, Join):
                branches = [self._listed(module, branch) for branch in item.branches]
                found.append(joined(item.merge, item.dim, branches, self.order))
            else:
                inside = (
                    recovered(_components()[type(item.pool)], item.pool),
                    sequential(self._listed(module, item.items)),
                )
                found.append(Part("Unpool", inside=inside))
        return tuple(found) if len(found) == 1 else tuple(p for p in found if p.type != "Identity")

    def _called(self, call: Call) -> tuple[Part, ...]:
        if not call.target:
            return (recovered(_components()[type(call.module)], call.module),)
        last = call.target.rpartition(".")[2]
        named = bool(call.module.state_dict()) and not last.isdigit()
        return self._named(call.module, last if named else "0")


@cache
def _components() -> dict[type, Component]:
    return {component.cls: component for component in wide().entries.values()}
