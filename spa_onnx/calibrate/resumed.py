"""Runs of a network whose layers get other weights, each from the last place before these matter.

The tensors that cross a few cuts of the network are kept for all batches, so a run with another
weight in a late layer need not begin at the inputs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper

from spa_onnx.execute.pieces import RANDOM, Piece, cut_before, piece_model
from spa_onnx.execute.runtime import open_session
from spa_onnx.execute.session import Session, WholeSession, create_session
from spa_onnx.graph.tensors import all_graphs
from spa_onnx.inputs.batches import Batches
from spa_onnx.layers.variants import Handle
from spa_onnx.load.store import WeightStore
from spa_onnx.normalise.order import sort_nodes

Array = NDArray[Any]
Feeds = Mapping[str, Array]

CUTS = 8
"""Places at which runs may begin, beside the inputs."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The network from a cut on.

    Attributes:
        start: position of its first node.
        outputs: which of the network's it makes.
        session: runs it.
        feeds: of every batch what crosses the cut.
    """

    start: int
    outputs: Sequence[str]
    session: Session
    feeds: Sequence[Feeds]


@dataclass(slots=True)
class ResumedRuns:
    """Runs a network on the same batches again and again.

    Attributes:
        model: the skeleton, whose layers' weights and biases are inputs with defaults; its nodes
            are sorted in place.
        weights: where its weights lie.
        batches: the inputs.
        handles: of the layers whose weights may change.
        memory: bytes that what crosses cuts may take.
        dense: after :meth:`prepare` the outputs with all weights as stored, by batch.
        tails: places where runs may begin, in order.
        starts: for weights and biases the position of the node that they first matter to.
    """

    model: onnx.ModelProto
    weights: WeightStore
    batches: Batches
    handles: Collection[Handle]
    memory: int
    dense: list[list[Array]] = field(default_factory=list)
    _outputs: list[str] = field(default_factory=list)
    tails: list[Tail] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)

    def prepare(self) -> None:
        """Run the network as it is stored, and keep what crosses the cuts.

        Raises:
            RefusedError: ONNX Runtime does not run it.
        """
        sort_nodes(self.model)
        graph = self.model.graph
        self._outputs = [entry.name for entry in graph.output]
        made = {name: k for k, node in enumerate(graph.node) for name in node.output}
        for handle in self.handles:
            self.starts |= dict.fromkeys((handle.weight, handle.bias), made[handle.product])
        cuts = self._cuts(sorted(set(self.starts.values())))
        fed = {entry.name for entry in graph.input}
        names = dict.fromkeys(n for _, piece in cuts for n in piece.inputs if n not in fed)
        session = open_session(self.model, self.weights, [*self._outputs, *names])
        cuts = [cut for cut in cuts if _are_tensors(session, cut[1], fed)]
        crossing = dict.fromkeys(n for _, piece in cuts for n in piece.inputs if n not in fed)
        kept: list[dict[str, Array]] = []
        used = 0
        for feeds in self.batches:
            wanted = [*self._outputs, *crossing]
            values = session.run(wanted, feeds)
            self.dense.append(values[: len(self._outputs)])
            inner = dict(zip(crossing, values[len(self._outputs) :], strict=True))
            used += sum(a.nbytes for a in inner.values())
            if used > self.memory:
                cuts, crossing, used = [], {}, 0
                kept.clear()
            kept.append({**feeds, **inner})
        whole = Tail(0, self._outputs, session, list(self.batches))
        self.tails = [whole, *(self._tail(start, piece, kept) for start, piece in cuts)]

    def run(self, changed: Feeds) -> list[list[Array]]:
        """Return the outputs by batch with other weights and biases."""
        first = min(self.starts[name] for name in changed)
        tail = [t for t in self.tails if t.start <= first][-1]
        result = []
        for feeds, dense in zip(tail.feeds, self.dense, strict=True):
            made = tail.session.run(tail.outputs, {**feeds, **changed})
            found = dict(zip(tail.outputs, made, strict=True))
            result.append([found.get(n, d) for n, d in zip(self._outputs, dense, strict=True)])
        return result

    def _cuts(self, starts: Sequence[int]) -> list[tuple[int, Piece]]:
        """Return places in front of layers, and what comes behind them."""
        nodes = [node for inner in all_graphs(self.model.graph) for node in inner.node]
        if not starts or any(node.op_type in RANDOM for node in nodes):
            return []  # a part draws other numbers than the whole
        chosen = sorted({starts[k * len(starts) // (CUTS + 1)] for k in range(1, CUTS + 1)})
        graph = self.model.graph
        found = []
        for start in chosen:
            pieces = cut_before(graph, set(graph.node[start].output))
            if len(pieces) == 2 and pieces[0].nodes:
                found.append((start, pieces[1]))
        return found

    def _tail(self, start: int, piece: Piece, kept: Sequence[Feeds]) -> Tail:
        feeds = [{name: of[name] for name in piece.inputs} for of in kept]
        types = {
            name: helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(a.dtype), None)
            for name, a in feeds[0].items()
        }
        session = create_session(piece_model(self.model, piece, types), self.weights)
        outputs = [n for n in self._outputs if n in piece.outputs]
        return Tail(start, outputs, WholeSession(session), feeds)


def _are_tensors(session: Session, piece: Piece, fed: Collection[str]) -> bool:
    """Say whether all that a piece reads are tensors that numpy holds."""
    if not isinstance(session, WholeSession):
        return False
    kinds = {entry.name: entry.type for entry in session.session.get_outputs()}
    inner = [kinds[name] for name in piece.inputs if name not in fed]
    unknown = {"tensor(string)", "tensor(bfloat16)"}
    return all(kind.startswith("tensor(") and kind not in unknown for kind in inner)
