"""Small edits of a model's graph that keep it valid: constants, attributes, dead nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from spa_onnx.graph.live import live_nodes
from spa_onnx.graph.node import Node, Scope
from spa_onnx.graph.tensors import IR_WITH_FREE_INITIALIZERS, all_graphs, scoped_graphs


class GraphEditor:
    """Edits one ModelProto in place, control-flow bodies included; names are unique over all."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.graphs: dict[Scope, onnx.GraphProto] = dict(scoped_graphs(model.graph))
        self._uses = Counter(n for g in self.graphs.values() for node in g.node for n in node.input)
        self._uses.update(v.name for g in self.graphs.values() for v in g.output)
        self._names = set(self._uses)
        self._names.update(n for g in self.graphs.values() for node in g.node for n in node.output)
        self._initializers = {t.name: t for g in self.graphs.values() for t in g.initializer}
        self._declared: dict[str, list[onnx.ValueInfoProto]] = {}
        for g in self.graphs.values():
            for entry in (*g.input, *g.value_info):
                if entry.name in self._initializers and entry.type.tensor_type.elem_type:
                    self._declared.setdefault(entry.name, []).append(entry)
        self._inserted: list[tuple[Node, onnx.NodeProto]] = []
        self._live_before = {
            scope: live_nodes(g.node, {v.name for v in g.output})
            for scope, g in self.graphs.items()
        }
        self._used_before = {n for n in self._uses if self._uses[n]}

    def proto(self, node: Node) -> onnx.NodeProto:
        """Return the message of a node in the model that is edited."""
        found: onnx.NodeProto = self.graphs[node.scope].node[node.index]
        return found

    def unique(self, name: str) -> str:
        """Return a name that no tensor has yet."""
        candidate, k = name, 1
        while candidate in self._names:
            k += 1
            candidate = f"{name}_{k}"
        self._names.add(candidate)
        return candidate

    def add_constant(self, name: str, array: NDArray[np.generic]) -> str:
        """Add an initializer to the main graph and return its name."""
        tensor = numpy_helper.from_array(array, self.unique(name))
        self.model.graph.initializer.append(tensor)
        if self.model.ir_version < IR_WITH_FREE_INITIALIZERS:
            entry = helper.make_tensor_value_info(tensor.name, tensor.data_type, array.shape)
            self.model.graph.input.append(entry)
        return tensor.name

    def set_input(self, node: Node, position: int, array: NDArray[np.generic]) -> None:
        """Give a node a constant input; a constant that only this node uses keeps its name."""
        proto = self.proto(node)
        while len(proto.input) <= position:
            proto.input.append("")
        name = proto.input[position]
        if name in self._initializers and self._uses[name] == 1:
            self.replace_initializer(name, numpy_helper.from_array(array, name))
            return
        made_for = node.outputs[0] if node.outputs else node.op
        self.connect(node, position, self.add_constant(f"{made_for}/input{position}", array))

    def replace_initializer(self, name: str, tensor: onnx.TensorProto) -> None:
        """Exchange an initializer's value and shape, also where that shape is declared."""
        self._initializers[name].CopyFrom(tensor)
        for entry in self._declared.get(name, ()):
            del entry.type.tensor_type.shape.dim[:]
            for n in tensor.dims:
                entry.type.tensor_type.shape.dim.add(dim_value=n)

    def set_attribute(self, node: Node, name: str, value: float | Sequence[int]) -> None:
        """Set an attribute; an empty list removes it."""
        proto = self.proto(node)
        kept = [a for a in proto.attribute if a.name != name]
        del proto.attribute[:]
        proto.attribute.extend(kept)
        if not isinstance(value, Sequence) or value:
            proto.attribute.append(helper.make_attribute(name, value))

    def become_gather(self, node: Node, source: str, indices: NDArray[np.int64], axis: int) -> None:
        """Let a node choose lanes of another tensor instead; name and output stay."""
        proto = self.proto(node)
        self._uses.subtract(proto.input)
        lanes = self.add_constant(f"{node.outputs[0]}/lanes", indices)
        proto.op_type = "Gather"
        del proto.input[:]
        proto.input.extend([source, lanes])
        self._uses.update(proto.input)
        del proto.attribute[:]
        proto.attribute.append(helper.make_attribute("axis", axis))

    def insert_before(self, node: Node, op: str, inputs: Sequence[str], name: str) -> str:
        """Add a node in front of another one and return its output's name."""
        output = self.unique(name)
        self._inserted.append((node, helper.make_node(op, inputs, [output], name=output)))
        self._uses.update(inputs)
        return output

    def connect(self, node: Node, position: int, name: str) -> None:
        """Let a node read another tensor."""
        proto = self.proto(node)
        self._uses[proto.input[position]] -= 1
        proto.input[position] = name
        self._uses[name] += 1

    def finish(self) -> tuple[str, ...]:
        """Put inserted nodes in place and drop what our edits left without use.

        What was unused before stays. Returns the names of dropped nodes.
        """
        dropped: list[str] = []
        for scope in sorted(self.graphs, key=len, reverse=True):  # bodies before what holds them
            dropped += self._finish_graph(scope)
        self._drop_initializers()
        return tuple(dropped)

    def _finish_graph(self, scope: Scope) -> list[str]:
        graph = self.graphs[scope]
        inserted: dict[int, list[onnx.NodeProto]] = {}
        for node, proto in self._inserted:
            if node.scope == scope:
                inserted.setdefault(node.index, []).append(proto)
        ordered: list[tuple[int, onnx.NodeProto]] = []
        for index, proto in enumerate(graph.node):
            ordered += [(-1, n) for n in inserted.get(index, ())]
            ordered.append((index, proto))
        live = live_nodes([n for _, n in ordered], {v.name for v in graph.output})
        kept, dropped = [], []
        for k, (index, proto) in enumerate(ordered):
            if k in live or (index >= 0 and index not in self._live_before[scope]):
                kept.append(onnx.NodeProto.FromString(proto.SerializeToString()))
            else:
                dropped.append(proto.name or next(iter(proto.output), proto.op_type))
        if dropped or inserted:
            del graph.node[:]
            graph.node.extend(kept)
        return dropped

    def _drop_initializers(self) -> None:
        graphs = list(all_graphs(self.model.graph))
        used = {n for g in graphs for node in g.node for n in node.input}
        used.update(v.name for g in graphs for v in g.output)
        for graph in graphs:
            gone = {t.name for t in graph.initializer} & self._used_before - used
            for field in (graph.initializer, graph.input, graph.value_info):
                for k in reversed(range(len(field))):
                    if field[k].name in gone:
                        del field[k]
