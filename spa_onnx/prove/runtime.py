"""Run skeletons in ONNX Runtime: weights are taken from where they lie, never copied by us."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from spa_onnx.graph.node import STANDARD_DOMAINS
from spa_onnx.graph.tensors import all_graphs, all_tensors
from spa_onnx.load.store import WeightStore, is_external

Feed = NDArray[Any] | list[NDArray[Any]]
"""What one input gets: a tensor, or the tensors of a sequence."""
Feeds = Mapping[str, Feed]
FOLDER_OPTION = "session.model_external_initializers_file_folder_path"
FATAL = 4
"""ONNX Runtime's highest log level; its errors come back as exceptions anyway."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Which branch the Ifs with these results are made to take."""

    taken: bool
    results: frozenset[str]


class RefusedError(Exception):
    """ONNX Runtime does not load or run a model; carries its words."""


def open_session(
    model: onnx.ModelProto,
    weights: WeightStore,
    outputs: Iterable[str],
    branch: Branch | None = None,
) -> ort.InferenceSession:
    """Open a session of a skeleton that also returns the tensors ``outputs``.

    ``branch`` makes Ifs take one of their branches, whatever their condition. Graph
    optimisations are off: with inner tensors exposed, fusions refuse valid graphs, and the proof is
    about the graph as written.

    Raises:
        RefusedError: ONNX Runtime refuses the model.
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
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = FATAL
    options.add_session_config_entry("session.disable_prepacking", "1")
    if weights.folder is not None:
        options.add_session_config_entry(FOLDER_OPTION, str(weights.folder))
    else:
        _inline(exposed, weights)
    try:
        return ort.InferenceSession(
            exposed.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as failure:  # the runtime's exceptions have no common base of their own
        raise RefusedError(str(failure)) from failure


RANDOM = frozenset(
    {
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Bernoulli",
        "Multinomial",
    }
)
"""Operators that draw numbers; the proof lets them draw the same in every session."""


def _seed(node: onnx.NodeProto, seed: int) -> None:
    kept = [a for a in node.attribute if a.name != "seed"]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("seed", float(seed + 1))])


def _inline(model: onnx.ModelProto, weights: WeightStore) -> None:
    """Put weights of a model in memory back into it: bodies cannot read them from elsewhere."""
    for tensor in all_tensors(model):
        if is_external(tensor):
            place = weights.place(tensor)
            tensor.raw_data = b"".join(map(bytes, place.chunks()))
            del tensor.external_data[:]
            tensor.data_location = onnx.TensorProto.DEFAULT


CONDITION = "spa_forced_condition"


def _force(graph: onnx.GraphProto, branch: Branch) -> None:
    """Let the Ifs of a model take one branch."""
    graph.initializer.append(numpy_helper.from_array(np.array(branch.taken), CONDITION))
    for inner in all_graphs(graph):
        for node in inner.node:
            if node.op_type == "If" and node.output[0] in branch.results:
                node.input[0] = CONDITION


def run(session: ort.InferenceSession, outputs: Sequence[str], feeds: Feeds) -> list[NDArray[Any]]:
    """Return the named outputs.

    Raises:
        RefusedError: ONNX Runtime fails at run time.
    """
    options = ort.RunOptions()
    options.log_severity_level = FATAL
    try:
        return [_array(y) for y in session.run(list(outputs), dict(feeds), options)]
    except Exception as failure:  # as above
        raise RefusedError(str(failure)) from failure


def _array(value: Any) -> NDArray[Any]:
    """Return a tensor as it is; a sequence, map or optional value as the numbers that it holds."""
    if isinstance(value, list):
        parts = [_array(item).reshape(-1) for item in value]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if isinstance(value, dict):
        return _array(list(value.values()))
    return np.zeros(0, np.float32) if value is None else np.asarray(value)
