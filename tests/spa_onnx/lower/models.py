"""Small graphs with zeros in their weights, each about one thing that lowering must get right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from tests.builders import GraphBuilder

Array = npt.NDArray[Any]


def zeroed(weight: Array, share: float = 0.7, seed: int = 0) -> Array:
    """Return a weight with so large a share of zeros."""
    kept = np.random.default_rng(seed).random(weight.shape) >= share
    dtype = weight.dtype if weight.dtype.itemsize == 2 else np.float32
    return np.where(kept, weight, 0).astype(dtype)


def sparse(g: GraphBuilder, *shape: int, share: float = 0.7) -> str:
    """Add a weight with zeros."""
    return g.constant(zeroed(g.weight_values(*shape), share))


def conv(
    g: GraphBuilder, x: str, out: int, kernel: int = 1, *, bias: bool = True, **attributes: Any
) -> str:
    """Convolve with a weight that has zeros."""
    channels = g.shape(x)[1] // attributes.get("group", 1)
    inputs = [x, sparse(g, out, channels, kernel, kernel)]
    inputs += [g.bias(out)] if bias else []
    return g.node("Conv", inputs, **attributes)


def linear(g: GraphBuilder, x: str, out: int) -> str:
    """Multiply the last axis with a weight that has zeros."""
    return g.matmul(x, sparse(g, g.shape(x)[-1], out))


def batch_norm(g: GraphBuilder, x: str) -> str:
    """Normalise channels with moments of the past."""
    channels = g.shape(x)[1]
    moments = [g.scale(channels), g.bias(channels), g.bias(channels), g.scale(channels)]
    return g.node("BatchNormalization", [x, *moments], epsilon=1e-3)


def gelu_by_erf(g: GraphBuilder, x: str) -> str:
    """Spell GELU as torch exports it."""
    gate = g.add(g.node("Erf", [g.div(x, g.constant(1.4142135381698608))]), g.constant(1.0))
    return g.mul(g.mul(x, gate), g.constant(0.5))


def gelu_by_erf_halved_first(g: GraphBuilder, x: str) -> str:
    """Spell GELU with the factors in another order."""
    erf = g.node("Erf", [g.mul(x, g.constant(0.7071067690849304))])
    return g.mul(g.mul(g.constant(0.5), x), g.add(g.constant(1.0), erf))


def gelu_by_tanh(g: GraphBuilder, x: str) -> str:
    """Spell the approximation of GELU with a power."""
    cube = g.mul(g.node("Pow", [x, g.constant(3.0)]), g.constant(0.044715))
    inner = g.mul(g.add(x, cube), g.constant(0.7978845608))
    return g.mul(g.mul(g.constant(0.5), x), g.add(g.tanh(inner), g.constant(1.0)))


def gelu_by_tanh_multiplied(g: GraphBuilder, x: str) -> str:
    """Spell the approximation of GELU with products alone."""
    square = g.mul(g.mul(x, x), g.constant(0.044715))
    inner = g.mul(g.mul(x, g.add(square, g.constant(1.0))), g.constant(0.7978845608))
    return g.mul(x, g.mul(g.add(g.tanh(inner), g.constant(1.0)), g.constant(0.5)))


def silu(g: GraphBuilder, x: str) -> str:
    """Spell SiLU."""
    return g.mul(x, g.sigmoid(x))


def hard_swish_by_clip(g: GraphBuilder, x: str) -> str:
    """Spell HardSwish as torch does."""
    return g.div(g.mul(x, g.clip(g.add(x, g.constant(3.0)), 0.0, 6.0)), g.constant(6.0))


def hard_swish_by_sigmoid(g: GraphBuilder, x: str) -> str:
    """Spell HardSwish with a gate."""
    return g.mul(x, g.node("HardSigmoid", [x], alpha=1 / 6, beta=0.5))


def relu_six_by_min(g: GraphBuilder, x: str) -> str:
    """Spell ReLU6 with Max and Min."""
    return g.node("Min", [g.node("Max", [x, g.constant(0.0)]), g.constant(6.0)])


SPELLINGS: Mapping[str, tuple[str, Callable[[GraphBuilder, str], str]]] = {
    "relu": ("relu", lambda g, x: g.relu(x)),
    "max": ("relu", lambda g, x: g.node("Max", [x, g.constant(0.0)])),
    "clip": ("clip", lambda g, x: g.clip(x, -0.5, 0.25)),
    "relu6": ("clip", relu_six_by_min),
    "gelu by erf": ("gelu", gelu_by_erf),
    "gelu by erf, halved first": ("gelu", gelu_by_erf_halved_first),
    "gelu by tanh": ("gelu_tanh", gelu_by_tanh),
    "gelu by tanh, multiplied": ("gelu_tanh", gelu_by_tanh_multiplied),
    "silu": ("silu", silu),
    "hard swish": ("hard_swish", lambda g, x: g.node("HardSwish", [x])),
    "hard swish by clip": ("hard_swish", hard_swish_by_clip),
    "hard swish by sigmoid": ("hard_swish", hard_swish_by_sigmoid),
}
"""Activations as exporters write them, and what they are."""


def picture(g: GraphBuilder, channels: int = 6, side: int = 7) -> str:
    """Add an input of planes."""
    return g.input("x", ("batch", channels, side, side + 1))


def _dilated(g: GraphBuilder) -> str:
    return conv(g, picture(g), 5, 3, dilations=[2, 1], pads=[1, 2, 0, 1])


def _residual(g: GraphBuilder) -> str:
    x = picture(g)
    return g.relu(g.add(x, batch_norm(g, conv(g, x, 6, 3, pads=[1] * 4, bias=False))))


def _two_branches(g: GraphBuilder) -> str:
    x = picture(g)
    return g.relu(g.add(conv(g, x, 8), conv(g, x, 8)))


def _depthwise(g: GraphBuilder) -> str:
    x = g.clip(conv(g, picture(g), 8), 0.0, 6.0)
    x = batch_norm(g, g.conv(x, 8, 3, groups=8, stride=2, bias=False))
    return conv(g, g.clip(x, 0.0, 6.0), 4)


def _affine(g: GraphBuilder) -> str:
    x = conv(g, picture(g), 4, 3)
    scale = g.constant(g.random.uniform(0.5, 1.5, (4, 1, 1)))
    return g.add(g.mul(x, scale), g.constant(np.array(0.25)))


def _tokens(g: GraphBuilder) -> str:
    return g.input("x", ("batch", 3, 10))


def _mlp(g: GraphBuilder) -> str:
    x = _tokens(g)
    y = gelu_by_erf(g, g.add(g.bias(12), linear(g, x, 12)))
    return g.add(x, g.add(linear(g, y, 10), g.bias(10)))


def _gemm(g: GraphBuilder) -> str:
    x = g.input("x", ("batch", 10))
    y = g.node("Gemm", [x, sparse(g, 10, 6), g.bias(6)], alpha=0.5, beta=2.0)
    return g.node("Gemm", [g.relu(y), sparse(g, 4, 6)], transB=1)


def _shared(g: GraphBuilder) -> str:
    x, weight = _tokens(g), sparse(g, 10, 10)
    return g.matmul(g.relu(g.matmul(x, weight)), weight)


MODELS: Mapping[str, Callable[[GraphBuilder], str]] = {
    "1x1": lambda g: conv(g, picture(g), 5),
    "1x1 with stride": lambda g: conv(g, picture(g), 5, strides=[2, 2]),
    "3x3 padded": lambda g: conv(g, picture(g), 5, 3, pads=[1, 1, 1, 1]),
    "3x3 without bias": lambda g: conv(g, picture(g), 5, 3, bias=False),
    "5x5 padded unevenly": lambda g: conv(g, picture(g), 5, 5, pads=[2, 1, 0, 3]),
    "3x3 dilated": _dilated,
    "3x3 of groups": lambda g: conv(g, picture(g), 8, 3, group=2, pads=[1] * 4),
    "same size": lambda g: conv(g, picture(g), 5, 2, auto_pad="SAME_LOWER"),
    "same size with stride": lambda g: conv(
        g, picture(g), 5, 3, auto_pad="SAME_UPPER", strides=[2, 2]
    ),
    "valid": lambda g: conv(g, picture(g), 5, 3, auto_pad="VALID"),
    "folded norm": lambda g: g.relu(batch_norm(g, conv(g, picture(g), 5, 3))),
    "scale and offset": _affine,
    "residual": _residual,
    "two branches": _two_branches,
    "depthwise between": _depthwise,
    "perceptron": _mlp,
    "gemm": _gemm,
    "shared weight": _shared,
}


def built(
    make: Callable[[GraphBuilder], str], opset: int = 17, dtype: npt.DTypeLike = np.float32
) -> onnx.ModelProto:
    """Return the model of a graph."""
    g = GraphBuilder(opset, dtype=dtype)
    return g.model(make(g))


def feeds_of(model: onnx.ModelProto, batch: int = 2) -> dict[str, Array]:
    """Return inputs of a model."""
    rng = np.random.default_rng(1)
    found = {}
    for entry in model.graph.input:
        kind = entry.type.tensor_type
        shape = [d.dim_value or batch for d in kind.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        found[entry.name] = rng.standard_normal(shape).astype(dtype)
    return found
