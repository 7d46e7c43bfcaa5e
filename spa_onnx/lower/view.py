"""What the stage asks about a graph: who reads a tensor, what is constant, which sizes it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.algebra.expression import sizes_of
from spa_onnx.algebra.size import Size
from spa_onnx.algebra.size import evaluate as number
from spa_onnx.analyse.propagate import Propagation, propagate
from spa_onnx.graph.node import Node
from spa_onnx.graph.shapes import infer
from spa_onnx.normalise.graph import Graph
from spa_onnx.runtime.packed_kinds import ValueType

Array = NDArray[Any]

DOMAIN = "ai.spa"
"""Domain of the operators that read packed weights."""


@dataclass
class View:
    """A graph in normal form with its sizes; nodes of the main graph are known by their index.

    Attributes:
        graph: the graph.
        state: its sizes, with symbols where the model leaves them open.
    """

    graph: Graph
    state: Propagation

    @staticmethod
    def of(graph: Graph) -> View:
        """Return the view of a graph."""
        return View(graph, propagate(graph, {}))

    @cached_property
    def nodes(self) -> dict[int, Node]:
        """Return the nodes of the main graph, in an order in which inputs exist."""
        return {n.index: n for n in self.graph.nodes if not n.scope and n.op != "Constant"}

    @cached_property
    def inner(self) -> list[Node]:
        """Return the nodes inside control flow."""
        return [n for n in self.graph.nodes if n.scope]

    @cached_property
    def readers(self) -> dict[str, list[Node]]:
        """Return who reads each tensor; a node that reads it twice is there twice."""
        found: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            for name in filter(None, node.inputs):
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def makers(self) -> dict[str, int]:
        """Return the index of the node that makes each tensor of the main graph."""
        return {name: k for k, n in self.nodes.items() for name in n.outputs if name}

    @cached_property
    def kept_names(self) -> set[str]:
        """Return tensors that must keep existing whoever reads them."""
        return {*self.graph.outputs, *self.graph.captured}

    @cached_property
    def fed(self) -> set[str]:
        """Return initializers that a user may feed instead."""
        if self.graph.model.ir_version < IR_OF_DEFAULTS:
            return set()
        return {v.name for v in self.graph.model.graph.input} & set(self.graph.tensors)

    def only_reader(self, name: str) -> Node | None:
        """Return the node that alone reads a tensor, once."""
        found = self.readers.get(name, [])
        if len(found) != 1 or name in self.kept_names or found[0].scope:
            return None
        return found[0] if found[0].index in self.nodes else None

    def is_constant(self, name: str) -> bool:
        """Say whether a tensor is stored in the model, and nothing else can be fed for it."""
        return name in self.graph.tensors and name not in self.fed

    def values(self, name: str) -> ValueType | None:
        """Return the type of a tensor's elements if kernels compute in it."""
        return VALUES.get(self.element(name))

    def element(self, name: str) -> int:
        """Return the element type of a tensor, 0 where it is unknown."""
        if name in self.graph.tensors:
            return int(self.graph.tensors[name].data_type)
        return infer(self.graph.model).types.get(name, 0)

    def array(self, name: str) -> Array:
        """Return the values of a stored tensor."""
        return self.graph.array(name)

    def dims(self, name: str) -> tuple[int, ...]:
        """Return the lengths of a stored tensor."""
        return tuple(self.graph.tensors[name].dims)

    def scalar(self, name: str) -> float | None:
        """Return the value of a stored tensor with one element; None for other types of numbers."""
        if not self.is_constant(name) or int(np.prod(self.dims(name), dtype=np.int64)) != 1:
            return None
        if self.values(name) is None:
            return None
        return float(self.array(name).reshape(-1)[0])

    def sizes(self, name: str) -> Sequence[Size] | None:
        """Return the lengths of a tensor, symbols among them; None where its rank is unknown."""
        if name in self.graph.tensors:
            return self.dims(name)
        axes = self.state.axes_of(name) if name in self.state.axes else None
        if axes is not None:
            return sizes_of(axes)
        return infer(self.graph.model).shapes.get(name)

    def shape(self, name: str, symbols: Mapping[str, int]) -> tuple[int, ...] | None:
        """Return the lengths of a tensor at some numbers of the symbols; None if unknown."""
        sizes = self.sizes(name)
        if sizes is None:
            return None
        try:
            return tuple(number(n, symbols) for n in sizes)
        except KeyError:
            return None


VALUES: Mapping[int, ValueType] = {
    onnx.TensorProto.FLOAT: ValueType.FLOAT32,
    onnx.TensorProto.FLOAT16: ValueType.FLOAT16,
    onnx.TensorProto.BFLOAT16: ValueType.BFLOAT16,
}

IR_OF_DEFAULTS = 4
"""From this IR version on, an initializer that is an input too is a default of it."""
