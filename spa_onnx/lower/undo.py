"""The way back: operators for packed weights become standard ones with the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.errors import GraphError
from spa_onnx.graph.node import Node
from spa_onnx.graph.shapes import infer
from spa_onnx.lower.config import Target
from spa_onnx.lower.operators import (
    OPERATORS,
    SPARSE_LINEAR,
    standard_nodes,
    window_of,
)
from spa_onnx.lower.rewrite import Store, drop_unread, merge_twins, replace_nodes
from spa_onnx.lower.view import DOMAIN, VALUES
from spa_onnx.lower.weights import regrouped
from spa_onnx.normalise.graph import Graph
from spa_onnx.rewrite.apply import Rewritten
from spa_onnx.runtime.packed_header import read_header
from spa_onnx.runtime.packed_kinds import HALVES, PackedWeightError, ValueType
from spa_onnx.runtime.unpacking import unpack

REMEDY = "Lower the original model again"


def lowered_nodes(graph: Graph) -> list[Node]:
    """Return the nodes of domain ``ai.spa``."""
    return [n for n in graph.nodes if n.proto.domain == DOMAIN]


def raise_layers(graph: Graph) -> Rewritten:
    """Return the model with standard operators in place of those of ``ai.spa``.

    Raises:
        GraphError: one of them is unknown, or its weight is not what it says.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    raising = _Raising(graph, Store.of(model))
    places: dict[int, list[onnx.NodeProto]] = {}
    for node in lowered_nodes(graph):
        if node.scope or node.proto.op_type not in OPERATORS:
            raise GraphError(node.label, "is no operator that this version lowers to", REMEDY)
        places[node.index] = raising.nodes(node)
    unread = {name for k in places for name in model.graph.node[k].input}
    dropped = replace_nodes(model, set(places), places)
    merge_twins(model, graph)
    drop_unread(model, {graph.twins.get(name, name) for name in unread})
    kept = [o for o in model.opset_import if o.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return Rewritten(model, raising.store.payloads, dropped)


@dataclass(slots=True)
class _Raising:
    """Makes standard nodes.

    Attributes:
        graph: the lowered graph.
        store: of the model that is made.
        weights: names of dense weights by what they were made of.
        scalars: names of constants by their values.
    """

    graph: Graph
    store: Store
    weights: dict[tuple[object, ...], str] = field(default_factory=dict)
    scalars: dict[tuple[str, bytes], str] = field(default_factory=dict)

    def nodes(self, node: Node) -> list[onnx.NodeProto]:
        """Return the nodes for a lowered one."""
        group, weight = self._weight(node)
        version, values = self.graph.standard_version, values_of(self.graph, node)
        made = standard_nodes(node.proto, weight, group, version, self._scalar, values)
        inner: dict[str, str] = {}
        for proto in made:
            for names in (proto.input, proto.output):
                for k, name in enumerate(names):
                    names[k] = inner.get(name, name)
            for k, name in enumerate(proto.output):
                if name != node.outputs[0]:
                    inner[name] = proto.output[k] = self.store.unique(name)
        return made

    def _scalar(self, name: str, array: NDArray[Any]) -> str:
        key = array.dtype.name, array.tobytes()
        if key not in self.scalars:
            self.scalars[key] = self.store.add(name, array)
        return self.scalars[key]

    def _weight(self, node: Node) -> tuple[int, str]:
        """Return the number of groups, and the name of the dense weight."""
        name = node.inputs[1] if len(node.inputs) > 1 else ""
        if name not in self.graph.tensors:
            raise GraphError(node.label, "its packed weight is not stored in the model", REMEDY)
        if node.proto.op_type == SPARSE_LINEAR:
            expected = [node.integer("out_features", 0)]
            return 1, self._dense(node, name, (SPARSE_LINEAR, name), expected, 1)
        window = window_of(node.proto)
        expected = [node.integer("out_channels", 0), *window.kernel]
        key = (node.proto.op_type, name, *window.kernel, window.group)
        return window.group, self._dense(node, name, key, expected, window.group)

    def _dense(
        self,
        node: Node,
        name: str,
        key: tuple[object, ...],
        expected: Sequence[int],
        group: int,
    ) -> str:
        if key in self.weights:
            return self.weights[key]
        matrix = self._unpacked(node, name, expected)
        if len(expected) == 1:
            dense = np.ascontiguousarray(matrix.T)
        else:
            wide = matrix.reshape(expected[0], -1, *expected[1:])
            narrow = regrouped(wide, group) if group > 1 and not expected[0] % group else wide
            if narrow is None:
                problem = f"its weight {name!r} has values outside its groups"
                raise GraphError(node.label, problem, REMEDY)
            dense = narrow
        self.weights[key] = self.store.add(name.removesuffix("/packed"), dense)
        return self.weights[key]

    def _unpacked(self, node: Node, name: str, expected: Sequence[int]) -> NDArray[Any]:
        """Return a packed weight as a matrix that fits its node."""
        array = np.ascontiguousarray(self.graph.array(name))
        packed = memoryview(array.view(np.uint8).data)
        taps = int(np.prod(expected[1:], dtype=np.int64))
        try:
            header = read_header(packed)
            fits = header.rows == expected[0] and taps > 0 and header.columns % taps == 0
            matrix = unpack(packed) if fits else None
        except PackedWeightError as broken:
            raise GraphError(node.label, f"its weight {name!r}: {broken}", REMEDY) from broken
        if matrix is None:
            problem = (
                f"its weight {name!r} of shape ({header.rows}, {header.columns}) does not fit "
                f"{list(expected)}"
            )
            raise GraphError(node.label, problem, REMEDY)
        return matrix.astype(values_of(self.graph, node).dtype, copy=False)


def values_of(graph: Graph, node: Node) -> ValueType:
    """Return the type that a lowered node computes in: that of its input."""
    kind = infer(graph.model).types.get(node.inputs[0], 0) if node.inputs else 0
    return VALUES.get(kind, ValueType.FLOAT32)


def target_of(graph: Graph) -> Target:
    """Return what a model was lowered for: kernels for CUDA compute in 16 bits, others do not."""
    halves = any(values_of(graph, node) in HALVES for node in lowered_nodes(graph))
    return "cuda" if halves else "cpu"


def is_lowered(model: onnx.ModelProto) -> bool:
    """Say whether a model imports operators for packed weights."""
    return any(o.domain == DOMAIN for o in model.opset_import)
