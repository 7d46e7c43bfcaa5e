"""Elementwise operators behind a convolution, with operands for every channel."""

from collections.abc import Callable, Iterator

import numpy as np
import onnx

from tests.builders import GraphBuilder
from tests.spa_onnx.ops.cases.case import NEWEST, Case, end, floats, forms, image, tokens
from tests.spa_onnx.untracked import like

BOOLEAN_RESULT = {"Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"}
OLDEST = {
    "Acosh": 9, "Asinh": 9, "Atanh": 9, "Cosh": 9, "Sinh": 9, "Erf": 9, "Sign": 9, "Celu": 12,
    "Gelu": 20, "HardSwish": 14, "Mish": 18, "Round": 11, "Shrink": 9, "Swish": 24,
    "ThresholdedRelu": 10, "GreaterOrEqual": 12, "LessOrEqual": 12, "Max": 8, "Min": 8,
}  # fmt: skip
NOT_IN_ONNX_RUNTIME = {"Swish"}
UNARY = (
    "Abs Asinh Atan Celu Ceil Cos Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity LeakyRelu "
    "Mish Neg Relu Round Selu Shrink Sigmoid Sign Sin Softplus Softsign Swish Tanh ThresholdedRelu"
)
BETWEEN_ONES = "Acos Asin Atanh Tan Cosh Sinh"
ABOVE_ONE = "Acosh Log Reciprocal Sqrt"


def _alone(op: str, prepare: Callable[[GraphBuilder, str], str]) -> Iterator[Case]:
    def build(g: GraphBuilder) -> str:
        return end(g, g.node(op, [prepare(g, image(g))]))

    opsets = {max(7, OLDEST.get(op, 7)), NEWEST}
    return forms(op, "alone", opsets, build, runs=op not in NOT_IN_ONNX_RUNTIME)


def _as_it_is(_: GraphBuilder, x: str) -> str:
    return x


def _between_ones(g: GraphBuilder, x: str) -> str:
    return g.mul(g.tanh(x), g.constant(0.9))


def _above_one(g: GraphBuilder, x: str) -> str:
    return g.add(g.node("Abs", [x]), g.constant(1.1))


def _whole(g: GraphBuilder, x: str) -> str:
    return g.node("Cast", [g.mul(x, g.constant(4.0))], to=onnx.TensorProto.INT64)


def _unsigned(g: GraphBuilder, x: str) -> str:
    scaled = g.mul(g.node("Abs", [x]), g.constant(9.0))
    return g.node("Cast", [scaled], to=onnx.TensorProto.UINT32)


def per_channel(g: GraphBuilder) -> str:
    """A vector for the eight channels."""
    return g.constant(g.random.uniform(0.5, 1.5, (8, 1, 1)))


def _binary(op: str) -> Iterator[Case]:
    def build(g: GraphBuilder) -> str:
        x = _above_one(g, image(g)) if op == "Pow" else image(g)
        return end(g, g.node(op, [x, per_channel(g)]))

    return forms(op, "vector for every channel", {max(7, OLDEST.get(op, 7)), NEWEST}, build)


def _two_layers(op: str) -> Iterator[Case]:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        return end(g, g.node(op, [g.conv(x, 8), g.conv(x, 8), x][: 2 + (op in "Sum Mean Max")]))

    return forms(op, "results of layers", {max(8, OLDEST.get(op, 8)), NEWEST}, build)


def _comparison(op: str) -> Iterator[Case]:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        a, b = (_whole(g, x), g.constant(np.ones((8, 1, 1), np.int64)))
        if op != "Equal" and g.opset < 9:
            a, b = x, per_channel(g)
        return end(g, g.add(x, like(g, floats(g, like(g, g.node(op, [a, b]), x)), x)))

    return forms(op, "with a vector", {max(7, OLDEST.get(op, 7)), NEWEST}, build)


def _logical(op: str) -> Iterator[Case]:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        positive = g.node("Greater", [x, g.constant(0.0)])
        large = g.node("Less", [x, per_channel(g)])
        inputs = [positive] if op == "Not" else [positive, large]
        return end(g, g.add(x, floats(g, g.node(op, inputs))))

    return forms(op, "of comparisons", (7, NEWEST), build)


def _bits(op: str, opset: int) -> Iterator[Case]:
    def build(g: GraphBuilder) -> str:
        x = _unsigned(g, image(g))
        ones = g.constant(np.ones((8, 1, 1), np.uint32))
        inputs = [x] if op == "BitwiseNot" else [x, ones]
        direction = "LEFT" if op == "BitShift" else None
        y = g.node(op, inputs, direction=direction)
        return end(g, g.mul(floats(g, y), g.constant(1e-6 if op == "BitwiseNot" else 0.01)))

    return forms(op, "of integers", (opset, NEWEST), build)


def _where(g: GraphBuilder) -> str:
    x = image(g)
    return end(g, g.node("Where", [g.node("Greater", [x, per_channel(g)]), x, per_channel(g)]))


