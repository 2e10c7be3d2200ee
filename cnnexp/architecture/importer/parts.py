"""Entries of a model mapping on their way back from modules: parameters recovered, joins named, names given."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from cnnexp import kinds
from cnnexp.architecture.catalog import inferable
from cnnexp.architecture.importer.nodes import Unsayable
from cnnexp.components import Component

_TAKEN = frozenset(dir(nn.Sequential()))
_PASSING = ("Identity", "Flatten", "Unflatten", "Slice", "Permute")  # they may hand on the memory that they are given


@dataclass(frozen=True)
class Part:
    """One entry, not yet written.

    Arguments:
        type: the layer or composite type.
        params: the parameters to write.
        name: the name that it would like to have.
        layer: the module that its tensors come from; None without tensors.
        inside: the parts in a composite, in the order of its module's children.
    """

    type: str
    params: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    layer: nn.Module | None = field(default=None, compare=False)
    inside: tuple[Part, ...] = ()

    def called(self, name: str) -> Part:
        return replace(self, name=name)


IDENTITY = Part("Identity")


def sequential(parts: Sequence[Part]) -> Part:
    """The Sequential of some parts, or of one that does nothing where there are none."""
    return Part("Sequential", inside=tuple(parts) or (IDENTITY,))


# ---------------------------------------------------------------------- writing
def written(whole: Part) -> dict[str, Any]:
    """The model mapping of a Sequential."""
    return {"layers": _list(whole)}


def placed(part: Part, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Every layer with tensors, with its dotted name in the network that the entry builds."""
    if part.layer is not None:
        yield prefix, part.layer
    for key, inner in zip(_keys(part), part.inside, strict=True):
        yield from placed(inner, f"{prefix}.{key}" if prefix else key)


def _keys(part: Part) -> list[str]:
    """The names of the children of the module that an entry builds."""
    if part.type == "Residual":
        return ["layers", "shortcut"][: len(part.inside)]
    if part.type == "Unpool":
        return ["pool", "layers"]
    found: list[str] = []
    for index, inner in enumerate(part.inside):
        free = inner.name and inner.name not in _TAKEN and not inner.name.isdigit() and inner.name not in found
        found.append(inner.name if free else str(index))
    return found


def _is_list(part: Part) -> bool:
    """Whether a part is written as a list of entries, where one entry or a list may stand."""
    return part.type == "Sequential" and not part.params and bool(part.inside)


def _list(part: Part) -> list[Any]:
    keys = _keys(part)
    return [_entry(p, "" if key == str(i) else key) for i, (key, p) in enumerate(zip(keys, part.inside, strict=True))]


def _entry(part: Part, name: str = "") -> Any:
    named = {"name": name} if name else {}
    params = dict(part.params)
    if not part.inside:
        return {"type": part.type, **named, **params} if named or params else part.type
    if part.type == "Sequential":
        return {"type": "Sequential", **named, "layers": _list(part)}
    if part.type == "Parallel":
        keys = _keys(part)
        branches = [
            _one_or_more(p, "" if key == str(i) else key)
            for i, (key, p) in enumerate(zip(keys, part.inside, strict=True))
        ]
        return {"type": "Parallel", **named, **params, "branches": branches}
    first, *others = part.inside
    if part.type == "Unpool":
        return {"type": "Unpool", **named, "pool": _entry(first), "layers": _list(_as_list(others[0]))}
    shortcut = {"shortcut": _one_or_more(others[0])} if others else {}
    return {"type": "Residual", **named, "layers": _list(_as_list(first)), **shortcut}


def _as_list(part: Part) -> Part:
    return part if _is_list(part) else sequential([part])


def _one_or_more(part: Part, name: str = "") -> Any:
    return _list(part) if _is_list(part) and not name else _entry(part, name)


