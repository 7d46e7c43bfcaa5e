"""More forms of integer operators: grouped, without zero points, blocks of eight bits."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper

from tests.builders import GraphBuilder
from tests.graph_writer import AnyArray
from tests.spa_onnx.ops.cases.case import (
    NEWEST,
    Case,
    end,
    floats,
    forms,
    image,
    rows,
    tokens,
)
from tests.spa_onnx.untracked import like, shaped, type_of, typed

Build = Callable[[GraphBuilder], str]
MICROSOFT = "com.microsoft"
SCALE, ZERO = 0.05, 120


def _parameters(g: GraphBuilder) -> list[str]:
    """Scale and zero point of an activation."""
    return [g.constant(SCALE), g.constant(np.uint8(ZERO))]


def _quantised(g: GraphBuilder, x: str) -> list[str]:
    """An activation as uint8, its scale and its zero point."""
    parameters = _parameters(g)
    return [g.node("QuantizeLinear", [x, *parameters]), *parameters]


def _real(g: GraphBuilder, q: str) -> str:
    return g.node("DequantizeLinear", [q, *_parameters(g)])


def _integers(g: GraphBuilder, *shape: int) -> str:
    """A weight as int8."""
    return g.constant(g.random.integers(-127, 127, shape).astype(np.int8))


def _weight(g: GraphBuilder, shape: tuple[int, ...], lanes: int = 0) -> list[str]:
    """A weight as int8 with its scale and zero point, for every lane if there are any."""
    size = lanes or ()
    scale = g.constant(g.random.uniform(0.001, 0.004, size))
    return [_integers(g, *shape), scale, g.constant(np.zeros(size, np.int8))]


def _whole_numbers(g: GraphBuilder, *shape: int) -> AnyArray:
    return g.random.integers(-2000, 2000, shape).astype(np.int32)


# -- convolutions ----------------------------------------------------------------------------------


def _qlinear_conv(
    out: int = 6, groups: int = 1, per_lane: bool = False, bias: bool = True
) -> Build:
    def build(g: GraphBuilder) -> str:
        weight = _weight(g, (out, 8 // groups, 3, 3), out if per_lane else 0)
        inputs = [*_quantised(g, image(g)), *weight, *_parameters(g)]
        if bias:
            inputs.append(g.constant(_whole_numbers(g, out)))
        y = g.node("QLinearConv", inputs, group=groups, pads=[1, 1, 1, 1])
        return end(g, _real(g, y))

    return build


def _conv_integer(zero_points: int, groups: int = 1) -> Build:
    def build(g: GraphBuilder) -> str:
        y = image(g)
        x, _, zero = _quantised(g, y)
        if not zero_points:
            x = g.node("QuantizeLinear", [g.relu(y), *_unsigned(g)])
        weight = g.constant(g.random.integers(0, 255, (8, 8 // groups, 3, 3)).astype(np.uint8))
        inputs = [x, weight, zero, g.constant(np.uint8(131))][: 2 + zero_points]
        y = g.node("ConvInteger", inputs, group=groups, pads=[1, 1, 1, 1])
        return end(g, g.mul(floats(g, y), g.constant(1e-4)))

    return build


def _unsigned(g: GraphBuilder) -> list[str]:
    return [g.constant(SCALE), g.constant(np.uint8(0))]


# -- products --------------------------------------------------------------------------------------


def _qlinear_matmul_of_layers(g: GraphBuilder) -> str:
    x = g.input("x", (2, 5, 4))
    a = _quantised(g, g.linear(x, 8))
    b = _quantised(g, g.transpose(g.linear(x, 8), 0, 2, 1))
    y = g.node("QLinearMatMul", [*a, *b, *_parameters(g)])
    return end(g, _real(g, y))


def _matmul_integer(zero_points: int, per_lane: bool = False) -> Build:
    def build(g: GraphBuilder) -> str:
        y = tokens(g)
        x, scale, zero = g.node("DynamicQuantizeLinear", [y], 3)
        if not zero_points:
            x = g.node("QuantizeLinear", [g.relu(y), *_unsigned(g)])
        weight = g.constant(g.random.integers(0, 255, (8, 6)).astype(np.uint8))
        column = g.random.integers(100, 150, 6 if per_lane else ()).astype(np.uint8)
        y = g.node("MatMulInteger", [x, weight, zero, g.constant(column)][: 2 + zero_points])
        real = g.mul(floats(g, y), g.mul(scale, g.constant(0.01)))
        return end(g, real if zero_points else g.mul(floats(g, y), g.constant(0.001)))

    return build


def _dynamic(g: GraphBuilder) -> str:
    q, scale, zero = g.node("DynamicQuantizeLinear", [image(g)], 3)
    return end(g, g.node("DequantizeLinear", [q, scale, zero]))


def _matmul_integer_to_float(per_lane: bool, zero_points: bool, bias: bool) -> Build:
    def build(g: GraphBuilder) -> str:
        x = g.relu(tokens(g))
        q, scale, zero = g.node("DynamicQuantizeLinear", [x], 3)
        weight, column, null = _weight(g, (8, 6), 6 if per_lane else 0)
        inputs = [q, weight, scale, column, *([zero, null] if zero_points else [])]
        if bias:
            inputs = [*inputs, *[""] * (6 - len(inputs)), g.bias(6)]
        y = g.node("MatMulIntegerToFloat", inputs, domain=MICROSOFT)
        return end(g, shaped(g, y, (2, 5, 6)))

    return build


def _dynamic_quantize_matmul(per_lane: bool, bias: bool) -> Build:
    def build(g: GraphBuilder) -> str:
        inputs = [tokens(g), *_weight(g, (8, 6), 6 if per_lane else 0)]
        inputs += [g.bias(6)] if bias else []
        y = g.node("DynamicQuantizeMatMul", inputs, domain=MICROSOFT)
        return end(g, shaped(g, y, (2, 5, 6)))

    return build


def _qgemm(per_lane: bool, transposed: bool, bias: bool = True, real: bool = False) -> Build:
    def build(g: GraphBuilder) -> str:
        x = _quantised(g, rows(g))
        weight = _weight(g, (6, 8) if transposed else (8, 6), 6 if per_lane else 0)
        inputs = [*x, *weight, g.constant(_whole_numbers(g, 6)) if bias else ""]
        inputs += [] if real else _parameters(g)
        y = g.node("QGemm", inputs, domain=MICROSOFT, transB=int(transposed), alpha=1.0)
        if real:
            return end(g, shaped(g, y, (2, 6)))
        element = helper.make_tensor_type_proto(onnx.TensorProto.UINT8, (2, 6))
        return end(g, _real(g, typed(g, y, element)))

    return build


# -- blocks of few bits ----------------------------------------------------------------------------


def _n_bits(
    bits: int = 4, zero_points: bool = False, bias: bool = False, flat: bool = True
) -> Build:
    def build(g: GraphBuilder) -> str:
        lanes, out, block = 64, 6, 16
        blocks = lanes // block
        packed = g.random.integers(0, 255, (out, blocks, block * bits // 8)).astype(np.uint8)
        scales = g.random.uniform(0.002, 0.01, out * blocks if flat else (out, blocks))
        inputs = [g.relu(tokens(g, lanes)), g.constant(packed), g.constant(scales)]
        if zero_points:
            count = blocks * bits // 8
            zeros = g.random.integers(100, 150, out * count if flat else (out, count))
            inputs.append(g.constant(zeros.astype(np.uint8)))
        if bias:
            inputs = [*inputs, *[""] * (5 - len(inputs)), g.bias(out)]
        y = g.node(
            "MatMulNBits", inputs, domain=MICROSOFT, K=lanes, N=out, bits=bits, block_size=block
        )
        return end(g, shaped(g, y, (2, 5, out)))

    return build


# -- element by element, pooling, joining ----------------------------------------------------------


def _pair(op: str, vector: bool) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        a = _quantised(g, x)
        other = g.constant(g.random.uniform(0.5, 1.5, (8, 1, 1))) if vector else g.conv(x, 8)
        y = g.node(op, [*a, *_quantised(g, other), *_parameters(g)], domain=MICROSOFT)
        return end(g, _real(g, like(g, y, a[0])))

    return build


def _softmax(axis: int, opset: int) -> Build:
    def build(g: GraphBuilder) -> str:
        x = _quantised(g, image(g))
        small = [g.constant(1 / 256), g.constant(np.uint8(0))]
        inputs = [*x, *small]
        y = g.node("QLinearSoftmax", inputs, domain=MICROSOFT, axis=axis, opset=opset)
        return end(g, g.node("DequantizeLinear", [like(g, y, x[0]), *small]))

    return build


def _concat(axis: int) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        parts = [_quantised(g, y) for y in (g.relu(x), g.conv(x, 5), g.tanh(x))]
        inputs = [*_parameters(g), *(name for part in parts for name in part)]
        y = g.node("QLinearConcat", inputs, domain=MICROSOFT, axis=axis)
        joined = g.concat(*(part[0] for part in parts))
        return end(g, _real(g, like(g, y, joined)))

    return build


def _global_pool(channels_last: int) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        q = _quantised(g, g.transpose(x, 0, 2, 3, 1) if channels_last else x)
        y = g.node(
            "QLinearGlobalAveragePool", [*q, *_parameters(g)], domain=MICROSOFT,
            channels_last=channels_last,
        )  # fmt: skip
        kind = type_of(g, q[0])
        typed(g, y, type(kind).FromString(kind.SerializeToString()))
        spatial = (1, 2) if channels_last else (2, 3)
        for axis in spatial:
            type_of(g, y).tensor_type.shape.dim[axis].dim_value = 1
        real = _real(g, y)
        return end(g, g.transpose(real, 0, 3, 1, 2) if channels_last else real)

    return build


CASES = (
    *forms("QLinearConv", "plain", (10, 13, NEWEST), _qlinear_conv()),
    *forms("QLinearConv", "without bias", (10,), _qlinear_conv(bias=False)),
    *forms("QLinearConv", "grouped", (10, NEWEST), _qlinear_conv(groups=2, per_lane=True)),
    *forms("QLinearConv", "depthwise with multiplier", (10,), _qlinear_conv(16, 8)),
    *forms("ConvInteger", "no zero points", (10, NEWEST), _conv_integer(0)),
    *forms("ConvInteger", "zero point of the image", (10, NEWEST), _conv_integer(1)),
    *forms("ConvInteger", "both zero points", (10, NEWEST), _conv_integer(2)),
    *forms("ConvInteger", "grouped", (10, NEWEST), _conv_integer(2, 2)),
    *forms("QLinearMatMul", "results of layers", (10, NEWEST), _qlinear_matmul_of_layers),
    *forms("MatMulInteger", "no zero points", (11, NEWEST), _matmul_integer(0)),
    *forms("MatMulInteger", "zero point on the left", (11, NEWEST), _matmul_integer(1)),
    *forms("MatMulInteger", "both zero points", (11, NEWEST), _matmul_integer(2)),
    *forms("MatMulInteger", "zero point for every column", (11, NEWEST), _matmul_integer(2, True)),
    *forms("DynamicQuantizeLinear", "there and back", (11, NEWEST), _dynamic),
    *(
        Case(f"com.microsoft::{op}", form, 17, build, cut=cut)
        for op, form, build, cut in (
            ("MatMulIntegerToFloat", "plain", _matmul_integer_to_float(False, True, False), True),
            ("MatMulIntegerToFloat", "bias", _matmul_integer_to_float(True, True, True), True),
            ("MatMulIntegerToFloat", "no zero points", _matmul_integer_to_float(True, False, True),
             True),
            ("DynamicQuantizeMatMul", "plain", _dynamic_quantize_matmul(False, False), True),
            ("DynamicQuantizeMatMul", "scale for every column",
             _dynamic_quantize_matmul(True, True), True),
            ("QGemm", "plain", _qgemm(False, False), True),
            ("QGemm", "transposed weight", _qgemm(True, True), True),
            ("QGemm", "scale for every column", _qgemm(True, False), True),
            ("QGemm", "result of floats", _qgemm(True, True, real=True), True),
            ("QGemm", "without bias", _qgemm(False, True, bias=False), True),
            ("MatMulNBits", "scales in two axes", _n_bits(flat=False), True),
            ("MatMulNBits", "bias", _n_bits(bias=True), True),
            ("MatMulNBits", "zero points of two blocks", _n_bits(zero_points=True), False),
            ("MatMulNBits", "zero points in two axes", _n_bits(4, True, flat=False), False),
            ("MatMulNBits", "eight bits", _n_bits(8, zero_points=True), True),
            ("QLinearAdd", "vector for every channel", _pair("QLinearAdd", True), True),
            ("QLinearAdd", "results of layers", _pair("QLinearAdd", False), True),
            ("QLinearMul", "vector for every channel", _pair("QLinearMul", True), True),
            ("QLinearMul", "results of layers", _pair("QLinearMul", False), True),
            ("QLinearSoftmax", "positions and all behind", _softmax(2, 12), True),
            ("QLinearSoftmax", "channels and all behind", _softmax(-3, 12), False),
            ("QLinearConcat", "from the back", _concat(-3), True),
            ("QLinearGlobalAveragePool", "positions", _global_pool(0), True),
            ("QLinearGlobalAveragePool", "channels last", _global_pool(1), False),
        )
    ),
)  # fmt: skip
