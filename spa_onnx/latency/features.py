"""What the time of a node depends on: its operations, or the numbers that it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from spa_onnx.algebra.expression import Dim
from spa_onnx.algebra.size import Size, product
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.cost.polynomial import Lengths
from spa_onnx.execute.feeds import symbols_in


@dataclass(frozen=True, slots=True)
class NodeFeatures:
    """The nodes of the dense main graph, by their position in it.

    Attributes:
        work: multiply-accumulates, as polynomials over the numbers of dims.
        elements: numbers that the first output holds, likewise.
        outputs: the first output of every node.
        after: nodes that read what a node makes.
    """

    work: Mapping[int, Size]
    elements: Mapping[int, Size]
    numbers: Mapping[str, int]
    after: Mapping[int, Sequence[int]]

    def of(self, number: int, members: Sequence[int]) -> Size:
        """Return what the time of a node grows with that others were fused into."""
        work = sum((self.work.get(k, 0) for k in members), 0)
        return work or self.elements.get(number, 0)

    def homes(self, seen: Sequence[int]) -> dict[int, int]:
        """Return for every node the one that it was fused into: the next behind it that ran.

        Where none ran, it is the next before it; nodes with neither were computed in advance.
        """
        before: dict[int, list[int]] = {}
        for k, readers in self.after.items():
            for reader in readers:
                before.setdefault(reader, []).append(k)
        ran = frozenset(seen)
        found = {}
        for number in self.elements:
            home = _nearest(number, self.after, ran)
            home = _nearest(number, before, ran) if home is None else home
            if home is not None:
                found[number] = home
        return found


def _nearest(start: int, edges: Mapping[int, Sequence[int]], ran: frozenset[int]) -> int | None:
    """Return the first node along edges that ran, nearest first."""
    seen, front = {start}, [start]
    while front:
        for number in front:
            if number in ran:
                return number
        front = [k for number in front for k in edges.get(number, ())]
        front = [k for k in dict.fromkeys(front) if k not in seen]
        seen.update(front)
    return None


def node_features(
    state: Propagation, dims: Sequence[Dim], feeds: Mapping[str, Any]
) -> NodeFeatures:
    """Return what the times of a graph's nodes depend on, at the sizes of some inputs."""
    lengths = Lengths(state.space, {d: k for k, d in enumerate(dims)}, symbols_in(state, feeds))
    work: dict[int, Size] = {}
    elements: dict[int, Size] = {}
    for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
        number = node.scope[0][0] if node.scope else node.index
        for factors in coupling.work if coupling else ():
            work[number] = work.get(number, 0) + product(map(lengths.of, factors))
        axes = state.axes_of(node.outputs[0]) if node.outputs[0] in state.axes else None
        if not node.scope:
            elements[number] = product(map(lengths.of, axes)) if axes is not None else 0
    return NodeFeatures(work, elements, *_edges(state.graph.model.graph))


def _edges(graph: onnx.GraphProto) -> tuple[dict[str, int], dict[int, list[int]]]:
    """Return the node that makes each tensor, and the nodes that read what each node makes."""
    makers = {name: k for k, node in enumerate(graph.node) for name in node.output if name}
    after: dict[int, list[int]] = {}
    for k, node in enumerate(graph.node):
        for name in node.input:
            if name in makers:
                after.setdefault(makers[name], []).append(k)
    return makers, after
