"""Run skeletons in ONNX Runtime: whole, or piece by piece where their weights are large."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from spa_onnx.graph.node import STANDARD_DOMAINS
from spa_onnx.graph.tensors import all_graphs
from spa_onnx.load.store import WeightStore
from spa_onnx.prove.pieces import RANDOM, session_bytes
from spa_onnx.prove.piecewise import PiecewiseSession
from spa_onnx.prove.session import Feeds, Session, WholeSession, create_session


@dataclass(frozen=True, slots=True)
class Branch:
    """Which branch the Ifs with these results are made to take."""

    taken: bool
    results: frozenset[str]


def open_session(
    model: onnx.ModelProto,
    weights: WeightStore,
    outputs: Iterable[str],
    branch: Branch | None = None,
    memory: int | None = None,
) -> Session:
    """Open a skeleton that also returns the tensors ``outputs``.

    ``branch`` makes Ifs take one of their branches, whatever their condition. A model whose weights
    take more than ``memory`` bytes is run in pieces that are opened when it runs.

    Raises:
        NotLoadedError: ONNX Runtime refuses the model.
    """
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    present = {v.name for v in exposed.graph.output}
    exposed.graph.output.extend(onnx.ValueInfoProto(name=n) for n in outputs if n not in present)
    for graph in all_graphs(exposed.graph):
        for k, node in enumerate(graph.node):
            if node.op_type in RANDOM and node.domain in STANDARD_DOMAINS:
                _seed(node, k)
    if branch is not None:
        _force(exposed.graph, branch)
    if memory is not None and session_bytes(exposed) > memory:
        return PiecewiseSession(exposed, weights, memory)
    return WholeSession(create_session(exposed, weights))


def run(session: Session, outputs: Sequence[str], feeds: Feeds) -> list[NDArray[Any]]:
    """Return the named outputs.

    Raises:
        RefusedError: ONNX Runtime fails at run time.
    """
    return session.run(outputs, feeds)


def _seed(node: onnx.NodeProto, seed: int) -> None:
    kept = [a for a in node.attribute if a.name != "seed"]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("seed", float(seed + 1))])


CONDITION = "spa_forced_condition"


def _force(graph: onnx.GraphProto, branch: Branch) -> None:
    """Let the Ifs of a model take one branch."""
    graph.initializer.append(numpy_helper.from_array(np.array(branch.taken), CONDITION))
    for inner in all_graphs(graph):
        for node in inner.node:
            if node.op_type == "If" and node.output[0] in branch.results:
                node.input[0] = CONDITION