# ---------------------------------------------------------------------- joins
def joined(merge: str, dim: int, branches: Sequence[Sequence[Part]], order: Mapping[int, int]) -> Part:
    """The composite of branches that start from the same value.

    Arguments:
        merge: concat, add or multiply.
        dim: the dimension of a concatenation.
        branches: the parts of every branch; empty where nothing happens.
        order: the place of every tensor, by its identity, among those of the whole network.
    """
    slots = [_copying(_slot(branch)) for branch in branches]
    if merge != "concat":
        slots = _in_order(slots, order)
    if merge == "multiply" and [s.type for s in slots] == ["Identity", "Sigmoid"]:
        return Part("SiLU")
    if merge == "add" and len(slots) == 2:
        if slots.count(IDENTITY) == 1:
            (body,) = (s for s in slots if s != IDENTITY)
            return Part("Residual", inside=(_as_list(body),))
        if IDENTITY not in slots and not _projects(slots[0]) and _projects(slots[1]):
            return Part("Residual", inside=(_as_list(slots[0]), slots[1]))
        if IDENTITY not in slots and _projects(slots[1]) and _count(slots[0]) > _count(slots[1]):
            return Part("Residual", inside=(_as_list(slots[0]), slots[1]))
    params = ({} if merge == "concat" else {"merge": merge}) | ({} if dim == 1 else {"dim": dim})
    return Part("Parallel", params, inside=tuple(slots))


def _slot(parts: Sequence[Part]) -> Part:
    """The one part that stands for a branch: a Sequential without a name for several, Identity for none."""
    real = [p for p in parts if p.type != "Identity"]
    if not real:
        return IDENTITY
    if len(real) > 1:
        return sequential(real)
    return real[0].called("") if real[0].type == "Sequential" else real[0]


def overwrites(part: Part) -> bool:
    """Whether an entry works in place on what it is given."""
    if part.type != "Sequential":
        return part.params.get("inplace") is True
    first = next((p for p in part.inside if p.type not in _PASSING), None)
    return first is not None and overwrites(first)


def _copying(part: Part) -> Part:
    """The same entry, whose first layer leaves what it is given as it is: other branches start from that as well."""
    if not overwrites(part):
        return part
    if part.inside:
        first = next(i for i, p in enumerate(part.inside) if p.type not in _PASSING)
        return replace(part, inside=(*part.inside[:first], _copying(part.inside[first]), *part.inside[first + 1 :]))
    return replace(part, params={k: v for k, v in part.params.items() if k != "inplace"})


def _in_order(slots: list[Part], order: Mapping[int, int]) -> list[Part]:
    """The terms in the order of their weights, x itself in front of them and others without weights behind."""
    tensors = [[t for _, m in placed(slot) for t in m.state_dict(keep_vars=True).values()] for slot in slots]
    starts = [min((order[id(t)] for t in own), default=len(order)) for own in tensors]
    places = [-1 if slot == IDENTITY else start for slot, start in zip(slots, starts, strict=True)]
    return [slot for _, slot in sorted(zip(places, slots, strict=True), key=lambda pair: pair[0])]


def _count(part: Part) -> int:
    return sum(map(_count, part.inside)) if part.inside else 1


def _projects(part: Part) -> bool:
    """Whether a branch only brings x into another shape: nothing in it bends, and nothing in it branches."""
    if part.inside:
        return part.type == "Sequential" and len(part.inside) <= 4 and all(map(_projects, part.inside))
    cls = getattr(nn, part.type, nn.Identity)
    return not cls.__module__.endswith(".activation")


# ---------------------------------------------------------------------- parameters
def recovered(component: Component, module: nn.Module) -> Part:
    """The part of one layer: its parameters read back from its attributes, and only those that say something.

    Arguments:
        component: the layer type.
        module: a layer of that type.

    Raises:
        Unsayable: the constructor cannot make such a layer.
    """
    values = _values(component, module)
    params = _fewest(component, values)
    rebuilt = _build(component, params)
    if rebuilt is None or _look(rebuilt) != _look(module):
        raise Unsayable(f"no parameters of {component.name} make this layer; was it changed after it was built?")
    if params.get("return_indices"):
        raise Unsayable("it gives the places of the maxima as well, and a stack passes one tensor")
    inferred = [p for p in inferable(component) if p != "normalized_shape"]
    layer = module if module.state_dict() else None
    return Part(component.name, {k: _listed(v) for k, v in params.items() if k not in inferred}, layer=layer)


