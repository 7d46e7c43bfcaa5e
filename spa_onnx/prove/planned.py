"""A repaired model with the weights that its plan alone would have given it.

A repair changes numbers, never shapes or nodes but for biases that it adds. With the plan's numbers
in place of the repaired ones the model must therefore equal the masked original.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from spa_onnx.errors import OtherWeightsError
from spa_onnx.graph.tensors import FLOATS
from spa_onnx.load.model import LoadedModel, load
from spa_onnx.load.store import WeightStore

Array = NDArray[Any]
BIAS = 2
"""Position of the bias among the inputs of a layer that has one."""


def with_planned_weights(pruned: LoadedModel, planned: LoadedModel) -> LoadedModel:
    """Return ``pruned`` with the float weights of ``planned``; biases of its own become zero.

    Raises:
        OtherWeightsError: a weight of both has another shape or type.
    """
    model = onnx.ModelProto()
    model.CopyFrom(pruned.skeleton)
    known = dict(_stored(planned.skeleton))
    biases = _biases(model, planned.skeleton)
    for tensor in model.graph.initializer:
        if tensor.data_type not in FLOATS:
            tensor.CopyFrom(_inside(pruned.weights.array(tensor), tensor))
            continue
        source = known.get(tensor.name)
        if source is not None and (list(source.dims), source.data_type) != (
            list(tensor.dims),
            tensor.data_type,
        ):
            shapes = f"is {list(tensor.dims)}, not {list(source.dims)} as the plan makes it"
            raise OtherWeightsError(tensor.name, shapes)
        values = _values(tensor, known, biases, planned.weights)
        tensor.CopyFrom(_inside(values.reshape(tuple(tensor.dims)), tensor))
    return load(model)


def _stored(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yield the stored tensors of the main graph, those of Constant nodes under their output."""
    for node in model.graph.node:
        if node.op_type == "Constant":
            yield from ((node.output[0], a.t) for a in node.attribute if a.name == "value")
    yield from ((tensor.name, tensor) for tensor in model.graph.initializer)


def _biases(model: onnx.ModelProto, planned: onnx.ModelProto) -> dict[str, str]:
    """Return the biases of layers by name, with the plan's bias of the same layer if it has one."""
    nodes = {node.output[0]: node for node in planned.graph.node if node.output}
    found = {}
    for node in model.graph.node:
        twin = nodes.get(node.output[0]) if node.output else None
        if twin is not None and len(twin.input) > BIAS and len(node.input) > BIAS:
            found[node.input[BIAS]] = twin.input[BIAS]
    return found


def _values(
    tensor: onnx.TensorProto,
    known: Mapping[str, onnx.TensorProto],
    biases: Mapping[str, str],
    weights: WeightStore,
) -> Array:
    shape = tuple(tensor.dims)
    source = known.get(tensor.name) or known.get(biases.get(tensor.name, ""))
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    if source is None:
        return np.zeros(shape, dtype)
    values = weights.array(source)
    return values if values.size == np.prod(shape) else np.broadcast_to(values.reshape(-1), shape)


def _inside(values: Array, tensor: onnx.TensorProto) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, order="C"), tensor.name)
