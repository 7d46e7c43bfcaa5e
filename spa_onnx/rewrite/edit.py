"""Small edits of a model's graph that keep it valid: constants, attributes, dead nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from spa_onnx.graph.tensors import captured_names

IR_WITH_FREE_INITIALIZERS = 4
"""First IR version whose initializers need not be graph inputs."""


class GraphEditor:
    """Edits one ModelProto in place."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.graph = model.graph
        self._uses = Counter(n for node in self.graph.node for n in node.input)
        self._uses.update(v.name for v in self.graph.output)
        for node in self.graph.node:
            self._uses.update(_captures(node))
        self._names = set(self._uses) | {n for node in self.graph.node for n in node.output}
        self._initializers = {t.name: t for t in self.graph.initializer}
        self._inserted: list[tuple[int, onnx.NodeProto]] = []
        self._live_before = live_nodes(list(self.graph.node), self._output_names())
        self._used_before = {n for n in self._uses if self._uses[n]}

    def unique(self, name: str) -> str:
        """Return a name that no tensor has yet."""
        candidate, k = name, 1
        while candidate in self._names:
            k += 1
            candidate = f"{name}_{k}"
        self._names.add(candidate)
        return candidate

    def add_constant(self, name: str, array: NDArray[np.generic]) -> str:
        """Add an initializer and return its name."""
        tensor = numpy_helper.from_array(array, self.unique(name))
        self.graph.initializer.append(tensor)
        if self.model.ir_version < IR_WITH_FREE_INITIALIZERS:
            shape = list(array.shape)
            self.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, shape))
        return tensor.name

    def set_input(self, index: int, position: int, array: NDArray[np.generic]) -> None:
        """Give a node a constant input; a constant that only this node uses keeps its name."""
        node = self.graph.node[index]
        while len(node.input) <= position:
            node.input.append("")
        name = node.input[position]
        if name in self._initializers and self._uses[name] == 1:
            self.replace_initializer(name, numpy_helper.from_array(array, name))
            return
        self._uses[name] -= 1
        made_for = node.output[0] if len(node.output) else node.op_type
        node.input[position] = self.add_constant(f"{made_for}/input{position}", array)
        self._uses[node.input[position]] = 1

    def replace_initializer(self, name: str, tensor: onnx.TensorProto) -> None:
        """Exchange an initializer's value and shape, also where it is listed as a graph input."""
        self._initializers[name].CopyFrom(tensor)
        for entry in self.graph.input:
            if entry.name == name:
                del entry.type.tensor_type.shape.dim[:]
                for n in tensor.dims:
                    entry.type.tensor_type.shape.dim.add(dim_value=n)

    def set_attribute(self, index: int, name: str, value: int | Sequence[int]) -> None:
        """Set an integer attribute; an empty list removes it."""
        node = self.graph.node[index]
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend(kept)
        if not isinstance(value, Sequence) or value:
            node.attribute.append(helper.make_attribute(name, value))

    def become_gather(self, index: int, source: str, indices: NDArray[np.int64], axis: int) -> None:
        """Let a node choose lanes of another tensor instead; name and output stay."""
        node = self.graph.node[index]
        self._uses.subtract(node.input)
        lanes = self.add_constant(f"{node.output[0]}/lanes", indices)
        node.op_type = "Gather"
        del node.input[:]
        node.input.extend([source, lanes])
        self._uses.update(node.input)
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("axis", axis))

    def insert_before(self, index: int, op: str, inputs: Sequence[str], name: str) -> str:
        """Add a node in front of another one and return its output's name."""
        output = self.unique(name)
        self._inserted.append((index, helper.make_node(op, inputs, [output], name=output)))
        self._uses.update(inputs)
        return output

    def connect(self, index: int, position: int, name: str) -> None:
        """Let a node read another tensor."""
        node = self.graph.node[index]
        self._uses[node.input[position]] -= 1
        node.input[position] = name
        self._uses[name] += 1

    def finish(self) -> tuple[str, ...]:
        """Put inserted nodes in place and drop what our edits left without use.

        What was unused before stays. Returns the names of dropped nodes.
        """
        inserted: dict[int, list[onnx.NodeProto]] = {}
        for index, node in self._inserted:
            inserted.setdefault(index, []).append(node)
        ordered: list[tuple[int, onnx.NodeProto]] = []
        for index, node in enumerate(self.graph.node):
            ordered += [(-1, n) for n in inserted.get(index, ())]
            ordered.append((index, node))
        live = live_nodes([n for _, n in ordered], self._output_names())
        kept, dropped = [], []
        for k, (index, node) in enumerate(ordered):
            if k in live or (index >= 0 and index not in self._live_before):
                kept.append(onnx.NodeProto.FromString(node.SerializeToString()))
            else:
                dropped.append(node.name or next(iter(node.output), node.op_type))
        if dropped or self._inserted:
            del self.graph.node[:]
            self.graph.node.extend(kept)
        self._drop_initializers()
        return tuple(dropped)

    def _output_names(self) -> set[str]:
        return {v.name for v in self.graph.output}

    def _drop_initializers(self) -> None:
        used = self._output_names()
        for node in self.graph.node:
            used.update(node.input)
            used |= _captures(node)
        gone = {t.name for t in self.graph.initializer} & self._used_before - used
        for field in (self.graph.initializer, self.graph.input, self.graph.value_info):
            for k in reversed(range(len(field))):
                if field[k].name in gone:
                    del field[k]


def live_nodes(nodes: Sequence[onnx.NodeProto], outputs: set[str]) -> set[int]:
    """Return the positions of nodes that some output depends on."""
    needed, live = set(outputs), set[int]()
    for k in reversed(range(len(nodes))):
        node = nodes[k]
        if needed.intersection(node.output):
            live.add(k)
            needed.update(node.input)
            needed |= _captures(node)
    return live


def _captures(node: onnx.NodeProto) -> set[str]:
    bodies = [a.g for a in node.attribute if a.HasField("g")]
    bodies += [g for a in node.attribute for g in a.graphs]
    return set().union(*map(captured_names, bodies)) if bodies else set()
