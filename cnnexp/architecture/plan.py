"""The shape pass: a Stack meets an input shape on the meta device and becomes a Plan, with nothing left open.

The Plan is the hub: everything that talks about an architecture (table, source, record, report) reads it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cnnexp.architecture import fitting, measures, shapes
from cnnexp.architecture.catalog import DTYPES
from cnnexp.architecture.fitting import Shape
from cnnexp.architecture.measures import Field
from cnnexp.architecture.stack import Layer, Stack
from cnnexp.components import Component
from cnnexp.errors import Path, Problem

_MOST = 2**50  # numbers in a sample; beyond it torch cannot count a batch
_BATCH = 2  # batch norm in training mode wants more than one sample


@dataclass(frozen=True)
class PlannedLayer:
    """One layer with everything filled in.

    Arguments:
        name: the name of the child in the nn.Sequential.
        component: the layer type.
        params: the parameters as written plus the inferred ones, in the signature's order.
        input_shape, output_shape: sample shapes without the batch, such as (channels, height, width).
        parameters: how many numbers are learned.
        multiply_adds: multiplications for one sample.
        field: what one output sees of the network's input; None where the layer has no window.
        path: the key path in the model mapping.
    """

    name: str
    component: Component
    params: Mapping[str, Any]
    input_shape: Shape
    output_shape: Shape
    parameters: int
    multiply_adds: int
    field: Field | None
    path: Path

    @property
    def type(self) -> str:
        return self.component.name

    @property
    def label(self) -> str:
        return f"layers[{self.path[-1]}] {self.type}"

    def build(self) -> nn.Module:
        """The torch layer, with freshly drawn weights."""
        module: nn.Module = self.component.cls(**constructor_arguments(self.params))
        return module


@dataclass(frozen=True)
class Totals:
    """Sums over a network: learned numbers, and multiplications for one sample."""

    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Plan:
    """A shape-checked network.

    Arguments:
        layers: the layers in order; the children of the nn.Sequential.
        input_shape: the sample shape without the batch.
        dtype: the dtype of the samples, such as `float32`.
        whole: whether every layer of the stack is in it.
    """

    layers: tuple[PlannedLayer, ...]
    input_shape: Shape
    dtype: str = "float32"
    whole: bool = True

    @property
    def output_shape(self) -> Shape:
        """The sample shape that leaves the last layer."""
        return self.layers[-1].output_shape if self.layers else self.input_shape

    @property
    def totals(self) -> Totals:
        """Parameters and multiply-adds of the whole network."""
        return Totals(sum(x.parameters for x in self.layers), sum(x.multiply_adds for x in self.layers))

    def build(self, seed: int | None = None) -> nn.Sequential:
        """The network as an nn.Sequential with freshly drawn weights.

        Arguments:
            seed: the same seed gives the same weights, and leaves torch's global generator as it was; None draws from
                the global generator, as layers constructed by hand would.
        """
        if seed is None:
            return self._sequential()
        before = torch.get_rng_state()
        try:
            torch.default_generator.manual_seed(seed)
            return self._sequential()
        finally:
            torch.set_rng_state(before)

    def _sequential(self) -> nn.Sequential:
        model = nn.Sequential()
        for layer in self.layers:
            model.add_module(layer.name, layer.build())
        return model

    def source(self, title: str = "A network") -> str:
        """Stand-alone Python source that imports torch alone and builds this network as `model`."""
        from cnnexp.architecture.source import source

        return source(self, title)

    def table(self) -> str:
        """The layers as a plain text table with a line of totals."""
        from cnnexp.architecture.table import table

        return table(self)

    def as_dict(self) -> dict[str, Any]:
        """The plan as plain data, fit for JSON."""
        totals = self.totals
        return {
            "input_shape": list(self.input_shape),
            "output_shape": list(self.output_shape),
            "dtype": self.dtype,
            "parameters": totals.parameters,
            "multiply_adds": totals.multiply_adds,
            "layers": [_as_dict(layer) for layer in self.layers],
        }


def _as_dict(layer: PlannedLayer) -> dict[str, Any]:
    field = layer.field
    return {
        "name": layer.name,
        "type": layer.type,
        "params": {k: list(v) if isinstance(v, tuple) else v for k, v in layer.params.items()},
        "input_shape": list(layer.input_shape),
        "output_shape": list(layer.output_shape),
        "parameters": layer.parameters,
        "multiply_adds": layer.multiply_adds,
        "receptive_field": list(field.size) if field else None,
        "jump": [float(j) for j in field.jump] if field and field.jump else None,
    }


def constructor_arguments(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as torch's constructors take them: `dtype: float64` becomes torch.float64."""
    dtype = params.get("dtype")
    return {**params, "dtype": getattr(torch, dtype)} if dtype in DTYPES else dict(params)


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
    layers: list[PlannedLayer] = []
    problems: list[Problem] = []
    if math.prod(input_shape) > _MOST:
        return Plan((), input_shape, dtype, whole=False), []  # told where the shape is checked
    arriving = torch.empty((_BATCH, *input_shape), dtype=getattr(torch, dtype), device="meta")
    field = measures.whole(input_shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns while it builds; here only shapes are asked for
        for layer in stack.layers:
            params, found = fitting.fill(layer, layers, arriving)
            problems += found
            outcome = None if params is None else _pass(layer, params, layers, arriving, converted)
            if outcome is None or params is None:
                break
            module, leaving = outcome
            if isinstance(leaving, Problem):
                problems.append(leaving)
                break
            before, after = tuple(arriving.shape[1:]), tuple(leaving.shape[1:])
            field = measures.advance(field, module, before, after, input_shape)
            cost = measures.multiply_adds(module, before, after, arriving)
            learned = sum(p.numel() for p in module.parameters())
            planned = PlannedLayer(layer.name, layer.component, params, before, after, learned, cost, field, layer.path)
            layers.append(planned)
            arriving = leaving
    whole = stack.whole and len(layers) == len(stack.layers)
    return Plan(tuple(layers), input_shape, dtype, whole), problems


def _pass(
    layer: Layer, params: Mapping[str, Any], earlier: list[PlannedLayer], arriving: Tensor, converted: bool
) -> tuple[nn.Module, Tensor | Problem]:
    """Build one layer on the meta device and send the batch through it."""
    arguments = constructor_arguments(params)
    if "device" in layer.component.parameters:
        arguments["device"] = "meta"
    module = nn.Module()
    try:
        with torch.device("meta"), torch.no_grad():
            module = layer.component.cls(**arguments)
            if converted:
                module.to(arriving.dtype)
            dtypes = {p.dtype for p in module.parameters() if p.is_floating_point()}
            if dtypes - {arriving.dtype}:
                return module, fitting.wrong_dtype(layer, dtypes.pop(), arriving.dtype)
            leaving = shapes.leaving(module, arriving)
    except Exception as error:  # whatever torch raises about a layer is the config's problem, told in a sentence
        return module, fitting.refused_by_torch(layer, error, arriving, earlier)
    return module, fitting.unusable(layer, leaving, arriving, earlier) or leaving
