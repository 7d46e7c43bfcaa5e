"""Models of one ``ai.spa`` node, and sessions that run them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

from spa_onnx.runtime.packing import pack_blocks
from spa_onnx.runtime.session import session

Float32Array = npt.NDArray[np.float32]
AnyShape = Sequence[int | str | None]

NAME = "layer7"

infers_shapes = pytest.mark.skipif(
    tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 24),
    reason="this runtime is not asked to infer shapes",
)


@dataclass(frozen=True, slots=True)
class OneNode:
    """``y = op(x, weight, bias, residual)`` followed by an Identity.

    Attributes:
        op: the operator.
        packed: the weight.
        attributes: of the node.
        x_shape: shape of ``x`` as the model declares it; None declares no rank.
        bias: stored in the model, or left out.
        has_residual: whether ``residual`` is an input of the model.
        spells_out: whether inputs that are left out are empty names instead of nothing.
        is_constant: whether the weight is stored in the model, not an input of it.
    """

    op: str
    packed: bytes
    attributes: Mapping[str, Any]
    x_shape: AnyShape | None = None
    bias: Float32Array | None = None
    has_residual: bool = False
    spells_out: bool = False
    is_constant: bool = True

    @property
    def inputs(self) -> list[str]:
        """Return the node's inputs, the last of which are left out or empty."""
        bias = "" if self.bias is None else "bias"
        names = ["x", "weight", bias, "residual" if self.has_residual else ""]
        while not self.spells_out and not names[-1]:
            names.pop()
        return names

    def model(self) -> ModelProto:
        """Return the model."""
        float32, uint8 = TensorProto.FLOAT, TensorProto.UINT8
        entries = [helper.make_tensor_value_info("x", float32, self.x_shape)]
        stored = []
        if self.has_residual:
            entries.append(helper.make_tensor_value_info("residual", float32, None))
        if self.bias is not None:
            stored.append(numpy_helper.from_array(self.bias, "bias"))
        if self.is_constant:
            size = [len(self.packed)]
            stored.append(helper.make_tensor("weight", uint8, size, self.packed, raw=True))
        else:
            entries.append(helper.make_tensor_value_info("weight", uint8, [len(self.packed)]))
        node = helper.make_node(self.op, self.inputs, ["hidden"], name=NAME, domain="ai.spa")
        for name, value in self.attributes.items():
            kind = AttributeProto.INTS if value == [] else None  # not to be seen from no numbers
            node.attribute.append(helper.make_attribute(name, value, attr_type=kind))
        graph = helper.make_graph(
            [node, helper.make_node("Identity", ["hidden"], ["y"])],
            "one layer",
            entries,
            [helper.make_tensor_value_info("y", float32, None)],
            stored,
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.spa", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def linear_node(weight: Float32Array, /, **settings: Any) -> OneNode:
    """Return a SparseLinear node; settings are those of OneNode, and attributes."""
    attributes = {"out_features": len(weight)}
    return node_of("SparseLinear", pack_blocks(weight, 1), attributes, settings)


def conv_node(weight: Float32Array, /, **settings: Any) -> OneNode:
    """Return a SparseConv node of a weight ``(O, C, kh, kw)``, without pads."""
    attributes = {
        "out_channels": len(weight),
        "kernel_shape": [*weight.shape[2:]],
        "strides": [1, 1],
        "pads": [0, 0, 0, 0],
        "dilations": [1, 1],
    }
    packed = pack_blocks(weight.reshape(len(weight), -1), 4)
    return node_of("SparseConv", packed, attributes, settings)


def node_of(
    op: str, packed: bytes, attributes: Mapping[str, Any], settings: Mapping[str, Any]
) -> OneNode:
    """Return a node whose settings are fields of OneNode or else attributes; None drops one."""
    own = {field.name for field in fields(OneNode)}
    others = {name: value for name, value in settings.items() if name not in own}
    everything: dict[str, Any] = {"op": op, "packed": packed}
    everything |= {name: value for name, value in settings.items() if name in own}
    everything["attributes"] = {
        name: value for name, value in {**attributes, **others}.items() if value is not None
    }
    return OneNode(**everything)


def quiet_options(threads: int = 1) -> Any:
    """Return session options that log nothing, since tests provoke errors."""
    runtime: Any = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    return options


def open_quietly(node: OneNode | ModelProto, *, threads: int = 1) -> Any:
    """Return a session of one's own."""
    model = node.model() if isinstance(node, OneNode) else node
    return session(model.SerializeToString(), sess_options=quiet_options(threads))


def random_weight(*shape: int, density: float = 0.3) -> Float32Array:
    """Return a weight with nonzeros at random places."""
    random = np.random.default_rng(0)
    weight = random.standard_normal(shape, np.float32)
    weight[random.random(weight.shape) >= density] = 0
    return weight


def random_input(*shape: int) -> Float32Array:
    """Return normally distributed inputs."""
    return np.random.default_rng(1).standard_normal(shape, np.float32)
