"""Models of one layer, several times over, so that each copy finds cold caches."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from spa_onnx.bench.kernels.shapes import Convolution, Layer, Linear
from spa_onnx.bench.kernels.weights import Form
from spa_onnx.runtime.session import session

Float32Array = NDArray[np.float32]
BLOCK = 16
"""Channels that lie together in the runtime's blocked layout where vectors hold 16 floats."""


def dense_sessions(layer: Layer, weights: Sequence[Float32Array], threads: int) -> dict[str, Any]:
    """Return the runtime's own ways to run the layer, by name."""
    if isinstance(layer, Linear):
        nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"y{i}"]) for i in ids(weights)]
        tensors = [(f"w{i}", np.ascontiguousarray(w.T)) for i, w in enumerate(weights)]
        return {"dense": opened(layer, nodes, tensors, threads)}
    shape = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
    tensors = [(f"w{i}", w.reshape(shape)) for i, w in enumerate(weights)]
    found = {
        "nchw": opened(layer, convolutions(layer, weights, ""), tensors, threads, blocked=False)
    }
    if layer.inputs % BLOCK == 0 and layer.outputs % BLOCK == 0:
        nodes = convolutions(layer, weights, "com.microsoft.nchwc")
        found["nchwc"] = opened(layer, nodes, tensors, threads)
    return found


def convolutions(layer: Convolution, weights: Sequence[Float32Array], domain: str) -> list[Any]:
    """Return dense nodes; the blocked ones read weights in another order, in the same time."""
    pad = layer.kernel // 2
    return [
        helper.make_node(
            "Conv", [f"x{i}", f"w{i}"], [f"y{i}"], domain=domain,
            kernel_shape=[layer.kernel] * 2, pads=[pad] * 4,
        )
        for i in ids(weights)
    ]  # fmt: skip


def sparse_session(layer: Layer, weights: Sequence[Float32Array], form: Form, threads: int) -> Any:
    """Return a session with our ops."""
    if isinstance(layer, Linear):
        op, facts = "SparseLinear", {"out_features": layer.outputs}
    else:
        pad = layer.kernel // 2
        op = "SparseConv"
        facts = {
            "out_channels": layer.outputs, "kernel_shape": [layer.kernel] * 2,
            "pads": [pad] * 4, "strides": [1, 1], "dilations": [1, 1],
        }  # fmt: skip
    nodes = [
        helper.make_node(
            op, [f"x{i}", f"w{i}"], [f"y{i}"], domain="ai.spa", tile=form.tile, **facts
        )
        for i in ids(weights)
    ]
    tensors = [(f"w{i}", np.frombuffer(form.pack(w), np.uint8)) for i, w in enumerate(weights)]
    return opened(layer, nodes, tensors, threads)


def ids(weights: Sequence[Float32Array]) -> range:
    """Return the numbers of the copies."""
    return range(len(weights))


def opened(
    layer: Layer, nodes: Sequence[Any], tensors: Sequence[tuple[str, Any]], threads: int,
    *, blocked: bool = True,
) -> Any:  # fmt: skip
    """Return a session over copies of a layer."""
    runtime: Any = import_module("onnxruntime")
    float32 = TensorProto.FLOAT
    graph = helper.make_graph(
        list(nodes),
        "layers",
        [helper.make_tensor_value_info(f"x{i}", float32, layer.x_shape) for i in range(len(nodes))],
        [helper.make_tensor_value_info(f"y{i}", float32, layer.y_shape) for i in range(len(nodes))],
        [numpy_helper.from_array(array, name) for name, array in tensors],
    )
    domains = ["com.microsoft.nchwc", "ai.spa"]
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(d, 1) for d in domains)]
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    levels = runtime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if blocked else levels.ORT_ENABLE_EXTENDED
    )
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return session(model.SerializeToString(), sess_options=options)