def _look(module: nn.Module) -> tuple[str, dict[str, tuple[tuple[int, ...], torch.dtype]]]:
    """What two layers of the same making have in common."""
    return repr(module), {k: (tuple(t.shape), t.dtype) for k, t in module.state_dict().items()}


def _fewest(component: Component, values: Mapping[str, Any]) -> dict[str, Any]:
    """The shortest parameters that give a layer these attributes."""
    params = {k: v for k, v in values.items() if not _is_default(component, k, v)}
    for name, value in list(params.items()):
        shorter: list[dict[str, Any]] = []
        if not component.parameters[name].required:
            shorter.append({k: v for k, v in params.items() if k != name})
        shorter += [{**params, name: simple} for simple in _simpler(value)]
        for attempt in shorter:
            rebuilt = _build(component, attempt)
            if rebuilt is not None and repr(_values(component, rebuilt)) == repr(dict(values)):
                params = attempt
                break
    return params


def _is_default(component: Component, name: str, value: Any) -> bool:
    parameter = component.parameters[name]
    return not parameter.required and repr(parameter.default) == repr(value)


def _simpler(value: Any) -> list[Any]:
    """Shorter ways to write a value that may come to the same."""
    if isinstance(value, tuple) and value and all(v == value[0] for v in value):
        return [*_simpler(value[0]), value[0]]
    if isinstance(value, tuple):
        plain = tuple(next(iter(_simpler(v)), v) for v in value)
        return [plain] if repr(plain) != repr(value) else []
    return [int(value)] if isinstance(value, float) and value.is_integer() else []


def _build(component: Component, params: Mapping[str, Any]) -> nn.Module | None:
    dtype = params.get("dtype")
    arguments = {**params, "dtype": getattr(torch, dtype)} if dtype else dict(params)
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module: nn.Module = component.cls(**arguments)
    except Exception:  # what a constructor refuses is no way to say it
        return None
    return module.eval()


def _values(component: Component, module: nn.Module) -> dict[str, Any]:
    """The constructor's parameters as a layer's attributes tell them."""
    found: dict[str, Any] = _TELLERS[component.name](module) if component.name in _TELLERS else {}
    for name, parameter in component.parameters.items():
        held = hasattr(module, name) and kinds.expressible(parameter.annotation)
        if name in found or name == "device" or not held:
            continue
        value = getattr(module, name)
        found[name] = value is not None if name == "bias" else _plain(name, value)
    dtypes = {str(t.dtype).removeprefix("torch.") for t in module.state_dict().values() if t.is_floating_point()}
    if "dtype" in component.parameters and dtypes:
        found["dtype"] = min(dtypes)
    return {name: found[name] for name in component.parameters if name in found}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(_plain(name, v) for v in value)
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and not math.isnan(value)):
        return value
    raise Unsayable(f"its {name} is a {type(value).__name__}, which YAML cannot hold")


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value


def _transformer(module: Any) -> dict[str, Any]:
    names = {functional.relu: "relu", functional.gelu: "gelu"}
    if module.activation not in names:
        raise Unsayable("its activation is neither relu nor gelu")
    return {
        "d_model": module.self_attn.embed_dim,
        "nhead": module.self_attn.num_heads,
        "dim_feedforward": module.linear1.out_features,
        "dropout": module.dropout.p,
        "activation": names[module.activation],
        "layer_norm_eps": module.norm1.eps,
        "batch_first": module.self_attn.batch_first,
        "bias": module.linear1.bias is not None,
    }


def _squeeze(module: Any) -> dict[str, Any]:
    return {"input_channels": module.fc1.in_channels, "squeeze_channels": module.fc1.out_channels}


def _frozen(module: Any) -> dict[str, Any]:
    return {"num_features": len(module.weight)}


_TELLERS: Mapping[str, Callable[[Any], dict[str, Any]]] = MappingProxyType(
    {"TransformerEncoderLayer": _transformer, "SqueezeExcitation": _squeeze, "FrozenBatchNorm2d": _frozen}
)
