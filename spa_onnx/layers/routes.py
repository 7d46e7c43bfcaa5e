"""Where the operands of a product of activations come from: a layer, and then moves of its numbers.

    x ─ Gemm ─ Reshape ─ Split ─ Transpose ─ q        every lane of q is one output of the Gemm

Nodes that only move numbers, and multiplications with one number, are run on the *numbers of the
layer's outputs* in place of its values. What arrives tells which output every element is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from spa_onnx.algebra.expression import IntArray
from spa_onnx.execute.session import WholeSession, create_session
from spa_onnx.graph.node import Node
from spa_onnx.layers.layer import Layer
from spa_onnx.layers.pairing import Pairing
from spa_onnx.normalise.graph import Graph

Array = NDArray[Any]

MOVES = frozenset(
    {
        "Identity",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Split",
        "Slice",
        "Gather",
        "Expand",
        "Tile",
    }
)
"""Operators whose results hold numbers of their first input and nothing else."""


@dataclass(frozen=True, slots=True)
class Route:
    """How an operand comes from a layer.

    Attributes:
        layer: the layer.
        places: the layer's output that each lane is, ``(*batch, lanes)``.
        shared: these outputs are read by others too.
    """

    layer: Layer
    places: IntArray
    shared: bool


@dataclass(slots=True)
class RouteFinder:
    """Follows the outputs of layers to where something is computed of them.

    Attributes:
        graph: the graph.
        biases: tensors that are added to the product of a layer, and are its bias.
    """

    graph: Graph
    biases: frozenset[str]
    _readers: dict[str, list[tuple[Node, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.graph.nodes:
            for k, name in enumerate(node.inputs):
                self._readers.setdefault(name, []).append((node, k))

    def routes(
        self,
        layers: Iterable[Layer],
        pairings: Iterable[Pairing],
        read: Callable[[Sequence[str]], Mapping[str, Array]],
    ) -> dict[tuple[str, int], Route]:
        """Return the routes to operands, by the pairing's name and the operand's position.

        ``read`` returns tensors of one run.
        """
        sides = {(p.name, s.input): s for p in pairings for s in p.sides}
        chosen = [layer for layer in layers if self._reaches(layer.node.outputs[0], sides)]
        names = {n for layer in chosen for n in self._needed(layer.node.outputs[0])}
        values = read(sorted(names)) if names else {}
        found: dict[tuple[str, int], Route] = {}
        for layer in chosen:
            ends = list(self._ends(layer, values))
            for k, (key, numbers) in enumerate(ends):
                if key not in sides:
                    continue
                seen = sides[key].seen(numbers)
                if (seen != seen[..., :1, :]).any():
                    continue  # lanes of the layer lie along the rows
                others = [np.unique(x) for j, (_, x) in enumerate(ends) if j != k]
                shared = bool(np.isin(seen, np.concatenate([*others, [-1]])).any())
                found[key] = Route(layer, seen[..., 0, :].astype(np.int64), shared)
        return found

    def _steps(self, name: str) -> Iterator[tuple[Node, int]]:
        """Yield the nodes that perhaps only move or scale a tensor."""
        for node, k in self._readers.get(name, []):
            if not node.scope and (
                (node.op in MOVES and k == 0)
                or (node.op == "Mul" and node.inputs[0] != node.inputs[1])
                or (node.op == "Div" and k == 0 and node.inputs[0] != node.inputs[1])
                or (node.op == "Add" and node.inputs[1 - k] in self.biases)
            ):
                yield node, k

    def _closure(self, name: str) -> Iterator[tuple[Node, int, str]]:
        waiting, seen = [name], {name}
        while waiting:
            at = waiting.pop()
            for node, k in self._steps(at):
                yield node, k, at
                fresh = [n for n in node.outputs if n and n not in seen]
                seen.update(fresh)
                waiting += fresh

    def _reaches(self, name: str, sides: Mapping[tuple[str, int], object]) -> bool:
        reached = {name, *(n for node, _, _ in self._closure(name) for n in node.outputs)}
        return any(
            (node.outputs[0], k) in sides for n in reached for node, k in self._readers.get(n, [])
        )

    def _needed(self, name: str) -> Iterator[str]:
        """Yield what must be read of a run: the layer's output, and what moves depend on."""
        yield name
        for node, k, _ in self._closure(name):
            for j, other in enumerate(node.inputs):
                if j != k and other and other not in self.graph.tensors:
                    yield other

    def _ends(
        self, layer: Layer, values: Mapping[str, Array]
    ) -> Iterator[tuple[tuple[str, int], Array]]:
        """Yield where numbers of a layer's outputs end: reader and position, and the numbers."""
        start = layer.node.outputs[0]
        shape = values[start].shape
        form = [1] * len(shape)
        form[layer.output_axis] = -1
        numbers = np.arange(layer.width, dtype=np.int32).reshape(form)
        waiting: list[tuple[str, Array]] = [(start, np.broadcast_to(numbers, shape))]
        while waiting:
            name, held = waiting.pop()
            if name in self.graph.captured or name in self.graph.outputs:
                yield ("", 0), held
            steps = dict(self._steps(name))
            for node, k in self._readers.get(name, []):
                made = self._moved(node, k, held, values) if steps.get(node) == k else None
                if made is None:
                    yield (node.outputs[0], k), held
                else:
                    waiting += made.items()

    def _moved(
        self, node: Node, k: int, held: Array, values: Mapping[str, Array]
    ) -> dict[str, Array] | None:
        """Return what a node makes of the numbers; None where it does more than move and scale."""
        others = {
            n: self.graph.array(n) if n in self.graph.tensors else values[n]
            for j, n in enumerate(node.inputs)
            if j != k and n
        }
        if node.op in ("Mul", "Div"):
            (factor,) = others.values()
            same = factor.size == 1 and factor.ndim <= held.ndim
            return {node.outputs[0]: held} if same else None
        if node.op == "Add":
            return {node.outputs[0]: held}
        made = run_node(self.graph, node, {node.inputs[k]: np.ascontiguousarray(held), **others})
        return {n: x for n, x in made.items() if n}


def run_node(graph: Graph, node: Node, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Return what ONNX Runtime makes of one node's inputs."""
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for n, x in feeds.items()
    ]
    names = [n for n in node.outputs if n]
    outputs = [onnx.ValueInfoProto(name=n) for n in names]
    model = helper.make_model(
        helper.make_graph([node.proto], "node", inputs, outputs),
        opset_imports=graph.model.opset_import,
        ir_version=graph.model.ir_version,
    )
    session = WholeSession(create_session(model, graph.weights))
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))
