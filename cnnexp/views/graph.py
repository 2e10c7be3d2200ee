"""A Plan as the graph that TensorBoard draws."""

from __future__ import annotations

from collections.abc import Sequence

from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.versions_pb2 import VersionDef

from cnnexp.architecture.fitting import Shape
from cnnexp.architecture.plan import Plan, PlannedLayer, plain


def graph(plan: Plan) -> GraphDef:
    """A node for every layer, in a scope for every composite, with its type, parameters and output shape.

    Nothing is traced or run: the plan knows it all.
    """
    nodes = _Nodes()
    end = nodes.add("input", "Input", (), plan.input_shape)
    for layer in plan.layers:
        end = nodes.layer(layer, "", end)
    nodes.add("output", "Output", (end,), plan.output_shape)
    return GraphDef(node=nodes.made, versions=VersionDef(producer=22))


class _Nodes:
    """The nodes so far; the scope of a layer is its dotted name with slashes, each part with its type."""

    def __init__(self) -> None:
        self.made: list[NodeDef] = []

    def add(self, name: str, op: str, inputs: Sequence[str], shape: Shape, params: dict[str, str] | None = None) -> str:
        sizes = TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in (-1, *shape)])
        attributes = {key: AttrValue(s=text.encode()) for key, text in (params or {}).items()}
        attributes["_output_shapes"] = AttrValue(list=AttrValue.ListValue(shape=[sizes]))
        self.made.append(NodeDef(name=name, op=op, input=list(inputs), attr=attributes))
        return name

    def layer(self, layer: PlannedLayer, scope: str, source: str) -> str:
        """Add a layer that reads the node `source`; the node that gives its output."""
        name = f"{scope}{_safe(layer.name)}_{_safe(layer.type)}"
        if not layer.composite:
            params = {key: str(plain(value)) for key, value in layer.params.items()}
            return self.add(name, layer.type, (source,), layer.output_shape, params)
        return self._composite(layer, f"{name}/", source)

    def _composite(self, layer: PlannedLayer, scope: str, source: str) -> str:
        children = {child.name: child for child in layer.children}
        kind, shape = layer.component.name, layer.output_shape
        if kind == "Residual":
            ends = [self.layer(children["layers"], scope, source)]
            ends.append(self.layer(children["shortcut"], scope, source) if "shortcut" in children else source)
            return self.add(f"{scope}add", "Add", ends, shape)
        if kind == "Parallel":
            merge = str(layer.params.get("merge", "concat"))
            ends = [self.layer(child, scope, source) for child in layer.children]
            return self.add(f"{scope}{merge}", merge.capitalize(), ends, shape)
        if kind == "Unpool":
            pool = self.layer(children["pool"], scope, source)
            ends = [self.layer(children["layers"], scope, pool), pool]
            return self.add(f"{scope}unpool", "MaxUnpool", ends, shape)
        end = source
        for child in layer.children:
            end = self.layer(child, scope, end)
        return end if end != source else self.add(f"{scope}identity", "Identity", (source,), shape)


def _safe(text: str) -> str:
    return "".join("_" if sign in "/:^ " else sign for sign in text)
