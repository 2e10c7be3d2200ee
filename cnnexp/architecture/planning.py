"""The shape pass: a Stack meets an input shape on the meta device and becomes a Plan, with nothing left open."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from cnnexp.architecture import fitting, joining, measures, shapes
from cnnexp.architecture.fitting import Shape
from cnnexp.architecture.measures import Field
from cnnexp.architecture.plan import Plan, PlannedLayer, constructor_arguments
from cnnexp.architecture.stack import Layer, Stack
from cnnexp.architecture.start import start
from cnnexp.errors import Problem

_MOST = 2**50  # numbers in a sample; beyond it torch cannot count a batch
_BATCH = 2  # batch norm in training mode wants more than one sample


def make_plan(
    stack: Stack, input_shape: Shape, dtype: str = "float32", converted: bool = False
) -> tuple[Plan, list[Problem]]:
    """Send a sample's shape through a stack and fill in everything that follows from it.

    Arguments:
        stack: the parsed layers.
        input_shape: the sample shape without the batch, such as (3, 32, 32).
        dtype: the dtype of the samples.
        converted: whether the whole network will be converted to that dtype, whatever its layers say.

    Returns:
        the plan up to the first layer that does not fit, and all problems that could be found; a written size that
        differs from the one that arrives is reported, and the pass goes on with the one that arrives.
    """
    if math.prod(input_shape) > _MOST:
        return Plan((), input_shape, dtype, whole=False), []  # told where the shape is checked
    arriving = torch.empty((_BATCH, *input_shape), dtype=getattr(torch, dtype), device="meta")
    journey = _Pass(input_shape, converted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns while it builds; here only shapes are asked for
        way = journey.sequence(stack.layers, _Flow(arriving, measures.whole(input_shape)), ())
    plan = Plan(way.layers, input_shape, dtype, stack.whole and way.whole)
    return _with_start(plan, stack, journey.problems)


def _with_start(plan: Plan, stack: Stack, problems: list[Problem]) -> tuple[Plan, list[Problem]]:
    """The plan with the rules for its weights, which can be looked at only where all layers are known."""
    if not plan.whole or not (stack.init or stack.freeze):
        return plan, problems
    with torch.device("meta"):
        model = plan.structure()
    blocks = {name: layer.block for _, name, layer in plan.walk() if layer.block}
    begin, misses = start(stack.init, stack.freeze, model, blocks)
    return replace(plan, start=begin), [*problems, *misses]


@dataclass(frozen=True)
class _Flow:
    """What travels from layer to layer: a batch on the meta device, and what one of its values sees of the input."""

    batch: Tensor
    field: Field | None

    @property
    def shape(self) -> Shape:
        return tuple(self.batch.shape[1:])


@dataclass(frozen=True)
class _Way:
    """The layers that fit, what leaves the last of them, and whether these are all."""

    layers: tuple[PlannedLayer, ...]
    flow: _Flow
    whole: bool


@dataclass(frozen=True)
class _Known:
    """What a plain layer does to a shape; the same for every layer of the same parameters."""

    module: nn.Module
    leaving: Tensor
    learned: int
    multiply_adds: int


class _Pass:
    """One journey through a stack; gathers the problems.

    Arguments:
        input_shape: the sample shape of the network's input.
        converted: whether the network will be converted to the dtype of the samples.
    """

    def __init__(self, input_shape: Shape, converted: bool) -> None:
        self.input_shape = input_shape
        self.converted = converted
        self.problems: list[Problem] = []
        self._known: dict[tuple[Any, ...], _Known] = {}

    def sequence(self, layers: Sequence[Layer], flow: _Flow, before: Sequence[PlannedLayer]) -> _Way:
        """Layers one after another, up to the first that does not fit.

        Arguments:
            layers: the layers as written.
            flow: what arrives.
            before: the layers on the way there, for messages.
        """
        planned: list[PlannedLayer] = []
        for layer in layers:
            outcome = self.layer(layer, flow, [*before, *planned])
            if outcome is None:
                return _Way(tuple(planned), flow, whole=False)
            done, flow = outcome
            planned.append(done)
            if not done.whole:
                return _Way(tuple(planned), flow, whole=False)
        return _Way(tuple(planned), flow, whole=True)

    def layer(self, layer: Layer, flow: _Flow, before: Sequence[PlannedLayer]) -> tuple[PlannedLayer, _Flow] | None:
        """One layer, or None when it does not fit; a composite in which something does not fit is not whole."""
        if layer.composite:
            return self._composite(layer, flow, before)
        params, found = fitting.fill(layer, before, flow.batch)
        self.problems += found
        known = None if params is None else self._passed(layer, params, before, flow.batch)
        if known is None or params is None:
            return None
        after = tuple(known.leaving.shape[1:])
        field = measures.advance(flow.field, known.module, flow.shape, after, self.input_shape)
        done = PlannedLayer(
            layer.name,
            layer.component,
            params,
            flow.shape,
            after,
            known.learned,
            known.multiply_adds,
            field,
            layer.path,
            layer.label,
            origins=layer.origins,
        )
        return done, _Flow(known.leaving, field)

    def _composite(self, layer: Layer, flow: _Flow, before: Sequence[PlannedLayer]) -> tuple[PlannedLayer, _Flow]:
        inside = {
            "Sequential": self._sequential,
            "Repeat": self._repeat,
            "Residual": self._residual,
            "Parallel": self._parallel,
            "Unpool": self._unpool,
        }[layer.component.name]
        way = inside(layer, flow, before)
        done = PlannedLayer(
            layer.name,
            layer.component,
            layer.params,
            flow.shape,
            way.flow.shape,
            sum(x.parameters for x in way.layers),
            sum(x.multiply_adds for x in way.layers),
            way.flow.field,
            layer.path,
            layer.label,
            way.layers,
            layer.block,
            way.whole and layer.whole,
        )
        return done, way.flow

    def _sequential(self, layer: Layer, flow: _Flow, before: Sequence[PlannedLayer]) -> _Way:
        return self.sequence(layer.children, flow, before)

    def _repeat(self, layer: Layer, flow: _Flow, before: Sequence[PlannedLayer]) -> _Way:
        """Copies one after another; what is wrong with a copy is not told of the later ones again."""
        planned: list[PlannedLayer] = []
        told = len(self.problems)
        for child in layer.children:
            for number in range(layer.params.get("times", 1)):  # it is missing where it was wrong
                known, before_it = {(p.code, p.path) for p in self.problems[told:]}, len(self.problems)
                way = self.sequence([_copy(layer, child, number)], flow, [*before, *planned])
                self.problems[before_it:] = [p for p in self.problems[before_it:] if (p.code, p.path) not in known]
                planned, flow = [*planned, *way.layers], way.flow
                if not way.whole:
                    return _Way(tuple(planned), flow, whole=False)
        return _Way(tuple(planned), flow, whole=True)

    def _residual(self, layer: Layer, flow: _Flow, before: Sequence[PlannedLayer]) -> _Way:
        ways = [self.sequence([child], flow, before) for child in layer.children]
        planned = tuple(x for way in ways for x in way.layers)
        if not (layer.whole and all(way.whole for way in ways)):
            return _Way(planned, ways[0].flow if ways else flow, whole=False)
        self.problems += joining.overwritten(layer, planned)
        body, shortcut = ways[0].flow, ways[1].flow if len(ways) > 1 else flow
        if body.shape != shortcut.shape:
            self.problems.append(joining.unequal(layer, flow.shape, body.shape, shortcut.shape))
            return _Way(planned, body, whole=True)  # so that what is wrong further down is found as well
        return _Way(planned, _Flow(body.batch, measures.joined([body.field, shortcut.field])), whole=True)

    def _parallel(self, layer: Layer, flow: _Flow, before: Sequence[PlannedLayer]) -> _Way:
        ways = [self.sequence([child], flow, before) for child in layer.children]
        planned = tuple(x for way in ways for x in way.layers)
        if not (layer.whole and ways and all(way.whole for way in ways)):
            return _Way(planned, ways[0].flow if ways else flow, whole=False)
        self.problems += joining.overwritten(layer, planned)
        merged = joining.merge(layer, [way.flow.batch for way in ways])
        field = measures.joined([way.flow.field for way in ways])
        if isinstance(merged, Problem):
            self.problems.append(merged)
            return _Way(planned, ways[0].flow, whole=False)
        return _Way(planned, _Flow(merged, field), whole=True)

    def _unpool(self, layer: Layer, flow: _Flow, before: Sequence[PlannedLayer]) -> _Way:
        children = [_remembering(child) if child.name == "pool" else child for child in layer.children]
        way = self.sequence(children, flow, before)
        if not (way.whole and layer.whole):
            return replace(way, whole=False)
        pooled = way.layers[0].output_shape
        if way.flow.shape != pooled:
            self.problems.append(joining.not_undone(layer, pooled, way.flow.shape))
        jump = flow.field.jump if flow.field else None
        field = Field(way.flow.field.reach, jump) if way.flow.field else None
        return _Way(way.layers, _Flow(way.flow.batch.new_empty(flow.batch.shape), field), whole=True)

    def _passed(
        self, layer: Layer, params: Mapping[str, Any], before: Sequence[PlannedLayer], arriving: Tensor
    ) -> _Known | None:
        """Build one plain layer on the meta device and send the batch through it; None when it does not fit."""
        key = (layer.component.name, repr(params), tuple(arriving.shape), arriving.dtype)
        if key in self._known:
            return self._known[key]
        module, leaving = self._tried(layer, params, before, arriving)
        if isinstance(leaving, Problem):
            self.problems.append(leaving)
            return None
        cost = measures.multiply_adds(module, tuple(arriving.shape[1:]), tuple(leaving.shape[1:]), arriving)
        known = _Known(module, leaving, sum(p.numel() for p in module.parameters()), cost)
        self._known[key] = known
        return known

    def _tried(
        self, layer: Layer, params: Mapping[str, Any], before: Sequence[PlannedLayer], arriving: Tensor
    ) -> tuple[nn.Module, Tensor | Problem]:
        arguments = constructor_arguments(params)
        if "device" in layer.component.parameters:
            arguments["device"] = "meta"
        module = nn.Module()
        try:
            with torch.device("meta"), torch.no_grad():
                module = layer.component.cls(**arguments)
                if self.converted:
                    module.to(arriving.dtype)
                dtypes = {p.dtype for p in module.parameters() if p.is_floating_point()}
                if dtypes - {arriving.dtype}:
                    return module, fitting.wrong_dtype(layer, dtypes.pop(), arriving.dtype)
                leaving = shapes.leaving(module, arriving)
        except Exception as error:  # whatever torch raises about a layer is the config's problem, told in a sentence
            return module, fitting.refused_by_torch(layer, error, arriving, before)
        if isinstance(leaving, tuple) and params.get("return_indices"):
            leaving = leaving[0]  # the pool of an Unpool, which keeps the indices to itself
        return module, fitting.unusable(layer, leaving, arriving, before) or leaving


def _copy(repeat: Layer, template: Layer, number: int) -> Layer:
    """One copy of what a `Repeat` holds, called by its number; messages about a later copy say which one."""
    if number == 0:
        return replace(template, name="0")
    label = f"{repeat.label} (copy {number + 1})"
    return replace(_relabelled(template, len(repeat.label), label), name=str(number))


def _relabelled(layer: Layer, length: int, label: str) -> Layer:
    children = tuple(_relabelled(child, length, label) for child in layer.children)
    return replace(layer, label=label + layer.label[length:], children=children)


def _remembering(pool: Layer) -> Layer:
    return replace(pool, params={**pool.params, "return_indices": True})
