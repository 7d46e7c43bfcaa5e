"""Residual streams: lanes that a block reads and adds its result back to.

    x ─┬─ ... ─ contraction ─ ... ─ Add ─ y      the stream is what x, y and the result share
       └────────────────────────────┘

Two producers meet in the Add, and one of them computed its part from the other's. This tells a
stream from terms that are only summed up, such as both inputs of a gate or the levels of a pyramid.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import combinations

from spa_onnx.algebra.expression import Dim, Expr, dims_in
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.graph.node import Node
from spa_onnx.ops.rule import Coupling, Neutral

SUMS = frozenset({"Add", "Sum", "com.microsoft::QLinearAdd"})
SUMMING = frozenset({Neutral.SKIP_LAYER_NORM, Neutral.SKIP_RMS_NORM})
NORMALISING = SUMMING | {Neutral.LAYER_NORM, Neutral.RMS_NORM, Neutral.MEAN}
"""Statistics over the lanes of one position: layer norms, written out or not."""

Held = Mapping[str, frozenset[Dim]]
"""Which dims the axes of each tensor hold."""


def residual_dims(state: Propagation, held: Held, matrices: frozenset[str]) -> set[Dim]:
    """Return the dims of residual streams.

    Streams that mostly convolutions make, as in a ResNet, only count where a layer norm reads them.

    Args:
        state: the solved graph.
        held: which dims the axes of each tensor hold.
        matrices: weights that no contraction made.
    """
    walk = _Walk(state, held, matrices)
    for position, node in enumerate(state.graph.nodes):
        walk.visit(position, node, state.couplings[position])
    return {
        d for d in walk.streams if d in walk.normalised or 2 * walk.convolved[d] <= walk.makers[d]
    }


class _Walk:
    """Follows producers through the graph. Sets of nodes are integers, one bit for each node.

    Attributes:
        streams: dims that an Add has shown to be a stream.
        normalised: dims that a layer norm takes statistics over.
        makers: how many contractions and tables make the lanes of a dim.
        convolved: how many of these are convolutions.
    """

    def __init__(self, state: Propagation, held: Held, matrices: frozenset[str]) -> None:
        self._state, self._held, self._matrices = state, held, matrices
        self._origins: dict[tuple[str, Dim], int] = {}
        self._ancestry: dict[str, int] = {}
        self._readers: dict[Dim, list[tuple[int, int]]] = defaultdict(list)
        self.streams: set[Dim] = set()
        self.normalised: set[Dim] = set()
        self.makers: dict[Dim, int] = defaultdict(int)
        self.convolved: dict[Dim, int] = defaultdict(int)

    def visit(self, position: int, node: Node, coupling: Coupling | None) -> None:
        """Follow one node."""
        results = [entry.name for body in node.bodies() for entry in body.output]
        data = [x for x in (*node.inputs, *results) if x and x not in self._matrices]
        ancestry = 0
        for x in data:
            ancestry |= self._ancestry.get(x, 0)
        made: set[Dim] = set()
        if coupling is not None:
            made = self._contract(1 << position, node, coupling, data)
            self._look(node, coupling, data)
            ancestry |= 1 << position if coupling.work and coupling.consumed else 0
        for y in filter(None, node.outputs):
            self._ancestry[y] = ancestry
            for dim in self._held.get(y, ()):
                origins = 1 << position if dim in made else 0
                for x in () if dim in made else data:
                    origins |= self._origins.get((x, dim), 0)
                self._origins[y, dim] = origins

    def _contract(self, bit: int, node: Node, coupling: Coupling, data: list[str]) -> set[Dim]:
        """Note whose lanes a contraction reads; return the dims whose lanes it makes."""
        made = self._dims(coupling.produced)
        for dim in made:
            self.makers[dim] += 1
            self.convolved[dim] += is_convolution(node)
        if coupling.work and coupling.produced:
            for dim in self._dims(coupling.consumed):
                for x in data:
                    if self._origins.get((x, dim), 0):
                        self._readers[dim].append((bit, self._origins[x, dim]))
        return made

    def _look(self, node: Node, coupling: Coupling, data: list[str]) -> None:
        for mixed in coupling.mixed:
            if mixed.neutral in NORMALISING:
                axes = self._state.axes_of(node.inputs[mixed.input]) or ()
                self.normalised |= self._dims(axes[k] for k in mixed.axes)
        if node.op in SUMS or any(m.neutral in SUMMING for m in coupling.mixed):
            for a, b in combinations(data, 2):
                for dim in self._held.get(a, frozenset()) & self._held.get(b, frozenset()):
                    if dim not in self.streams and (
                        self._adds_back(a, b, dim) or self._adds_back(b, a, dim)
                    ):
                        self.streams.add(dim)

    def _adds_back(self, stream: str, result: str, dim: Dim) -> bool:
        """Say whether ``result`` was computed from the lanes of ``stream`` and made anew."""
        given = self._origins.get((stream, dim), 0)
        made = self._origins.get((result, dim), 0)
        if (
            not made or made & given
        ):  # lanes of the stream inside the result: a gate or a skip in it
            return False
        return any(
            bit & self._ancestry.get(result, 0) and not origins & ~given
            for bit, origins in self._readers[dim]
        )

    def _dims(self, exprs: Iterable[Expr]) -> set[Dim]:
        return {d for e in exprs for d in dims_in(self._state.space.normal(e))}


def is_convolution(node: Node) -> bool:
    """Say whether a node is a convolution of any kind: standard, transposed, quantised, fused."""
    return "Conv" in node.op
