"""Run skeletons in ONNX Runtime: whole, or piece by piece where their weights are large."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from spa_onnx.execute.pieces import RANDOM, session_bytes
from spa_onnx.execute.piecewise import PiecewiseSession
from spa_onnx.execute.session import Session, WholeSession, create_session
from spa_onnx.graph.live import live_nodes
from spa_onnx.graph.node import STANDARD_DOMAINS
from spa_onnx.graph.tensors import all_graphs
from spa_onnx.load.store import WeightStore


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
    *,
    short: bool = False,
) -> Session:
    """Open a skeleton that also returns the tensors ``outputs``.

    A ``short`` one has no nodes but those that they need.

    ``branch`` makes Ifs take one of their branches, whatever their condition. A model whose weights
    take more than ``memory`` bytes is run in pieces that are opened when it runs.

    Raises:
        NotLoadedError: ONNX Runtime refuses the model.
    """
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    present = {v.name for v in exposed.graph.output}
    wanted = list(outputs)
    exposed.graph.output.extend(onnx.ValueInfoProto(name=n) for n in wanted if n not in present)
    if short:
        _drop_all_but(exposed.graph, set(wanted))
    seed_random(exposed.graph)
    if branch is not None:
        _force(exposed.graph, branch)
    if memory is not None and session_bytes(exposed) > memory:
        return PiecewiseSession(exposed, weights, memory)
    return WholeSession(create_session(exposed, weights))


def _drop_all_but(graph: onnx.GraphProto, wanted: set[str]) -> None:
    """Drop outputs that are not wanted, and nodes that only they need."""
    live = live_nodes(graph.node, wanted)
    for k in reversed(range(len(graph.node))):
        if k not in live:
            del graph.node[k]
    for k in reversed(range(len(graph.output))):
        if graph.output[k].name not in wanted:
            del graph.output[k]


def seed_random(graph: onnx.GraphProto) -> None:
    """Let operators that draw numbers draw the same in every session."""
    for inner in all_graphs(graph):
        for k, node in enumerate(inner.node):
            if node.op_type in RANDOM and node.domain in STANDARD_DOMAINS:
                _seed(node, k)


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
