"""Heads and the widths of heads, told by what attention computes and not by how it is written.

Attention is two contractions of activations, the result of the first an operand of the second:
scores and their product with values, or, linear attention, keys and values first. The batch dims
of the two are heads, and so is what scores and result share where all queries read one key. Dims
that they sum over or take from one side only are widths of heads.

Queries that are learnt or computed from constants count as activations here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from spa_onnx.algebra.expression import Dim, Expr, dims_in
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.analyse.streams import Held, is_convolution
from spa_onnx.graph.node import Node
from spa_onnx.ops.rule import Coupling


@dataclass(frozen=True, slots=True)
class AttentionLanes:
    """Dims of attention, or of one contraction in it.

    Attributes:
        heads: lanes that scores and values are computed in one by one.
        widths: lanes of one head of queries and keys, or of values.
    """

    heads: frozenset[Dim]
    widths: frozenset[Dim]


def attention_lanes(state: Propagation, held: Held, matrices: frozenset[str]) -> AttentionLanes:
    """Return the dims of all attention in a graph; fused operators name theirs in their rules.

    Args:
        state: the solved graph.
        held: which dims the axes of each tensor hold.
        matrices: weights that no contraction made.
    """
    walk = _Walk(state, held, matrices)
    for position, node in enumerate(state.graph.nodes):
        walk.visit(position, node, state.couplings[position])
    return AttentionLanes(frozenset(walk.heads), frozenset(walk.widths))


class _Walk:
    """Follows results of contractions of activations up to the next contraction.

    Sets of contractions are integers, one bit for each node.
    """

    def __init__(self, state: Propagation, held: Held, matrices: frozenset[str]) -> None:
        self.heads: set[Dim] = set()
        self.widths: set[Dim] = set()
        self._state, self._held, self._matrices = state, held, matrices
        self._flow: dict[str, int] = {}
        self._nodes = state.graph.nodes
        self._pending: dict[int, AttentionLanes] = {}
        self._batch: set[Dim] = set()

    def visit(self, position: int, node: Node, coupling: Coupling | None) -> None:
        """Follow one node."""
        data = [x for x in node.inputs if x and x not in self._matrices]
        flow = 0
        for x in data:
            flow |= self._flow.get(x, 0)
        if coupling is not None and coupling.work:
            flow = self._contract(position, node, coupling, data, flow)
        for y in filter(None, node.outputs):
            if flow and y not in self._state.values:
                self._flow[y] = flow

    def _contract(
        self, position: int, node: Node, coupling: Coupling, data: list[str], flow: int
    ) -> int:
        """Return the contractions whose results flow on behind a contraction."""
        summed = self._dims(coupling.consumed)
        matrix = any(
            x in self._matrices and len(self._state.axes_of(x) or ()) > 1 for x in node.inputs
        )
        if not matrix and not is_convolution(node):
            self._pending[position] = lanes = self._lanes(node, data, summed)
            self._batch |= lanes.heads
            if flow and self._has_values(data):
                self._join(lanes, [k for k in self._pending if flow >> k & 1], node, summed)
            return 1 << position
        if not flow or not summed or not summed <= self._batch:
            return 0
        talking = self._dims(coupling.produced)
        self.heads |= talking
        self._batch |= talking
        return flow

    def _lanes(self, node: Node, data: list[str], summed: set[Dim]) -> AttentionLanes:
        counts = Counter(d for x in data for d in self._held.get(x, ()))
        axes = self._state.axes_of(node.outputs[0]) or ()
        result = Counter(d for e in axes for d in set(dims_in(e)))  # twice: lanes against lanes
        batch = frozenset(
            d for d, n in counts.items() if n > 1 and result[d] == 1 and d not in summed
        )
        return AttentionLanes(batch, frozenset(counts) - batch)

    def _has_values(self, data: list[str]) -> bool:
        """Say whether what meets a flow is an activation, or as constant as the flow itself.

        Otherwise it is a layer whose weights are computed, such as a product of two of low rank.
        """
        constant = [self._state.is_weight(x) for x in data if self._flow.get(x)]
        others = [self._state.is_weight(x) for x in data if not self._flow.get(x)]
        return all(constant) or not any(others)

    def _join(
        self, second: AttentionLanes, firsts: list[int], node: Node, summed: set[Dim]
    ) -> None:
        result = self._held.get(node.outputs[0], frozenset())
        for k in firsts:
            first, scores = self._pending[k], self._held.get(self._nodes[k].outputs[0], frozenset())
            self.heads |= first.heads | second.heads
            if not summed:  # over tokens alone, so lanes of scores that are in the result are heads
                self.heads |= first.widths & scores & second.widths & result
            self.widths |= first.widths | second.widths

    def _dims(self, exprs: tuple[Expr, ...]) -> set[Dim]:
        return {d for e in exprs for d in dims_in(self._state.space.normal(e))}
