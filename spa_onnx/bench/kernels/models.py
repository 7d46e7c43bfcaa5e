"""Models of one layer, several times over, so that each copy finds cold caches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from spa_onnx.bench.kernels.forms import Form
from spa_onnx.bench.kernels.shapes import Convolution, Layer, Linear
from spa_onnx.latency.options import timed_options
from spa_onnx.latency.vector import vector_lanes
from spa_onnx.runtime.session import session

Float32Array = NDArray[np.float32]
Tensors = Sequence[tuple[str, NDArray[Any]]]

NCHWC = "com.microsoft.nchwc"
NARROWEST = 8
"""Lanes of a vector from which on the runtime has a blocked layout."""


@dataclass(frozen=True, slots=True)
class Options:
    """Of a session.

    Attributes:
        threads: that a node may use.
        blocked: let the runtime change convolutions to its blocked layout.
        prepacked: let it bring constant weights into the order in which its kernels read them.
    """

    threads: int
    blocked: bool = True
    prepacked: bool = True


def dense_sessions(
    layer: Layer, weights: Sequence[Float32Array], threads: int
) -> Iterator[tuple[str, Any]]:
    """Yield the runtime's own ways to run the layer, by name.

    The first one's outputs are right; the blocked convolutions read the same numbers in another
    order, which takes the same time.
    """
    if isinstance(layer, Linear):
        nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"y{i}"]) for i in ids(weights)]
        tensors = [(f"w{i}", np.ascontiguousarray(w.T)) for i, w in enumerate(weights)]
        yield "packed", opened(layer, nodes, tensors, Options(threads))
        yield "unpacked", opened(layer, nodes, tensors, Options(threads, prepacked=False))
        return
    shape = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
    tensors = [(f"w{i}", w.reshape(shape)) for i, w in enumerate(weights)]
    yield "nchw", opened(layer, _dense(layer, weights), tensors, Options(threads, blocked=False))
    block = vector_lanes()
    if block >= NARROWEST and layer.inputs % block == layer.outputs % block == 0:
        yield "nchwc", opened(layer, _dense(layer, weights, NCHWC), tensors, Options(threads))


def _dense(layer: Convolution, weights: Sequence[Float32Array], domain: str = "") -> list[Any]:
    pad = layer.kernel // 2
    return [
        helper.make_node(
            "Conv", [f"x{i}", f"w{i}"], [f"y{i}"], domain=domain,
            kernel_shape=[layer.kernel] * 2, pads=[pad] * 4,
        )
        for i in ids(weights)
    ]  # fmt: skip


def sparse_session(layer: Layer, weights: Sequence[bytes], form: Form, threads: int) -> Any:
    """Return a session with our operators over packed weights."""
    facts: dict[str, Any]
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
    tensors = [(f"w{i}", np.frombuffer(w, np.uint8)) for i, w in enumerate(weights)]
    return opened(layer, nodes, tensors, Options(threads))


def ids(copies: Sequence[object]) -> range:
    """Return the numbers of the copies."""
    return range(len(copies))


def opened(layer: Layer, nodes: Sequence[Any], tensors: Tensors, options: Options) -> Any:
    """Return a session over copies of a layer."""
    float32 = TensorProto.FLOAT
    graph = helper.make_graph(
        list(nodes),
        "layers",
        [helper.make_tensor_value_info(f"x{i}", float32, layer.x_shape) for i in ids(nodes)],
        [helper.make_tensor_value_info(f"y{i}", float32, layer.y_shape) for i in ids(nodes)],
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(d, 1) for d in (NCHWC, "ai.spa"))]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    for name, array in tensors:  # added last, since what makes graphs and models copies them
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    levels: Any = import_module("onnxruntime").GraphOptimizationLevel
    settings = timed_options(options.threads)
    settings.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if options.blocked else levels.ORT_ENABLE_EXTENDED
    )
    if not options.prepacked:
        settings.add_session_config_entry("session.disable_prepacking", "1")
    return session(model.SerializeToString(), sess_options=settings)
