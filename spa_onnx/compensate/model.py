"""Repair a pruned model, and measure how far its outputs were and are from the original's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Dim
from spa_onnx.analyse.dims import Analysis
from spa_onnx.calibrate.batches import Batches
from spa_onnx.calibrate.distance import output_distance
from spa_onnx.compensate.refit import Compensation
from spa_onnx.compensate.sequential import SequentialRepair
from spa_onnx.config import PruneConfig
from spa_onnx.execute.runtime import open_session
from spa_onnx.load.model import LoadedModel
from spa_onnx.load.store import WeightStore, is_external
from spa_onnx.load.wire import INLINE_LIMIT
from spa_onnx.normalise.graph import normalise
from spa_onnx.plan.lanes import Kept, KeptLanes
from spa_onnx.report.report import RepairReport
from spa_onnx.rewrite.apply import Rewritten
from spa_onnx.rewrite.payload import SCHEME, ArrayPayload, Payload, refer

COMPARED = 64
"""Items whose outputs are compared."""

Outputs = list[list[NDArray[Any]]]


def repair_model(
    loaded: LoadedModel,
    dense_model: onnx.ModelProto,
    analysis: Analysis,
    kept: Mapping[Dim, Kept],
    pruned: LoadedModel,
    batches: Batches,
    compensation: Compensation,
    config: PruneConfig,
) -> tuple[Rewritten, RepairReport]:
    """Return the repaired model, whose other weights are those of ``pruned``, and a report."""
    state = analysis.propagation
    lanes = KeptLanes(state.space, kept)
    graph = normalise(pruned)
    few = batches.first(COMPARED)
    memory = config.proof_memory
    outputs = state.graph.outputs
    dense = _run(state.graph.model, loaded.weights, outputs, few, memory)
    before = output_distance(dense, _run(graph.model, pruned.weights, outputs, few, memory))
    repair = SequentialRepair(
        state,
        dense_model,
        loaded.weights,
        lanes,
        batches,
        config.seed,
        config.statistics_memory,
        memory,
    )
    layers = repair.run(graph, compensation)
    after = output_distance(dense, _run(graph.model, pruned.weights, outputs, few, memory))
    report = RepairReport(layers, batches.samples, batches.origin, before, after)
    return Rewritten(graph.model, _outside(graph.model), ()), report


def _run(
    model: onnx.ModelProto, weights: WeightStore, outputs: list[str], batches: Batches, memory: int
) -> Outputs:
    session = open_session(model, weights, outputs, memory=memory)
    return [session.run(outputs, feeds) for feeds in batches]


def _outside(model: onnx.ModelProto) -> dict[str, Payload]:
    """Take large tensors out of the skeleton again, as a writer wants them."""
    payloads: dict[str, Payload] = {}
    for tensor in model.graph.initializer:
        if is_external(tensor) or len(tensor.raw_data) <= INLINE_LIMIT:
            continue
        data = np.frombuffer(tensor.raw_data, np.uint8)
        tensor.ClearField("raw_data")
        refer(tensor, SCHEME + tensor.name, 0, len(data))
        payloads[tensor.name] = ArrayPayload(data)
    return payloads
