"""The nodes of a traced graph: what they call, and what is known about their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from cnnexp.architecture.catalog import dimensions

Layers = tuple[fx.Node, list[nn.Module]]
"""The tensor that an operation takes, and the layers that do the same to it."""


class Unsayable(Exception):
    """One thing that the layer language cannot say, in plain words."""


_LIBRARIES = ("torch", "_operator", "builtins", "math")
_ALIASES = {"iadd": "add", "imul": "mul", "multiply": "mul", "concat": "cat", "concatenate": "cat"}
_ALIASES |= {"log_sigmoid": "logsigmoid", "_threshold": "threshold"}  # what torch.nn.functional calls inside
_RENAMED = {"train": "training", "sizes": "unflattened_size"}
_SIZES = ("size", "dim", "ndimension", "numel")
NEEDS_SAMPLE = "where sizes must be known; give a sample"


@dataclass(frozen=True)
class Look:
    """What is known about the values in a graph.

    Arguments:
        values: the value of every node in a run with a sample, shapes in place of tensors; empty without a sample.
        modules: the modules that the graph calls, by target.
        training: the same operation's node in a graph that was traced in training mode.
    """

    values: Mapping[fx.Node, Any]
    modules: Mapping[str, nn.Module]
    training: Mapping[fx.Node, fx.Node]

    def shape(self, node: fx.Node) -> tuple[int, ...] | None:
        """The shape of a tensor with its batch, or None where no sample tells it."""
        found = self.values.get(node)
        return tuple(found) if found is not None else None

    def plain(self, value: Any) -> Any:
        """A value of a call with every number that was computed from sizes filled in.

        Raises:
            Unsayable: it was, and there is no sample to compute it from.
        """
        if isinstance(value, fx.Node):
            if value not in self.values or not is_number(value):
                raise Unsayable(
                    f"forward computes {NEEDS_SAMPLE}" if is_number(value) else "forward needs a tensor for a number"
                )
            return self.plain(self.values[value])
        if isinstance(value, (list, tuple)):
            return tuple(self.plain(v) for v in value)
        return value

    def plain_items(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call, all of them plain."""
        return {k: self.plain(v) for k, v in given.items()}

    def rank(self, node: fx.Node) -> int | None:
        """The number of dimensions of a tensor, from the sample or from the layers before it."""
        shape = self.shape(node)
        while shape is None and node.op != "placeholder":
            name = operation(node) if node.op != "call_module" else _last(self.modules[str(node.target)])
            if (n := dimensions(name)) and name != "BatchNorm1d":
                return n + 2
            if name.lower() == "flatten" and len(node.args) < 3 and "end_dim" not in node.kwargs:
                module = self.modules.get(str(node.target))
                start = module.start_dim if isinstance(module, nn.Flatten) else (*node.args[1:], 1)[0]
                return int(start) + 1 if isinstance(start, int) and start > 0 else None
            if name in ("view", "reshape"):
                return len(view_sizes(node))
            before = next((a for a in node.args if isinstance(a, fx.Node)), None)
            if before is None or name in ("getitem", "mean", "squeeze", "unsqueeze", "permute"):
                return None
            node, shape = before, self.shape(before)
        return len(shape) if shape else None


def _last(module: nn.Module) -> str:
    """The type of the layer that gives a module's output, as far as its children tell."""
    while isinstance(module, nn.Sequential) and len(module):
        module = module[-1]
    return type(module).__name__


def operation(node: fx.Node) -> str:
    """The name of the function or method that a node calls; `add` for `+=` and `relu` for `relu_`."""
    if isinstance(node.target, str):
        name = node.target
    elif getattr(node.target, "__module__", "").split(".")[0] in _LIBRARIES:
        name = getattr(node.target, "__name__", "")
    else:
        return written(node)
    name = name.rstrip("_").removesuffix("_with_indices")
    return _ALIASES.get(name, name)


def written(node: fx.Node) -> str:
    """How a message names what a node calls: `torch.einsum`, `x.detach()`."""
    if node.op == "call_method":
        return f"x.{node.target}()"
    module = getattr(node.target, "__module__", None) or "torch"
    name = getattr(node.target, "__name__", str(node.target))
    home = {"torch.functional": "torch", "torch.nn.functional": "F", "torch._C._nn": "F", "_operator": "operator"}.get(
        module, module
    )
    return f"{home}.{name}"


def is_number(node: fx.Node) -> bool:
    """Whether a node gives sizes or numbers and no tensor."""
    if node.op not in ("call_function", "call_method"):
        return False
    name = operation(node)
    if name in _SIZES or (name == "getattr" and node.args[1] in ("shape", "ndim")):
        return True
    return bool(node.all_input_nodes) and all(map(is_number, node.all_input_nodes))


def works_in_place(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether a node changes the tensor that it is given.

    Arguments:
        node: the node.
        module: the module that it calls, where it calls one.
    """
    if node.op not in ("call_function", "call_method"):
        return getattr(module, "inplace", False) is True
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return name.endswith("_") or name in ("iadd", "imul", "isub", "itruediv") or node.kwargs.get("inplace") is True


def tensors(node: fx.Node) -> list[fx.Node]:
    """The tensors that go into a node."""
    return [n for n in node.all_input_nodes if not is_number(n)]


def first(node: fx.Node) -> fx.Node:
    """The tensor that a function or method works on.

    Raises:
        Unsayable: it works on something else.
    """
    found = node.args[0] if node.args else node.kwargs.get("input")
    if not isinstance(found, fx.Node) or is_number(found):
        raise Unsayable(f"forward calls {written(node)} on something that is no tensor")
    return found


def arguments(node: fx.Node, names: str) -> dict[str, Any]:
    """What a function or method is called with after its tensor, by the names that stand in `names` in order.

    Raises:
        Unsayable: it is called with something that has no name there.
    """
    order = names.split()
    if len(node.args) > len(order) + 1:
        raise Unsayable(f"forward calls {written(node)} with {len(node.args)} values")
    found = dict(zip(order, node.args[1:], strict=False))
    found |= {_RENAMED.get(k, k): v for k, v in node.kwargs.items() if k != "input"}
    silent = {k for k, v in found.items() if k not in order and (v is None or k == "_stacklevel")}
    if extra := set(found) - set(order) - silent:
        raise Unsayable(f"forward calls {written(node)} with {', '.join(sorted(extra))}")
    return {k: v for k, v in found.items() if k not in silent}


def spread(args: Sequence[Any], keyword: Any = None) -> tuple[Any, ...]:
    """The sizes of view(2, 3), view((2, 3)) or view(size=(2, 3))."""
    found = args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args or keyword
    return tuple(found)


def view_sizes(node: fx.Node) -> tuple[Any, ...]:
    """The sizes that a view or reshape asks for."""
    return spread(node.args[1:], node.kwargs.get("shape", node.kwargs.get("size")))


def built(cls: str, given: Mapping[str, Any]) -> nn.Module:
    """A layer of torch.nn.

    Raises:
        Unsayable: its constructor refuses the arguments.
    """
    try:
        module: nn.Module = getattr(nn, cls)(**given)
    except (TypeError, ValueError) as error:
        raise Unsayable(f"forward calls what {cls} cannot do: {error}") from None
    return module
