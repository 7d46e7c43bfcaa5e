"""Repair a pruned model, and measure how far its outputs were and are from the original's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from spa_onnx.algebra.expression import Dim
from spa_onnx.analyse.dims import Analysis
from spa_onnx.calibrate.distance import output_distance
from spa_onnx.compensate.refit import Compensation
from spa_onnx.compensate.sequential import SequentialRepair
from spa_onnx.config import PruneConfig
from spa_onnx.execute.runtime import open_session
from spa_onnx.graph.tensors import IR_WITH_FREE_INITIALIZERS, captured_names
from spa_onnx.inputs.batches import Batches
from spa_onnx.load.model import LoadedModel
from spa_onnx.load.store import WeightStore, is_external
from spa_onnx.load.wire import INLINE_LIMIT
from spa_onnx.normalise.graph import Graph, normalise
from spa_onnx.plan.lanes import Kept, KeptLanes
from spa_onnx.report.report import RepairReport
from spa_onnx.rewrite.apply import Rewritten
from spa_onnx.rewrite.payload import SCHEME, ArrayPayload, Payload, refer

COMPARED = 64
"""Items whose outputs are compared."""


def repair_model(
    loaded: LoadedModel,
    dense_model: onnx.ModelProto,
    analysis: Analysis,
    kept: Mapping[Dim, Kept],
    pruned: LoadedModel,
    plain: LoadedModel | None,
    batches: Batches,
    compensation: Compensation | None,
    config: PruneConfig,
    matched: Callable[[onnx.ModelProto, KeptLanes], onnx.ModelProto] = lambda part, _: part,
    tell: Callable[[int, int], None] | None = None,
) -> tuple[Rewritten | None, RepairReport]:
    """Return the repaired model, whose other weights are those of ``pruned``, and a report.

    Without a compensation there is no model, only the distance. ``plain`` is another pruned model,
    whose distance is reported beside. ``matched`` turns a part of the pruned model into the one
    that is run, as ``dense_model`` is run in place of the dense one.
    """
    state = analysis.propagation
    lanes = KeptLanes(state.space, kept)
    graph = normalise(pruned)
    outputs = _Outputs(state.graph.outputs, batches.first(COMPARED), config.proof_memory)
    dense = outputs.of(state.graph.model, loaded.weights)
    before = output_distance(dense, outputs.of(graph.model, pruned.weights))
    other = None
    if plain is not None:
        other = output_distance(dense, outputs.of(normalise(plain).model, plain.weights))
    report = RepairReport(0, batches.samples, batches.origin, before, before, plain=other)
    if compensation is None:
        return None, report
    repair = SequentialRepair(
        state,
        dense_model,
        loaded.weights,
        lanes,
        batches,
        config.seed,
        config.statistics_memory,
        config.proof_memory,
        tell,
    )
    layers = repair.run(graph, compensation, lambda part: matched(part, lanes))
    report = replace(
        report,
        layers=layers,
        after=output_distance(dense, outputs.of(graph.model, pruned.weights)),
        coarse=tuple(repair.coarse),
        products=repair.products,
        left=repair.left,
    )
    tidy(graph)
    return Rewritten(graph.model, outside(graph.model), ()), report


@dataclass(frozen=True, slots=True)
class _Outputs:
    """Runs models on a few inputs.

    Attributes:
        names: of the outputs.
        batches: the inputs.
        memory: bytes that weights may take in one session.
    """

    names: list[str]
    batches: Batches
    memory: int

    def of(self, model: onnx.ModelProto, weights: WeightStore) -> list[list[NDArray[Any]]]:
        """Return the outputs of a model by batch."""
        session = open_session(model, weights, self.names, memory=self.memory)
        return [session.run(self.names, feeds) for feeds in self.batches]


def tidy(graph: Graph) -> None:
    """Let uses of a constant share it again, drop what nobody reads, and declare what is new."""
    inner = graph.model.graph
    tensors = {t.name: t for t in inner.initializer}
    for twin, original in graph.twins.items():
        if original in tensors and _is_same(tensors[twin], tensors[original], graph.weights):
            for node in inner.node:
                for k, name in enumerate(node.input):
                    if name == twin:
                        node.input[k] = original
    read = {name for node in inner.node for name in node.input} | set(graph.outputs)
    for node in inner.node:
        read |= {n for a in node.attribute if a.HasField("g") for n in captured_names(a.g)}
    for entries in (inner.initializer, inner.input):
        for k in reversed(range(len(entries))):
            if entries[k].name in tensors and entries[k].name not in read:
                del entries[k]
    known = {entry.name for entry in inner.input}
    for tensor in inner.initializer if graph.model.ir_version < IR_WITH_FREE_INITIALIZERS else ():
        if tensor.name not in known:
            inner.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )


def _is_same(a: onnx.TensorProto, b: onnx.TensorProto, weights: WeightStore) -> bool:
    if list(a.dims) != list(b.dims) or a.data_type != b.data_type:
        return False
    return bool(np.array_equal(weights.array(a), weights.array(b)))


def outside(model: onnx.ModelProto) -> dict[str, Payload]:
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
