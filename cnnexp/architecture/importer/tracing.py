"""torch.fx follows a module's forward without running it."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from cnnexp.architecture.importer.nodes import Unsayable
from cnnexp.errors import reason


class Untraceable(Exception):  # not a fault of anybody's: the language has no word for it
    """All the things in a module that cannot be said, each with the place where it stands."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class Subject:
    """A module whose forward is looked at.

    Arguments:
        module: the module.
        name: its dotted name in the whole network; empty for the network itself.
        against: the reasons why a module inside cannot be said by itself; none where it can, and the graph need not
            look inside.
        overwrites: whether a module inside that can be said by itself begins with a layer that works in place.
    """

    module: nn.Module
    name: str
    against: Callable[[nn.Module], list[str]]
    overwrites: Callable[[nn.Module], bool]

    def at(self, path: str | None, text: str) -> str:
        """A message with the dotted name of the module, of this one or of one inside, that it is about."""
        place = ".".join(filter(None, (self.name, path)))
        return f"{place}: {text}" if place else text


class _Tracer(fx.Tracer):
    """A tracer whose leaves are the modules that can be said by themselves, and that knows where it failed."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.subject = subject
        self.alone = False
        self.failed: str | None = None

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        self.alone = len(args) == 1 and not kwargs and isinstance(args[0], fx.Proxy)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed = self.failed or self.path_of_module(m)
            raise

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_torchs(m) or (self.alone and not self.subject.against(m))

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Pieces(node, self) if _pieces(node) else super().proxy(node)


class _Pieces(fx.Proxy):
    """What x.chunk(n) gives: a list whose length is known without running anything."""

    def __len__(self) -> int:
        return _pieces(self.node)

    def __iter__(self) -> Iterator[Any]:
        return (operator.getitem(self, i) for i in range(len(self)))


def _pieces(node: fx.Node) -> int:
    """How many tensors a node gives, as far as its arguments tell; 0 where it gives one, or they do not."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    how = next(iter((*node.args[1:2], *(v for k, v in node.kwargs.items() if k != "dim"))), None)
    if name == "chunk" and isinstance(how, int):
        return how
    return len(how) if name == "split" and isinstance(how, (list, tuple)) else 0


def is_torchs(module: nn.Module) -> bool:
    """Whether a module is one of torch's own that does something by itself, and no container of others."""
    container = isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict))
    return type(module).__module__.startswith("torch.nn") and not container


def parameters_of(module: nn.Module) -> dict[str, Any]:
    """The inputs of a forward beside the tensor, with the values that they have when they are left out.

    Raises:
        Unsayable: it needs more than one input.
    """
    parameters = list(inspect.signature(module.forward).parameters.values())
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        raise Unsayable(
            f"forward takes {'any number of inputs' if parameters else 'none'}, and a stack passes one tensor"
        )
    required = [p.name for p in parameters if p.default is p.empty and p.kind in places]
    if len(required) > 1:
        names = ", ".join(required)
        raise Unsayable(f"forward takes {len(required)} inputs ({names}), and a stack passes one tensor")
    optional = {p.name: p.default for p in parameters if p.default is not p.empty}
    return optional if required else dict(list(optional.items())[1:])


def trace(subject: Subject) -> fx.Graph:
    """The graph of a module's forward in the mode that the module is in; optional inputs have their defaults.

    Raises:
        Untraceable: the forward cannot be followed.
    """
    tracer = _Tracer(subject)
    try:
        return tracer.trace(subject.module, concrete_args=parameters_of(subject.module))
    except Unsayable as found:
        raise Untraceable([subject.at(None, str(found))]) from None
    except Exception as error:  # whatever a stranger's forward raises when it is followed
        raise Untraceable([subject.at(tracer.failed, _failure(error))]) from None


def _failure(error: Exception) -> str:
    if isinstance(error, fx.proxy.TraceError) and "iterated" not in str(error):
        return "forward decides by the values or the sizes of a tensor, so that it is not one fixed graph"
    if isinstance(error, fx.proxy.TraceError) or "symbolic tracing" in str(error):
        return "forward counts or goes through the elements of a tensor"
    return f"forward cannot be followed without running it ({reason(error)[:150]})"


def trace_training(subject: Subject) -> fx.Graph | None:
    """The graph in training mode, or None where there is none."""
    with in_mode(subject.module, training=True):
        try:
            return trace(subject)
        except Untraceable:
            return None


@contextmanager
def in_mode(module: nn.Module, training: bool) -> Iterator[None]:
    """Training or eval mode for a while; every module inside has its own mode again afterwards."""
    modes = {m: m.training for m in module.modules()}
    try:
        module.train(training)
        yield
    finally:
        for m, mode in modes.items():
            m.training = mode
