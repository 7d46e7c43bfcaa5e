"""Models of one ``ai.spa::SparseLinear`` node."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper

from spa_onnx.runtime.packing import pack_csr
from spa_onnx.runtime.session import session

Float32Array = npt.NDArray[np.float32]


def sparse_linear_model(
    weight: Float32Array,
    bias: Float32Array | None = None,
    *,
    packed: bytes | None = None,
    input_shape: Sequence[int | str | None] | None = ("tokens", None),
    out_features: int | None = None,
) -> ModelProto:
    """Return ``y = SparseLinear(x, weight, bias)`` followed by an Identity.

    Args:
        weight: the matrix ``(rows, columns)``.
        bias: ``(rows,)`` or nothing.
        packed: bytes to store instead of the packed weight.
        input_shape: shape of ``x`` as the model declares it; None declares no rank.
        out_features: the attribute, if it is not to be the number of rows.
    """
    packed = pack_csr(weight) if packed is None else packed
    stored = [helper.make_tensor("weight", TensorProto.UINT8, [len(packed)], packed, raw=True)]
    if bias is not None:
        stored.append(numpy_helper.from_array(bias, "bias"))
    node = helper.make_node(
        "SparseLinear",
        ["x", *(tensor.name for tensor in stored)],
        ["hidden"],
        name="fc1",
        domain="ai.spa",
        out_features=len(weight) if out_features is None else out_features,
    )
    graph = helper.make_graph(
        [node, helper.make_node("Identity", ["hidden"], ["y"])],
        "one layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        stored,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.spa", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def quiet_options(threads: int = 1) -> Any:
    """Return session options that log nothing, since tests provoke errors."""
    runtime: Any = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    return options


def open_quietly(model: ModelProto, *, threads: int = 1) -> Any:
    """Return a session of one's own."""
    return session(model.SerializeToString(), sess_options=quiet_options(threads))


def random_weight(rows: int, columns: int, *, density: float = 0.3) -> Float32Array:
    """Return a matrix with nonzeros at random places."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((rows, columns), np.float32)
    weight[random.random(weight.shape) >= density] = 0
    return weight


def random_input(*shape: int) -> Float32Array:
    """Return normally distributed inputs."""
    return np.random.default_rng(1).standard_normal(shape, np.float32)
