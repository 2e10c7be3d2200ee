"""The Plan: a network with nothing left open. Everything that talks about an architecture reads it and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cnnexp.architecture.catalog import DTYPES
from cnnexp.architecture.composites import assemble, is_composite
from cnnexp.architecture.fitting import Shape
from cnnexp.architecture.measures import Field
from cnnexp.architecture.start import Start
from cnnexp.components import Component
from cnnexp.errors import Path

if TYPE_CHECKING:
    from cnnexp.architecture.advice import Advice


@dataclass(frozen=True)
class PlannedLayer:
    """One layer with everything filled in.

    Arguments:
        name: the name of the child in the module that holds it.
        component: the layer type, or the composite type; a block is a Sequential.
        params: the parameters as written plus the inferred ones, in the signature's order.
        input_shape, output_shape: sample shapes without the batch, such as (channels, height, width).
        parameters: how many numbers are learned.
        multiply_adds: multiplications for one sample.
        field: what one output sees of the network's input; None where the layer has no window.
        path: the key path in the model mapping.
        label: how messages name it, such as `layers[3] Residual › layers[0] Conv2d`.
        children: what stands inside a composite: exactly the named children of the module that it builds.
        block: the block that it is a use of.
        whole: whether everything inside fits.
        origins: where a parameter was written that reached the layer through a `$name`.
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
    label: str
    children: tuple[PlannedLayer, ...] = ()
    block: str | None = None
    whole: bool = True
    origins: Mapping[str, Path] = dataclasses.field(default_factory=lambda: MappingProxyType({}), compare=False)

    @property
    def type(self) -> str:
        """The name of its type, or of the block that it is a use of."""
        return self.block or self.component.name

    @property
    def composite(self) -> bool:
        """Whether other layers stand inside it."""
        return is_composite(self.component)

    def place(self, key: str) -> Path:
        """The key path at which a parameter was written."""
        return self.origins.get(key, (*self.path, key))

    def build(self) -> nn.Module:
        """The torch module, with freshly drawn weights."""
        if self.composite:
            return assemble(self.component, self.params, {child.name: child.build() for child in self.children})
        module: nn.Module = self.component.cls(**constructor_arguments(self.params))
        return module

    def walk(self, depth: int = 0, prefix: str = "") -> Iterator[tuple[int, str, PlannedLayer]]:
        """The layer and everything inside it, outer ones first: depth, dotted name and layer."""
        yield depth, f"{prefix}{self.name}", self
        for child in self.children:
            yield from child.walk(depth + 1, f"{prefix}{self.name}.")


@dataclass(frozen=True)
class Totals:
    """Sums over a network: learned numbers, and multiplications for one sample."""

    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Use:
    """What a network is used for, as far as advice asks.

    Arguments:
        loss: the name of the loss class, such as `CrossEntropyLoss`; None where it is not known.
        unused: the key paths of the model's variables that nothing refers to.
        no_advice: the codes of advice that is not wanted.
    """

    loss: str | None = None
    unused: tuple[Path, ...] = ()
    no_advice: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A shape-checked network.

    Arguments:
        layers: the layers in order; the children of the nn.Sequential.
        input_shape: the sample shape without the batch.
        dtype: the dtype of the samples, such as `float32`.
        whole: whether every layer of the stack is in it.
        start: how the weights begin, and which of them do not learn.
        use: what the network is used for.
    """

    layers: tuple[PlannedLayer, ...]
    input_shape: Shape
    dtype: str = "float32"
    whole: bool = True
    start: Start = dataclasses.field(default_factory=Start)
    use: Use = Use()

    @property
    def output_shape(self) -> Shape:
        """The sample shape that leaves the last layer."""
        return self.layers[-1].output_shape if self.layers else self.input_shape

    @property
    def totals(self) -> Totals:
        """Parameters and multiply-adds of the whole network."""
        return Totals(sum(x.parameters for x in self.layers), sum(x.multiply_adds for x in self.layers))

    @property
    def advice(self) -> tuple[Advice, ...]:
        """What is not wrong and yet hardly meant, in the order of the layers; key paths begin in the model mapping."""
        from cnnexp.architecture.advice import advise

        return advise(self, self.use.loss, self.use.unused, self.use.no_advice)

    def walk(self) -> Iterator[tuple[int, str, PlannedLayer]]:
        """Every layer, composites before what stands inside them: depth, dotted name and layer."""
        for layer in self.layers:
            yield from layer.walk()

    def build(self, seed: int | None = None) -> nn.Sequential:
        """The network as an nn.Sequential with freshly drawn weights.

        Arguments:
            seed: the same seed gives the same weights, and leaves torch's global generator as it was; None draws from
                the global generator, as layers constructed by hand would.
        """
        if seed is None:
            return self._started()
        before = torch.get_rng_state()
        try:
            torch.default_generator.manual_seed(seed)
            return self._started()
        finally:
            torch.set_rng_state(before)

    def _started(self) -> nn.Sequential:
        model = self.structure()
        self.start.apply(model)
        return model

    def structure(self) -> nn.Sequential:
        """The network as torch's constructors leave it, without the rules for its weights."""
        model = nn.Sequential()
        for layer in self.layers:
            model.add_module(layer.name, layer.build())
        return model

    def source(self, title: str = "A network") -> str:
        """Stand-alone Python source that imports torch alone and builds this network as `model`."""
        from cnnexp.architecture.python import source

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
            "layers": [_as_dict(layer, "") for layer in self.layers],
            **self.start.as_dict(),
        }


def _as_dict(layer: PlannedLayer, prefix: str) -> dict[str, Any]:
    field = layer.field
    inside = [_as_dict(child, f"{prefix}{layer.name}.") for child in layer.children]
    return {
        "name": f"{prefix}{layer.name}",
        "type": layer.component.name,
        **({"block": layer.block} if layer.block else {}),
        "params": {k: plain(v) for k, v in layer.params.items()},
        "input_shape": list(layer.input_shape),
        "output_shape": list(layer.output_shape),
        "parameters": layer.parameters,
        "multiply_adds": layer.multiply_adds,
        "receptive_field": list(field.size) if field else None,
        "jump": [float(j) for j in field.jump] if field and field.jump else None,
        **({"layers": inside} if layer.composite else {}),
    }


def plain(value: Any) -> Any:
    """A parameter's value as YAML and JSON hold it: tuples as lists, all the way down."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def constructor_arguments(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as torch's constructors take them: `dtype: float64` becomes torch.float64."""
    dtype = params.get("dtype")
    return {**params, "dtype": getattr(torch, dtype)} if dtype in DTYPES else dict(params)