def _mod(g: GraphBuilder) -> str:
    return end(g, g.node("Mod", [image(g), per_channel(g)], fmod=1))


def _is(op: str) -> Callable[[GraphBuilder], str]:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        return end(g, g.add(x, floats(g, g.node(op, [x]))))

    return build


def _cast(g: GraphBuilder) -> str:
    return end(g, floats(g, g.node("Cast", [image(g)], to=onnx.TensorProto.DOUBLE)))


def _cast_like(g: GraphBuilder) -> str:
    return end(g, g.node("CastLike", [image(g), g.constant(0.0)]))


def _clip(g: GraphBuilder) -> str:
    return end(g, g.clip(image(g), -0.5, 0.5))


def _clip_one_side(g: GraphBuilder) -> str:
    return end(g, g.node("Clip", [image(g), "", g.constant(0.5)]))


def _dropout(g: GraphBuilder) -> str:
    return end(g, g.node("Dropout", [image(g)]))


def _dropout_with_mask(g: GraphBuilder) -> str:
    y, _ = g.node("Dropout", [image(g)], 2)
    return end(g, y)


def _prelu(g: GraphBuilder) -> str:
    return end(g, g.prelu(image(g)))


def _shared_prelu(g: GraphBuilder) -> str:
    return end(g, g.node("PRelu", [image(g), g.constant([[[0.2]]])]))


def _quantised(per_axis: bool, axis: int | None = None) -> Callable[[GraphBuilder], str]:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        scale = g.constant(g.random.uniform(0.01, 0.02, 8 if per_axis else ()))
        zero = g.constant(np.zeros(8 if per_axis else (), np.int8))
        q = g.node("QuantizeLinear", [x, scale, zero], axis=axis)
        return end(g, g.node("DequantizeLinear", [q, scale, zero], axis=axis))

    return build


def _quantised_weight(g: GraphBuilder) -> str:
    x = image(g)
    values = g.random.integers(-127, 127, (6, 8, 1, 1)).astype(np.int8)
    inputs = [g.constant(values), g.constant(g.random.uniform(0.001, 0.01, 6))]
    weight = g.node("DequantizeLinear", inputs, axis=0)
    return end(g, g.relu(g.node("Conv", [x, weight])))


def _gelu_with_bias(op: str) -> Callable[[GraphBuilder], str]:
    def build(g: GraphBuilder) -> str:
        x = tokens(g)
        inputs = [x, g.bias(8)] if op in ("BiasGelu", "FastGelu") else [x]
        return end(g, like(g, g.node(op, inputs, domain="com.microsoft"), x))

    return build


CASES = (
    *(case for op in UNARY.split() for case in _alone(op, _as_it_is)),
    *(case for op in BETWEEN_ONES.split() for case in _alone(op, _between_ones)),
    *(case for op in ABOVE_ONE.split() for case in _alone(op, _above_one)),
    *(case for op in ["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"] for case in _binary(op)),
    *(
        case
        for op in ["Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean"]
        for case in _two_layers(op)
    ),
    *(case for op in sorted(BOOLEAN_RESULT) for case in _comparison(op)),
    *(case for op in ["And", "Or", "Xor", "Not"] for case in _logical(op)),
    *_bits("BitShift", 11),
    *(case for op in ["And", "Or", "Xor", "Not"] for case in _bits(f"Bitwise{op}", 18)),
    *forms("Where", "condition and value for every channel", (9, NEWEST), _where),
    *forms("Mod", "of floats", (10, NEWEST), _mod),
    *forms("IsNaN", "added", (9, NEWEST), _is("IsNaN")),
    *forms("IsInf", "added", (10, NEWEST), _is("IsInf")),
    *forms("Cast", "there and back", (7, NEWEST), _cast),
    *forms("CastLike", "a scalar", (15, NEWEST), _cast_like),
    *forms("Clip", "both sides", (7, 11, NEWEST), _clip),
    *forms("Clip", "one side", (11, NEWEST), _clip_one_side),
    *forms("Dropout", "inference", (7, 12, NEWEST), _dropout),
    *forms("Dropout", "with mask", (7, 10, NEWEST), _dropout_with_mask),
    *forms("PRelu", "slope for every channel", (7, 9, NEWEST), _prelu),
    *forms("PRelu", "one slope", (7, NEWEST), _shared_prelu),
    *forms("QuantizeLinear", "for every channel", (13, NEWEST), _quantised(True)),
    *forms("QuantizeLinear", "last axis but two", (13, NEWEST), _quantised(True, -3)),
    *forms("DequantizeLinear", "whole tensor", (10, 13, NEWEST), _quantised(False)),
    *forms("DequantizeLinear", "of a weight", (13, NEWEST), _quantised_weight),
    *(
        Case(f"com.microsoft::{op}", "after a linear layer", 17, _gelu_with_bias(op))
        for op in ("Gelu", "QuickGelu", "BiasGelu", "FastGelu")
    ),
)
