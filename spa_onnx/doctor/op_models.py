"""Models of one ``ai.spa`` operator each, and what numpy makes of the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

DOMAIN = "ai.spa"
OPSET, IR_VERSION = 17, 8
EPSILON = 2.0**-24
"""Half the distance of 1 to the next float32."""


@dataclass(frozen=True, slots=True)
class OpCase:
    """One node to try.

    Attributes:
        name: of the case.
        op: the operator.
        x: its first input.
        weight: packed bytes.
        bias: one number for every output.
        residual: what is added, of the shape of the output; None adds nothing.
        attributes: of the node.
        expected: the output, before and after which nothing was rounded.
        bound: how far a float32 sum may be off, element by element.
    """

    name: str
    op: str
    x: Float32Array
    weight: bytes
    bias: Float32Array
    residual: Float32Array | None
    attributes: Mapping[str, Any]
    expected: Float64Array
    bound: Float64Array

    def model(self) -> onnx.ModelProto:
        """Return a model with the node alone."""
        size = [len(self.weight)]
        weight = helper.make_tensor("weight", TensorProto.UINT8, size, self.weight, raw=True)
        names = ["x", "weight", "bias", *(["residual"] if self.residual is not None else [])]
        node = helper.make_node(
            self.op, names, ["y"], name=self.name, domain=DOMAIN, **self.attributes
        )
        float32 = TensorProto.FLOAT
        graph = helper.make_graph(
            [node],
            self.name,
            [helper.make_tensor_value_info(n, float32, a.shape) for n, a in self.feeds().items()],
            [helper.make_tensor_value_info("y", float32, self.expected.shape)],
            [weight, numpy_helper.from_array(self.bias, "bias")],
        )
        versions = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION)

    def feeds(self) -> dict[str, Float32Array]:
        """Return the inputs of a run."""
        if self.residual is None:
            return {"x": self.x}
        return {"x": self.x, "residual": self.residual}

    def error(self, y: Float32Array) -> float:
        """Return how far an output is off, in units of what rounding explains."""
        if y.shape != self.expected.shape:
            return float("inf")
        off = np.abs(y - self.expected) / self.bound
        return float("inf") if np.isnan(off).any() else float(off.max(initial=0.0))


@dataclass(frozen=True, slots=True)
class Window:
    """How a convolution moves; pads are top, left, bottom, right."""

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of a node."""
        return {
            "kernel_shape": [*self.kernel],
            "strides": [*self.strides],
            "pads": [*self.pads],
            "dilations": [*self.dilations],
        }

    def patches(self, x: npt.NDArray[Any]) -> Float64Array:
        """Return what every output sees, ``(N, C, kh * kw, H', W')``."""
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.strides, self.dilations
        top, left, bottom, right = self.pads
        wide = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
        height = (wide.shape[2] - dh * (kh - 1) - 1) // sh + 1
        width = (wide.shape[3] - dw * (kw - 1) - 1) // sw + 1
        taps = [
            wide[:, :, i * dh :: sh, j * dw :: sw][:, :, :height, :width]
            for i in range(kh)
            for j in range(kw)
        ]
        return np.stack(taps, axis=2)


def linear_case(
    name: str,
    weight: Float32Array,
    packed: bytes,
    x: Float32Array,
    bias: Float32Array,
    residual: Float32Array | None = None,
) -> OpCase:
    """Return ``relu(x W' + bias + residual)``."""
    wide = x.astype(np.float64)
    y = wide @ weight.T.astype(np.float64) + bias
    size = np.abs(wide) @ np.abs(weight).T.astype(np.float64) + np.abs(bias)
    attributes = {"out_features": len(weight), "activation": "relu"}
    parts = (x, packed, bias, residual)
    return _case(name, "SparseLinear", parts, attributes, y, size, weight.shape[1])


def conv_case(
    name: str,
    weight: Float32Array,
    packed: bytes,
    x: Float32Array,
    bias: Float32Array,
    window: Window,
    residual: Float32Array | None = None,
) -> OpCase:
    """Return ``relu(conv(x, W) + bias + residual)``, the weight ``(O, C * kh * kw)``."""
    patches = window.patches(x)
    flat = patches.reshape(len(x), -1, *patches.shape[3:])
    y = np.einsum("oc,nchw->nohw", weight.astype(np.float64), flat) + bias[:, None, None]
    size = np.einsum("oc,nchw->nohw", np.abs(weight).astype(np.float64), np.abs(flat))
    size += np.abs(bias)[:, None, None]
    attributes = window.attributes() | {"out_channels": len(weight), "activation": "relu"}
    parts = (x, packed, bias, residual)
    return _case(name, "SparseConv", parts, attributes, y, size, weight.shape[1])


def _case(
    name: str,
    op: str,
    parts: tuple[Float32Array, bytes, Float32Array, Float32Array | None],
    attributes: Mapping[str, Any],
    y: Float64Array,
    size: Float64Array,
    summed: int,
) -> OpCase:
    """Add residual and ReLU; a sum of ``n`` products is off by ``n + 2`` roundings of its size."""
    residual = parts[3]
    if residual is not None:
        y, size = y + residual, size + np.abs(residual)
    bound = (summed + 2) * EPSILON * size + np.finfo(np.float32).tiny
    return OpCase(name, op, *parts, attributes, np.maximum(y, 0.0), bound)
