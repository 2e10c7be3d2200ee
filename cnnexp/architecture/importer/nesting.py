"""Steps from tensor to tensor become items inside one another.

They are taken apart from the end: where branches rejoin, everything behind the last tensor that all of them start from
is a join of series. Steps that are no nesting of such joins have no words in the layer language.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import fx, nn

SHARED = "it is called more than once, and no two layers of a config share weights"


@dataclass(frozen=True)
class Call:
    """One layer: a module of the traced one, by its dotted name, or one that stands for a function (no name)."""

    module: nn.Module
    target: str = ""


@dataclass(frozen=True)
class Join:
    """Branches that start from the same value, and how their results are merged: concat, add or multiply."""

    merge: str
    branches: tuple[tuple[Item, ...], ...]
    dim: int = 1


@dataclass(frozen=True)
class Unpooling:
    """A max pool, the items at the small size, and the max-unpool that undoes the pool."""

    pool: nn.Module
    items: tuple[Item, ...]


Item = Call | Join | Unpooling


@dataclass(frozen=True)
class Step:
    """One node as its input with layers after it, or as a merge of several inputs.

    Arguments:
        inputs: the tensors that go in.
        calls: the layers after the one input.
        merge: how several inputs are merged; `unpool` where the second one says where the maxima were.
        dim: the dimension of a concatenation.
    """

    inputs: tuple[fx.Node, ...]
    calls: tuple[Call, ...] = ()
    merge: str = ""
    dim: int = 1


class Nesting:
    """The nesting of steps.

    Arguments:
        start: the tensor that goes into the first of them.
        steps: the step that gives each tensor, inputs before outputs.
        note: is told what does not nest, and at which layer.
    """

    def __init__(self, start: fx.Node, steps: dict[fx.Node, Step], note: Callable[[str, str | None], None]) -> None:
        self.start = start
        self.steps = steps
        self.note = note
        self.above: dict[fx.Node, fx.Node] = {}
        self.depth: dict[fx.Node, int] = {start: 0}
        self.used: dict[str, fx.Node] = {}
        self.passed: set[fx.Node] = set()

    def items(self, end: fx.Node) -> tuple[Item, ...]:
        """The items from the start to a tensor; not all of them where something was noted."""
        self._share_concatenations()
        self._flatten_merges(end)
        self._dominate()
        return self._expand(end, self.start)

    def _same(self, node: fx.Node) -> fx.Node:
        """The node that first had this value."""
        while node is not self.start and not self.steps[node].calls and len(self.steps[node].inputs) == 1:
            node = self.steps[node].inputs[0]
        return node

    def _share_concatenations(self) -> None:
        """A concatenation that begins with all of an earlier one continues it, as in a dense block."""
        earlier: dict[tuple[int, tuple[fx.Node, ...]], fx.Node] = {}
        for node, step in self.steps.items():
            inputs = tuple(map(self._same, step.inputs))
            if step.merge == "concat":
                for n in range(len(inputs), 1, -1):
                    if (whole := earlier.get((step.dim, inputs[:n]))) is not None:
                        earlier[step.dim, inputs] = node
                        inputs = (whole, *inputs[n:])
                        break
                else:
                    earlier[step.dim, inputs] = node
            merge = step.merge if len(inputs) > 1 else ""
            self.steps[node] = Step(inputs, step.calls, merge, step.dim)

    def _flatten_merges(self, end: fx.Node) -> None:
        """A sum whose only use is a term of another sum becomes terms of it; so do products and concatenations."""
        uses: dict[fx.Node, int] = {self._same(end): 1}
        for step in self.steps.values():
            for node in map(self._same, step.inputs):
                uses[node] = uses.get(node, 0) + 1
        for node, step in self.steps.items():
            inputs: list[fx.Node] = []
            for one in map(self._same, step.inputs):
                inner = self.steps.get(one)
                alike = inner and step.merge and (inner.merge, inner.dim) == (step.merge, step.dim) and uses[one] == 1
                inputs += inner.inputs if inner and alike and step.merge != "unpool" else [one]
            self.steps[node] = Step(tuple(inputs), step.calls, step.merge, step.dim)

    def _dominate(self) -> None:
        """For every node the last one before it that every path from the start goes through."""
        for node, step in self.steps.items():
            self.above[node] = above = self._common(step.inputs)
            self.depth[node] = self.depth[above] + 1

    def _common(self, nodes: tuple[fx.Node, ...]) -> fx.Node:
        first, *others = nodes
        for other in others:
            while first is not other:
                if self.depth[first] < self.depth[other]:
                    first, other = other, first
                first = self.above[first]
        return first

    def _below(self, node: fx.Node, top: fx.Node) -> fx.Node | None:
        """The dominator of a node just below `top`, or None where the node is `top` itself."""
        if node is top:
            return None
        while self.above[node] is not top:
            node = self.above[node]
        return node

    def _expand(self, end: fx.Node, start: fx.Node) -> tuple[Item, ...]:
        """The items from one value to another that depends on nothing else."""
        found: list[Item] = []
        node = end
        while node is not start:
            step, above = self.steps[node], self.above[node]
            if step.merge == "unpool":
                pool, (call,) = step.inputs[1], self.steps[step.inputs[1]].calls
                if above is not pool:
                    self.note(
                        "the indices of a max pool go past layers that do not lie between the pool and its unpool",
                        None,
                    )
                    return ()
                found.append(Unpooling(call.module, self._expand(step.inputs[0], pool)))
                above = self.above[pool]
            elif step.merge:
                found.append(self._join(step.merge, step.dim, step.inputs, above))
            else:
                if not self._first_use(node, step):
                    return ()
                found += reversed(step.calls)
            node = above
        return tuple(reversed(found))

    def _first_use(self, node: fx.Node, step: Step) -> bool:
        """Whether the weights of a step have not been used before; otherwise it is noted why they were."""
        for call in step.calls:
            if not call.module.state_dict():
                continue
            earlier = self.used.setdefault(call.target, node)
            if node not in self.passed and earlier is node:
                continue
            if earlier is node:
                self.note("what it gives goes to several places that are not branches inside one another", call.target)
            else:
                self.note(SHARED, call.target)
            return False
        self.passed.add(node)
        return True

    def _join(self, merge: str, dim: int, inputs: tuple[fx.Node, ...], top: fx.Node) -> Join:
        """The join of several values at `top`; those that part again further down are joined there first."""
        groups: list[tuple[fx.Node | None, list[fx.Node]]] = []
        for node in inputs:
            key = self._below(node, top)
            near = groups[-1:] if merge == "concat" else groups
            home = next((members for k, members in near if k is key and key is not None), None)
            if home is None:
                groups.append((key, [node]))
            else:
                home.append(node)
        branches = []
        for _, members in groups:
            if len(members) == 1:
                branches.append(self._expand(members[0], top))
                continue
            common = self._common(tuple(members))
            inner = self._join(merge, dim, tuple(members), common)
            branches.append((*self._expand(common, top), inner))
        return Join(merge, tuple(branches), dim)
