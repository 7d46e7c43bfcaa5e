"""A whole network's flow: forward from an all-ones input, and back from the sum of its outputs.

    R = sum over outputs of the network, every weight by its absolute value
    flow through a weight = |w| dR/d|w|, summed: what enters or leaves a layer by a lane

Every operator is of degree one, so the flow through the layers of any cut adds up to ``R``. Only
channels are followed: borders of convolutions are ignored, and so the flow is the same at all
positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Dim, size_of, sizes_of
from spa_onnx.algebra.size import Polynomial
from spa_onnx.analyse.dims import Analysis
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.flow.layers import channel_matrix, layer_edge, side_axis
from spa_onnx.flow.rules import RULES
from spa_onnx.flow.spot import BlockedError, Edge, Spot
from spa_onnx.flow.values import FloatArray, Flow, total
from spa_onnx.graph.node import Node
from spa_onnx.graph.shapes import tensor_type
from spa_onnx.graph.tensors import FLOATS
from spa_onnx.layers.find import DAMAGED, Layer, layers_of
from spa_onnx.normalise.graph import CONTROL_FLOW
from spa_onnx.plan.lanes import Kept, KeptLanes


@dataclass(frozen=True, slots=True)
class Cut:
    """Flow through one side of a layer, in shares of ``R``; its sum is the layer's share.

    Attributes:
        tensor: what the layer reads or makes.
        axis: of the tensor, with the layer's channels.
        flow: of the tensor's rank, with length one along axes on which it is constant.
    """

    tensor: str
    axis: int
    flow: FloatArray


@dataclass(slots=True)
class FlowNetwork:
    """Runs the flow through what stays of a network.

    Attributes:
        analysis: the dims.
        blocked: operators that the flow met and did not get through, in its last run.
    """

    analysis: Analysis
    blocked: set[str] = field(default_factory=set)
    _layers: dict[str, Layer] = field(init=False)
    _matrices: dict[str, NDArray[np.floating]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        graph = self._state.graph
        self._layers = {x.node.outputs[0]: x for x in layers_of(graph, shared=True)}

    @property
    def _state(self) -> Propagation:
        return self.analysis.propagation

    def cuts(self, kept: Mapping[Dim, Kept]) -> list[Cut]:
        """Return the flow at both sides of every layer that it reaches and leaves to an output.

        Left out are depthwise layers: they scale lanes, and neither make nor sum them. A table that
        is looked up has one side, the rows that it gives.
        """
        self.blocked.clear()
        lanes = KeptLanes(self._state.space, kept)
        flows = self._entries()
        tape = [
            edge for node in self._state.graph.nodes for edge in self._visit(node, lanes, flows)
        ]
        grads = self._exits(flows)
        whole = total([flows[name].times(grads[name][0]).to_shape(()) for name in grads])
        if not whole.values.any():
            return []
        found: list[Cut] = []
        for edge in reversed(tape):
            if edge.target in grads:
                grad = total(grads[edge.target]).to_shape(edge.flow.values.shape)
                pulled = edge.pull(grad)
                if edge.source:
                    grads.setdefault(edge.source, []).append(pulled)
                found += self._sides(edge, grad, pulled, flows, whole)
        return found

    def _entries(self) -> dict[str, Flow]:
        """Return ones at every input of real numbers; integers look rows up and bring no flow."""
        found = {}
        for entry in self._state.graph.inputs:
            axes = self._state.axes_of(entry.name)
            if axes is not None and tensor_type(entry.type).elem_type in FLOATS:
                found[entry.name] = Flow.of(np.ones((1,) * len(axes)))
        return found

    def _exits(self, flows: Mapping[str, Flow]) -> dict[str, list[Flow]]:
        """Return the gradient at every output: as many ones as are the same there."""
        grads: dict[str, list[Flow]] = {}
        for name in self._state.graph.outputs:
            if name in flows and name not in grads:
                values = flows[name].values
                lengths = zip(sizes_of(self._state.axes_of(name) or ()), values.shape, strict=True)
                times = prod(n for n, held in lengths if held == 1 and isinstance(n, int))
                grads[name] = [Flow.of(np.full(values.shape, float(times)))]
        return grads

    def _visit(self, node: Node, lanes: KeptLanes, flows: dict[str, Flow]) -> list[Edge]:
        """Let the flow through a node, and return how it went."""
        if node.scope or all(map(self._is_constant, filter(None, node.outputs))):
            return []
        try:
            edges = list(self._edges(node, lanes, flows))
            made: dict[str, list[Flow]] = {}
            for edge in edges:
                made.setdefault(edge.target, []).append(edge.flow)
            arrived = {name: self._fitted(name, total(parts)) for name, parts in made.items()}
        except (BlockedError, *DAMAGED):  # the latter where tensors do not fit their operator
            if node.op in CONTROL_FLOW or any(name in flows for name in node.inputs):
                self.blocked.add(node.op)
            return []
        flows.update(arrived)
        return edges

    def _fitted(self, name: str, flow: Flow) -> Flow:
        """Return a flow with as many axes as its tensor.

        Raises:
            BlockedError: the tensor has another shape, or no numbers.
        """
        axes = self._state.axes_of(name)
        if axes is None or len(axes) < flow.values.ndim or not flow.values.size:
            raise BlockedError
        shape = (1,) * (len(axes) - flow.values.ndim) + flow.values.shape
        if any(n not in (1, size) for n, size in zip(shape, sizes_of(axes), strict=True)):
            raise BlockedError
        return Flow(flow.values.reshape(shape), flow.exponent)

    def _is_constant(self, name: str) -> bool:
        return name in self._state.values or self._state.is_weight(name)

    def _edges(self, node: Node, lanes: KeptLanes, flows: Mapping[str, Flow]) -> Iterator[Edge]:
        """Yield what a node does.

        Raises:
            BlockedError: nothing is known of it.
        """
        spot = Spot(node, self._state, flows)
        shuffle = self._state.permuted.get(node)
        layer = self._layers.get(node.outputs[0])
        if shuffle is not None:
            if node.outputs[0] == shuffle.result:
                first = Spot(shuffle.nodes[0], self._state, flows)
                edge = first.picked(0, shuffle.axis, shuffle.order)
                yield replace(edge, target=shuffle.result)
        elif layer is not None:
            if layer.source not in flows:
                raise BlockedError
            masks = self._mask(layer, lanes, output=False), self._mask(layer, lanes, output=True)
            yield layer_edge(layer, self._matrix(layer), flows[layer.source], masks)
        elif node.op in RULES:
            yield from RULES[node.op](spot)
        else:
            raise BlockedError

    def _matrix(self, layer: Layer) -> NDArray[np.floating]:
        name = layer.node.outputs[0]
        if name not in self._matrices:
            weight = self._state.graph.array(layer.weight.name)
            self._matrices[name] = channel_matrix(layer, weight)
        return self._matrices[name]

    def _mask(self, layer: Layer, lanes: KeptLanes, *, output: bool) -> NDArray[np.bool_]:
        """Return which lanes stay at one side of a layer."""
        axes = self._state.axes_of(layer.node.outputs[0] if output else layer.source)
        if axes is None:
            raise BlockedError
        axis = side_axis(layer, len(axes), output=output)
        if isinstance(size_of(axes[axis]), Polynomial):
            return np.ones((1,) * len(axes), bool)
        return lanes.tensor_mask(axes, [axis])

    def _sides(
        self, edge: Edge, grad: Flow, pulled: Flow, flows: Mapping[str, Flow], whole: Flow
    ) -> Iterator[Cut]:
        """Yield the flow at both sides of a layer, or where a table's rows come out."""
        left = _share(edge.flow, grad, whole)
        layer = self._layers.get(edge.target)
        if layer is None:
            if not edge.source:
                yield Cut(edge.target, left.ndim - 1, left)
            return
        groups, outputs, channels = self._matrix(layer).shape
        if groups == 1 or (outputs, channels) != (1, 1):
            given = _share(flows[edge.source], pulled, whole)
            yield Cut(edge.source, side_axis(layer, given.ndim, output=False), given)
            yield Cut(edge.target, side_axis(layer, left.ndim, output=True), left)


def _share(flow: Flow, grad: Flow, whole: Flow) -> FloatArray:
    made = flow.times(grad).over(whole)
    return np.ldexp(made.values, max(made.exponent, -2000))
