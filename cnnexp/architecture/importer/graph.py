"""What a module's forward computes: the graph that torch.fx finds, as steps from tensor to tensor."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn

from cnnexp.architecture.importer.functional import layers
from cnnexp.architecture.importer.nesting import Call, Item, Nesting, Step
from cnnexp.architecture.importer.nodes import Look, Unsayable, is_number, operation, tensors, works_in_place, written
from cnnexp.architecture.importer.tracing import Subject, Untraceable, parameters_of, trace, trace_training

_UNPOOLS = (nn.MaxUnpool1d, nn.MaxUnpool2d, nn.MaxUnpool3d)
_MERGES = {"add": "add", "mul": "multiply", "cat": "concat"}
_NEUTRAL = {"add": 0, "mul": 1}


def series(subject: Subject, sample: Tensor | None) -> tuple[Item, ...]:
    """The items, one after another, that do what a module's forward does in eval mode.

    Arguments:
        subject: the module, in eval mode.
        sample: a batch that it takes, or None where none is known.

    Raises:
        Untraceable: they cannot be found; holds every reason.
    """
    return _Decomposition(subject, trace(subject), trace_training(subject), sample).items()


def without_indices(pool: nn.Module) -> nn.Module:
    """A max pool like this one that gives its values alone."""
    plain = copy.copy(pool)
    vars(plain)["return_indices"] = False
    return plain


@dataclass
class _Decomposition:
    subject: Subject
    graph: fx.Graph
    training: fx.Graph | None
    sample: Tensor | None
    found: dict[str, int] = field(default_factory=dict)

    def items(self) -> tuple[Item, ...]:
        """The whole graph as a series."""
        self._compare_modes()
        end = self._end()
        if not isinstance(end, fx.Node):
            given = (
                "a dict"
                if isinstance(end, dict)
                else "several tensors"
                if isinstance(end, (list, tuple))
                else "no tensor"
            )
            self._note(f"forward gives {given}, and a stack passes one tensor")
            raise Untraceable(self.reasons)
        self._settle_in_place()
        self.start = next(n for n in self.graph.nodes if n.op == "placeholder")  # trace() has seen to it
        self.steps = self._steps(end)
        if self.reasons:
            raise Untraceable(self.reasons)
        items = Nesting(self.start, self.steps, self._note).items(end)
        if self.reasons:
            raise Untraceable(self.reasons)
        return items

    def _end(self) -> Any:
        """What the forward gives; torch.fx puts it into a list where an optional input is a list or a tuple."""
        given = next(n for n in self.graph.nodes if n.op == "output").args[0]
        nested = getattr(self.graph._codegen, "pytree_info", None)
        wrapped = nested is not None and nested.out_spec is not None and nested.out_spec.is_leaf()
        return given[0] if wrapped and isinstance(given, (list, tuple)) else given

    @cached_property
    def modules(self) -> Mapping[str, nn.Module]:
        return dict(self.subject.module.named_modules(remove_duplicate=False))

    def _compare_modes(self) -> None:
        """Note it where the forward does something else while training."""
        eval_, training = ([(n.op, n.target) for n in g.nodes] if g else [] for g in (self.graph, self.training))
        if eval_ == training:
            return
        only = [str(target) for op, target in training if op == "call_module" and (op, target) not in eval_]
        what = f": only then it calls {only[0]}" if only else ""
        self._note(f"forward does something else while training than in eval mode{what}")

    def _settle_in_place(self) -> None:
        """Whoever uses a tensor after something has worked on it in place uses what that has made of it."""
        order = {node: i for i, node in enumerate(self.graph.nodes)}
        for node in self.graph.nodes:
            module = self.modules.get(str(node.target)) if node.op == "call_module" else None
            inside = module is not None and self.subject.overwrites(module)
            if not (inside or works_in_place(node, module)) or not tensors(node):
                continue
            before = tensors(node)[0]
            later = [user for user in before.users if order[user] > order[node] and not is_number(user)]
            if later and inside:
                self._note("it works in place on a tensor that is used again", str(node.target), node)
            for user in later:
                user.replace_input_with(before, node)

    @cached_property
    def look(self) -> Look:
        pairs = zip(self.graph.nodes, self.training.nodes, strict=False) if self.training else ()
        return Look(self._values(), self.modules, dict(pairs))

    def _values(self) -> dict[fx.Node, Any]:
        """The value of every node in a run with the sample; a tensor's shape in its place."""
        if self.sample is None:
            return {}
        found: dict[fx.Node, Any] = {}

        class Recorder(fx.Interpreter):
            def run_node(self, n: fx.Node) -> Any:
                value = super().run_node(n)
                found[n] = value.shape if isinstance(value, Tensor) else value
                return value

        optional = parameters_of(self.subject.module).values()
        try:
            with torch.no_grad():
                Recorder(fx.GraphModule(self.subject.module, self.graph)).run(self.sample, *optional)
        except Exception:
            return {}  # then there is nothing to know from this sample
        return found

    def _place(self, node: fx.Node) -> str | None:
        """The dotted name of the module in whose forward a node stands."""
        stack = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values() if path != node.target]
        return stack[-1] if stack else None

    def _steps(self, end: fx.Node) -> dict[fx.Node, Step]:
        """The step of every node that the end depends on, inputs before outputs."""
        found: dict[fx.Node, Step] = {}
        waiting = [end]
        while waiting:
            node = waiting.pop()
            if node in found or node is self.start:
                continue
            try:
                found[node] = self._step(node)
            except Unsayable as reason:
                self._note(str(reason), self._place(node), node)
                found[node] = Step((self._before(node),))  # to find what else cannot be said
            waiting += found[node].inputs
        return {node: found[node] for node in self.graph.nodes if node in found}

    def _before(self, node: fx.Node) -> fx.Node:
        """The first tensor that goes into a node; into the list that it comes from, where it is one of several."""
        before = (tensors(node) or [self.start])[0]
        several = before.op in ("call_function", "call_method") and operation(before) in ("chunk", "split")
        return self._before(before) if several else before

    def _note(self, text: str, path: str | None = None, node: fx.Node | None = None) -> None:
        order = list(self.graph.nodes).index(node) if node else -1
        reason = self.subject.at(path, text)
        self.found[reason] = min(self.found.get(reason, order), order)

    @property
    def reasons(self) -> list[str]:
        """What cannot be said, in the order in which the forward comes to it."""
        return sorted(self.found, key=lambda reason: self.found[reason])

    def _step(self, node: fx.Node) -> Step:
        if node.op == "call_module":
            return self._call(node)
        if node.op == "get_attr":
            own = str(node.target).rpartition(".")[2]
            raise Unsayable(f"forward uses the tensor '{own}' by itself, outside a layer")
        if node.op == "placeholder":
            raise Unsayable(f"forward works with its second input '{node.target}'")
        name = operation(node)
        if name in _MERGES:
            return self._merge(node, name)
        if name.startswith("max_unpool"):
            return self._unpool(node)
        if name == "getitem" and (pool := self._pool(node)) and node.args[1] == 0:
            return Step((pool,))
        x, modules = layers(node, self.look)
        return Step((x,), tuple(Call(m) for m in modules))

    def _call(self, node: fx.Node) -> Step:
        target = str(node.target)
        module = self.modules[target]
        if isinstance(module, _UNPOOLS):
            return self._unpool(node)
        (x, *others) = tensors(node) or [self.start]
        if getattr(module, "return_indices", False) and all(operation(user) == "getitem" for user in node.users):
            return Step((x,), (Call(without_indices(module)),))
        if against := self.subject.against(module):
            for reason in against:
                self.found.setdefault(reason, list(self.graph.nodes).index(node))
        elif others or len(node.args) != 1 or node.kwargs:
            raise Unsayable(f"forward calls {target}, a {type(module).__name__}, with several values")
        return Step((x,), (Call(module, target),))

    def _pool(self, getitem: Any) -> fx.Node | None:
        """The max pool of which a node takes the values or the indices, or None where there is none."""
        pool = getitem.args[0] if isinstance(getitem, fx.Node) and operation(getitem) == "getitem" else None
        if not isinstance(pool, fx.Node):
            return None
        module = self.modules.get(str(pool.target))
        indices = getattr(module, "return_indices", False) or (module is None and "max_pool" in operation(pool))
        return pool if indices else None

    def _unpool(self, node: fx.Node) -> Step:
        given = [*node.args, *(v for k, v in node.kwargs.items() if k == "indices")]
        pool = self._pool(given[1]) if len(given) > 1 else None
        if pool is None or not isinstance(given[0], fx.Node):
            raise Unsayable(
                f"{node.target if node.op == 'call_module' else written(node)} undoes no max pool of this forward"
            )
        return Step((given[0], pool), merge="unpool")

    def _merge(self, node: fx.Node, name: str) -> Step:
        if name == "cat":
            operands = node.args[0] if node.args else node.kwargs.get("tensors", ())
            dim = self.look.plain(node.kwargs.get("dim", node.kwargs.get("axis", (*node.args[1:], 0)[0])))
            if not isinstance(operands, (list, tuple)) or not all(isinstance(o, fx.Node) for o in operands):
                raise Unsayable("forward concatenates a list that is not known before it runs")
            if dim == 0:
                raise Unsayable("forward concatenates along the batch (torch.cat without dim)")
            return Step(tuple(o for o in operands if isinstance(o, fx.Node)), merge="concat", dim=dim)
        operands = [*node.args, *(v for k, v in node.kwargs.items() if k in ("input", "other"))]
        if node.kwargs.get("alpha", 1) != 1 or len(operands) != 2:
            raise Unsayable(f"forward calls {written(node)} with more than two values")
        given = [o for o in operands if isinstance(o, fx.Node) and not is_number(o)]
        if len(given) == 2:
            return Step(tuple(given), merge=_MERGES[name])
        (number,) = (o for o in operands if o not in given)
        if number == _NEUTRAL[name]:
            return Step(tuple(given))
        what = f"the number {number}" if isinstance(number, (int, float)) else "a number computed from sizes"
        raise Unsayable(f"forward {'adds' if name == 'add' else 'multiplies by'} {what}")
