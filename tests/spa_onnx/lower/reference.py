"""The operators of ``ai.spa`` in float64: unpacked, dense, one formula after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from spa_onnx.runtime.unpacking import unpack

Array = npt.NDArray[Any]


def activate(x: Array, name: str, low: float | None, high: float | None) -> Array:
    """Return an activation as the literature has it."""
    match name:
        case "none":
            return x
        case "relu":
            return np.maximum(x, 0)
        case "clip":
            assert low is not None
            assert high is not None
            return np.minimum(np.maximum(x, low), high)
        case "gelu":
            return x * np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)))(x)
        case "gelu_tanh":
            return x / (1 + np.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        case "silu":
            return x / (1 + np.exp(-x))
        case "hard_swish":
            return x * np.minimum(np.maximum(x + 3, 0), 6) / 6
        case _:
            raise AssertionError(name)


def convolve(
    x: Array, weight: Array, strides: list[int], pads: list[int], dilations: list[int], group: int
) -> Array:
    """Return a convolution, tap by tap."""
    top, left, bottom, right = pads
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    rows, columns = weight.shape[2:]
    high = (x.shape[2] - (rows - 1) * dilations[0] - 1) // strides[0] + 1
    wide = (x.shape[3] - (columns - 1) * dilations[1] - 1) // strides[1] + 1
    y = np.zeros((x.shape[0], weight.shape[0], high, wide))
    per_group, seen = weight.shape[0] // group, weight.shape[1]
    for r in range(rows):
        for c in range(columns):
            seen_rows = r * dilations[0] + strides[0] * np.arange(high)
            seen_columns = c * dilations[1] + strides[1] * np.arange(wide)
            part = x[:, :, seen_rows][:, :, :, seen_columns]
            for g in range(group):
                own = slice(g * per_group, (g + 1) * per_group)
                inputs = part[:, g * seen : (g + 1) * seen]
                y[:, own] += np.einsum("nchw,oc->nohw", inputs, weight[own, :, r, c])
    return y


def finished(
    y: Array, bias: Array | None, residual: Array | None, axis: int, given: dict[str, Any]
) -> tuple[Array]:
    """Return what comes out, given what was added up."""
    if bias is not None:
        y = y + bias.reshape(-1, *[1] * axis)
    if residual is not None:
        assert residual.shape == y.shape
        y = y + residual
    name, low, high = (given.get(k) for k in ("activation", "clip_min", "clip_max"))
    return (activate(y, name or "none", low, high).astype(np.float32),)


class SparseLinear(OpRun):
    op_domain = "ai.spa"

    def _run(
        self, x: Array, w: Array, b: Array | None = None, r: Array | None = None, **given: Any
    ) -> tuple[Array]:
        weight = unpack(w.tobytes()).astype(np.float64)
        assert weight.shape == (given["out_features"], x.shape[-1])
        return finished(x.astype(np.float64) @ weight.T, b, r, 0, given)


class SparseConv(OpRun):
    op_domain = "ai.spa"

    def _run(
        self, x: Array, w: Array, b: Array | None = None, r: Array | None = None, **given: Any
    ) -> tuple[Array]:
        weight = unpack(w.tobytes())
        weight = weight.reshape(given["out_channels"], x.shape[1], *given["kernel_shape"])
        y = convolve(x, weight, given["strides"], given["pads"], given["dilations"], 1)
        return finished(y, b, r, 2, given)


def evaluate(model: onnx.ModelProto, feeds: dict[str, Array]) -> list[Array]:
    """Return the outputs of a lowered model."""
    operators: list[Any] = [SparseLinear, SparseConv]
    outputs: Any = ReferenceEvaluator(model, new_ops=operators).run(None, feeds)
    return list(outputs)
