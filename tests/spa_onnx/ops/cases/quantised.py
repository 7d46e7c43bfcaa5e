"""Integer operators between floating-point layers, and features in front of a network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from tests.builders import GraphBuilder
from tests.spa_onnx.ops.cases.attention import contrib
from tests.spa_onnx.ops.cases.case import NEWEST, Case, end, forms, image, rows, tokens
from tests.spa_onnx.untracked import shaped, typed, use

Build = Callable[[GraphBuilder], str]
SCALE, ZERO = 0.03, 128


def quantised(g: GraphBuilder, x: str) -> list[str]:
    """Return an unsigned tensor with its scale and zero point."""
    scale, zero = g.constant(SCALE), g.constant(np.array(ZERO, np.uint8))
    return [g.node("QuantizeLinear", [x, scale, zero]), scale, zero]


def weights(g: GraphBuilder, *shape: int, lanes: int = 0) -> list[str]:
    """Return a signed weight with its scale and zero point, one for each lane or one for all."""
    values = g.random.integers(-100, 101, shape).astype(np.int8)
    form = (lanes,) if lanes else ()
    scale = g.constant(g.random.uniform(0.003, 0.006, form))
    return [g.constant(values), scale, g.constant(np.zeros(form, np.int8))]


def numbers(g: GraphBuilder) -> list[str]:
    """Return scale and zero point of a result."""
    return [g.constant(SCALE), g.constant(np.array(ZERO, np.uint8))]


def _as_bytes(g: GraphBuilder, y: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> str:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return typed(g, y, helper.make_tensor_type_proto(element, shape))


def _real(g: GraphBuilder, y: str, shape: tuple[int, ...]) -> str:
    known = _as_bytes(g, y, shape, np.uint8)
    return g.node("DequantizeLinear", [known, *numbers(g)])


def _qlinear_conv(lanes: int, **attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        x = quantised(g, g.relu(image(g)))
        inner = 8 // attributes.get("group", 1)
        out = 6 if inner == 8 else 8
        bias = g.constant(g.random.integers(-90, 90, out).astype(np.int32))
        w = weights(g, out, inner, 1, 1, lanes=out if lanes else 0)
        y = g.node("QLinearConv", [*x, *w, *numbers(g), bias], **attributes)
        return end(g, _real(g, y, (2, out, 6, 6)))

    return build


def _conv_integer(g: GraphBuilder) -> str:
    x, _, zero = quantised(g, g.relu(image(g)))
    y = g.node("ConvInteger", [x, weights(g, 6, 8, 1, 1)[0], zero])
    return end(g, g.mul(g.node("Cast", [y], to=1), g.constant(1e-4)))


def _qlinear_matmul(lanes: int) -> Build:
    def build(g: GraphBuilder) -> str:
        x = quantised(g, tokens(g))
        y = g.node("QLinearMatMul", [*x, *weights(g, 8, 6, lanes=lanes), *numbers(g)])
        return end(g, _real(g, y, (2, 5, 6)))

    return build


def _matmul_integer(g: GraphBuilder) -> str:
    x, _, zero = quantised(g, tokens(g))
    y = g.node("MatMulInteger", [x, weights(g, 8, 6)[0], zero])
    return end(g, g.mul(g.node("Cast", [y], to=1), g.constant(1e-4)))


def _dynamic(g: GraphBuilder) -> str:
    x, scale, zero = g.node("DynamicQuantizeLinear", [tokens(g)], 3)
    y = g.node("Cast", [g.node("MatMulInteger", [x, weights(g, 8, 6)[0], zero])], to=1)
    return end(g, g.mul(g.mul(y, scale), g.constant(0.005)))


def _matmul_integer_to_float(g: GraphBuilder) -> str:
    x, scale, zero = quantised(g, tokens(g))
    w, w_scale, w_zero = weights(g, 8, 6, lanes=6)
    inputs = [x, w, scale, w_scale, zero, w_zero, g.bias(6)]
    return end(g, shaped(g, contrib(g, "MatMulIntegerToFloat", inputs), (2, 5, 6)))


def _dynamic_matmul(g: GraphBuilder) -> str:
    w, scale, zero = weights(g, 8, 6, lanes=6)
    inputs = [tokens(g), w, scale, zero, g.bias(6)]
    return end(g, shaped(g, contrib(g, "DynamicQuantizeMatMul", inputs), (2, 5, 6)))


def _qgemm(g: GraphBuilder) -> str:
    bias = g.constant(g.random.integers(-90, 90, 6).astype(np.int32))
    inputs = [*quantised(g, rows(g)), *weights(g, 6, 8, lanes=6), bias, *numbers(g)]
    return end(g, _real(g, contrib(g, "QGemm", inputs, transB=1), (2, 6)))


def _binary(op: str) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        inputs = [*quantised(g, x), *quantised(g, g.conv(x, 8)), *numbers(g)]
        return end(g, _real(g, contrib(g, op, inputs), (2, 8, 6, 6)))

    return build


def _unary(op: str, **attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        inputs = [*quantised(g, image(g)), *numbers(g)]
        return end(g, _real(g, contrib(g, op, inputs, **attributes), (2, 8, 6, 6)))

    return build


def _softmax(axis: int) -> Build:
    def build(g: GraphBuilder) -> str:
        inputs = [*quantised(g, image(g)), *numbers(g)]
        y = contrib(g, "QLinearSoftmax", inputs, axis=axis, opset=13)
        return end(g, _real(g, y, (2, 8, 6, 6)))

    return build


def _concat(g: GraphBuilder) -> str:
    x = image(g)
    inputs = [*numbers(g), *quantised(g, x), *quantised(g, g.conv(x, 5))]
    return end(g, _real(g, contrib(g, "QLinearConcat", inputs, axis=1), (2, 13, 6, 6)))


def _global_pool(g: GraphBuilder) -> str:
    inputs = [*quantised(g, image(g)), *numbers(g)]
    y = contrib(g, "QLinearGlobalAveragePool", inputs, channels_last=0)
    return end(g, _real(g, y, (2, 8, 1, 1)))


def _attention(g: GraphBuilder) -> str:
    x, scale, zero = quantised(g, tokens(g))
    w, w_scale, w_zero = weights(g, 8, 24)
    inputs = [x, w, g.bias(24), scale, w_scale, "", zero, w_zero]
    return end(g, shaped(g, contrib(g, "QAttention", inputs, num_heads=2), (2, 5, 8)))


def _n_bits(zero_points: bool, width: int = 64) -> Build:
    """Rows of ``width`` weights in blocks of 16, four bits each."""

    def build(g: GraphBuilder) -> str:
        blocks = width // 16
        packed = g.constant(g.random.integers(0, 256, (6, blocks, 8)).astype(np.uint8))
        scales = g.constant(g.random.uniform(0.01, 0.03, 6 * blocks))
        points = g.random.integers(100, 156, 6 * -(-blocks // 2)).astype(np.uint8)
        more = [g.constant(points)] if zero_points else []
        sizes = {"K": width, "N": 6, "bits": 4, "block_size": 16}
        y = contrib(g, "MatMulNBits", [tokens(g, width), packed, scales, *more], **sizes)
        return end(g, shaped(g, y, (2, 5, 6)))

    return build


# -- features ------------------------------------------------------------------------------------


def _features(op: str, **attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        x = g.input("x", (2, 4))
        y = g.node(op, [x], domain="ai.onnx.ml", **attributes)
        return end(g, g.relu(g.gemm(shaped(g, y, (2, 4)), 8)))

    return build


def _labels(g: GraphBuilder) -> str:
    use(g, "ai.onnx.ml", 2)
    ids = g.input("ids", (2, 5), np.int64)
    attributes: dict[str, Any] = {
        "keys_int64s": [0, 1, 2],
        "values_int64s": [3, 4, 5],
        "default_int64": 6,
    }
    y = g.node("LabelEncoder", [ids], domain="ai.onnx.ml", **attributes)
    return end(g, g.embedding(_as_bytes(g, y, (2, 5), np.int64), 20, 8))


def _extracted(g: GraphBuilder) -> str:
    inputs = [g.input("x", (2, 6)), g.constant([0, 2, 5, 3])]
    y = g.node("ArrayFeatureExtractor", inputs, domain="ai.onnx.ml")
    return end(g, g.relu(g.gemm(shaped(g, y, (2, 4)), 8)))


def _vectorised(g: GraphBuilder) -> str:
    inputs = [g.input("a", (2, 3)), g.input("b", (2, 4))]
    y = g.node("FeatureVectorizer", inputs, domain="ai.onnx.ml", inputdimensions=[3, 4])
    return end(g, g.relu(g.gemm(shaped(g, y, (2, 7)), 8)))


MICROSOFT = "com.microsoft::"
FEATURES: dict[str, dict[str, Any]] = {
    "Scaler": {"offset": [0.1, 0.2, 0.3, 0.4], "scale": [1.0, 2.0, 3.0, 4.0]},
    "Normalizer": {"norm": "L2"},
    "Imputer": {"imputed_value_floats": [0.5], "replaced_value_float": 0.0},
    "Binarizer": {"threshold": 0.1},
}
CASES = (
    *forms("QLinearConv", "scale for every channel", (10, NEWEST), _qlinear_conv(1)),
    *forms("QLinearConv", "one scale", (10,), _qlinear_conv(0)),
    *forms("QLinearConv", "depthwise", (10,), _qlinear_conv(1, group=8)),
    *forms("ConvInteger", "one zero point", (10, NEWEST), _conv_integer),
    *forms("QLinearMatMul", "scale for every column", (21, NEWEST), _qlinear_matmul(6)),
    *forms("QLinearMatMul", "one scale", (10, 21), _qlinear_matmul(0)),
    *forms("MatMulInteger", "one zero point", (10, NEWEST), _matmul_integer),
    *forms("DynamicQuantizeLinear", "before a product", (11, NEWEST), _dynamic),
    Case(MICROSOFT + "MatMulIntegerToFloat", "columns", 17, _matmul_integer_to_float),
    Case(MICROSOFT + "DynamicQuantizeMatMul", "columns", 17, _dynamic_matmul),
    Case(MICROSOFT + "QGemm", "transposed", 17, _qgemm),
    Case(MICROSOFT + "QLinearAdd", "layers", 17, _binary("QLinearAdd")),
    Case(MICROSOFT + "QLinearMul", "layers", 17, _binary("QLinearMul")),
    Case(MICROSOFT + "QLinearSigmoid", "alone", 17, _unary("QLinearSigmoid")),
    Case(MICROSOFT + "QLinearLeakyRelu", "alone", 17, _unary("QLinearLeakyRelu", alpha=0.1)),
    Case(MICROSOFT + "QLinearSoftmax", "channels", 17, _softmax(1), cut=False),
    Case(MICROSOFT + "QLinearSoftmax", "positions", 17, _softmax(3)),
    Case(MICROSOFT + "QLinearConcat", "channels", 17, _concat),
    Case(MICROSOFT + "QLinearGlobalAveragePool", "channels", 17, _global_pool),
    Case(MICROSOFT + "QAttention", "packed", 17, _attention),
    Case(MICROSOFT + "MatMulNBits", "four bits", 17, _n_bits(zero_points=False)),
    Case(MICROSOFT + "MatMulNBits", "zero points", 17, _n_bits(zero_points=True), cut=False),
    *(
        Case(f"ai.onnx.ml::{op}", "in front", 17, _features(op, **attributes))
        for op, attributes in FEATURES.items()
    ),
    Case("ai.onnx.ml::LabelEncoder", "in front", 17, _labels),
    Case("ai.onnx.ml::ArrayFeatureExtractor", "in front", 17, _extracted),
    Case("ai.onnx.ml::FeatureVectorizer", "in front", 17, _vectorised),
)
