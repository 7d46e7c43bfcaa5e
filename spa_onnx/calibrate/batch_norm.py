"""BatchNormalization with the statistics of the inputs at hand in place of the stored ones.

The stored mean and variance tell what the training data made of each layer. Made-up inputs make
something else of it, and the difference grows from layer to layer. Where every normalisation uses
the mean and variance of what it is fed, in order from the first to the last, its output has the
mean and variance that it had in training, whatever the inputs are:

    x ─ BatchNormalization(stored) ─ y     becomes     x ─ BatchNormalization(measured) ─ y

The measured statistics are constants, so the result runs with batches of any size. Weights stay
in the scale of the stored statistics: what is fitted with such a model goes with the stored ones.

Source: whitened propagation as in data-free quantisation, Cai et al., "ZeroQ", CVPR 2020, section
3 (there the inputs are optimised until the statistics agree).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from spa_onnx.analyse.propagate import Propagation
from spa_onnx.compensate.walk import Walk
from spa_onnx.execute.pieces import cut_before
from spa_onnx.execute.shelf import Shelf
from spa_onnx.graph.node import STANDARD_DOMAINS
from spa_onnx.graph.tensors import IR_WITH_FREE_INITIALIZERS
from spa_onnx.inputs.batches import Batches
from spa_onnx.load.store import WeightStore
from spa_onnx.normalise.order import sort_nodes
from spa_onnx.plan.lanes import KeptLanes

FloatArray = NDArray[np.float64]

MOST_GAIN = 1e4
"""How many times smaller than the stored variance a measured one may be; a channel that the inputs
hardly move would be nothing but magnified rounding."""

SPATIAL_SINCE = 9
"""Opset from which BatchNormalization has one mean for every channel, whatever its attributes."""

FIRST_WITH_INFERENCE = 7
"""Opset from which BatchNormalization uses the stored statistics unless told otherwise."""

MEAN, VARIANCE = 3, 4


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """Means and variances, ``(channels,)``, by the normalisation's output.

    Attributes:
        measured: of the inputs at hand.
    """

    measured: Mapping[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)

    def put(
        self,
        model: onnx.ModelProto,
        of: Callable[[str, FloatArray], FloatArray] = lambda _, values: values,
    ) -> onnx.ModelProto:
        """Return a copy of a skeleton, or of a part of it, with these statistics.

        ``of`` picks those of an output from the values of all its channels.
        """
        made = onnx.ModelProto()
        made.CopyFrom(model)
        tensors = _split(made)
        for node in _matchable(made):
            output = node.output[0]
            if output in self.measured:
                for place, values in zip(node.input[MEAN:], self.measured[output], strict=True):
                    _store(tensors[place], of(output, values))
        return made

    def put_pruned(
        self, model: onnx.ModelProto, dense: Propagation, lanes: KeptLanes
    ) -> onnx.ModelProto:
        """Return a copy of a part of the pruned model with the statistics of the lanes it kept."""

        def kept(output: str, values: FloatArray) -> FloatArray:
            axes = dense.axes_of(output)
            return values if axes is None else lanes.slice(values, (axes[1],)).astype(np.float64)

        return self.put(model, kept)


def measure(
    model: onnx.ModelProto, weights: WeightStore, batches: Batches, memory: int
) -> BatchStatistics:
    """Return the statistics of every normalisation when those before it use theirs.

    All batches pass one before the next is measured, so they may be as small as one item.

    Args:
        model: a skeleton, which stays as it is.
        weights: where its weights lie.
        batches: inputs.
        memory: bytes that activations may take before they go to files.
    """
    own = onnx.ModelProto()
    own.CopyFrom(model)
    sort_nodes(own)
    tensors = _split(own)
    nodes = {node.output[0]: node for node in _matchable(own)}
    measured: dict[str, tuple[FloatArray, FloatArray]] = {}
    with Shelf(memory) as shelf:
        pieces = cut_before(own.graph, set(nodes))
        walk = Walk(own, weights, batches, shelf, lambda part: part)
        for at, piece in enumerate(pieces):
            starts = [name for k in piece.nodes for name in own.graph.node[k].output]
            for name in starts:
                if name not in nodes:
                    continue
                _, _, _, *stored = nodes[name].input
                mean, variance = _moments(nodes[name].input[0], batches, shelf)
                least = weights.array(tensors[stored[1]]).astype(np.float64) / MOST_GAIN
                measured[name] = mean, np.maximum(variance, least)
                for place, values in zip(stored, measured[name], strict=True):
                    _store(tensors[place], values)
            later = {n for p in pieces[at + 1 :] for n in p.inputs}
            if later:
                walk.run(piece, later)
    return BatchStatistics(measured)


def _matchable(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield the normalisations of the main graph that use one stored mean for every channel."""
    versions = {o.domain: o.version for o in model.opset_import}
    version = next((versions[d] for d in STANDARD_DOMAINS if d in versions), 1)
    stored = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "BatchNormalization" or node.domain not in STANDARD_DOMAINS:
            continue
        given = {a.name: a.i for a in node.attribute}
        by_position = version < SPATIAL_SINCE and given.get("spatial", 1) == 0
        if version < FIRST_WITH_INFERENCE or by_position or given.get("training_mode", 0):
            continue
        if all(name in stored for name in node.input[MEAN:]):
            yield node


def _split(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Give every normalisation a mean and a variance of its own; return the stored tensors."""
    tensors = {t.name: t for t in model.graph.initializer}
    made = dict[str, onnx.TensorProto]()
    for node in _matchable(model):
        for place, what in ((MEAN, "mean"), (VARIANCE, "variance")):
            name = f"{node.output[0]}/measured {what}"
            made[name] = onnx.TensorProto()
            made[name].CopyFrom(tensors[node.input[place]])
            made[name].name = name
            node.input[place] = name
    model.graph.initializer.extend(made.values())
    if model.ir_version < IR_WITH_FREE_INITIALIZERS:
        for tensor in made.values():
            entry = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            model.graph.input.append(entry)
    return {t.name: t for t in model.graph.initializer}


def _store(tensor: onnx.TensorProto, values: FloatArray) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    tensor.CopyFrom(numpy_helper.from_array(values.astype(dtype), tensor.name))


def _moments(name: str, batches: Batches, shelf: Shelf) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of every channel, all batches together."""
    parts = []
    for number, feeds in enumerate(batches):
        x = np.asarray(feeds[name]) if name in feeds else shelf.get((name, number))
        axes = (0, *range(2, x.ndim))
        mean = x.mean(axis=axes, dtype=np.float64)
        inner = mean.reshape(-1, *(1,) * (x.ndim - 2)).astype(np.promote_types(x.dtype, np.float32))
        parts.append((x.size // len(mean), mean, np.square(x - inner).mean(axes, dtype=np.float64)))
    counts = np.array([count for count, _, _ in parts], np.float64)
    means, variances = np.array([m for _, m, _ in parts]), np.array([v for _, _, v in parts])
    mean = np.average(means, axis=0, weights=counts)
    between = np.average(np.square(means - mean), axis=0, weights=counts)
    return mean, np.average(variances, axis=0, weights=counts) + between
