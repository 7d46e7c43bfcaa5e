"""Operators that few models hold: samplers, caches, and what ONNX Runtime fuses or quantises."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.builders import GraphBuilder
from tests.spa_onnx.ops.cases.attention import contrib
from tests.spa_onnx.ops.cases.case import NEWEST, Case, end, forms, image, rows, tokens
from tests.spa_onnx.ops.cases.quantised import numbers, quantised
from tests.spa_onnx.untracked import like, shaped, typed, use

Build = Callable[[GraphBuilder], str]
MICROSOFT = "com.microsoft::"


def _deform(groups: int = 1, offset_groups: int = 1, masked: bool = False) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        offset = g.constant(g.random.uniform(-0.7, 0.7, (2, 18 * offset_groups, 4, 4)))
        mask = [g.constant(g.random.uniform(0.2, 1, (2, 9 * offset_groups, 4, 4)))]
        inputs = [x, g.weight(8, 8 // groups, 3, 3), offset, g.bias(8), *(mask if masked else [])]
        y = g.node(
            "DeformConv", inputs, group=groups, offset_group=offset_groups, kernel_shape=[3, 3]
        )
        return end(g, g.relu(shaped(g, y, (2, 8, 4, 4))))

    return build


def _pointwise_deform(g: GraphBuilder) -> str:
    x = image(g)
    offset = g.conv(g.input("z", (2, 3, 6, 6)), 2, 1)
    y = g.node("DeformConv", [x, g.weight(8, 8, 1, 1), offset], kernel_shape=[1, 1])
    return end(g, g.relu(shaped(g, y, (2, 8, 6, 6))))


def _col2im(g: GraphBuilder) -> str:
    blocks = g.transpose(g.linear(g.input("x", (2, 9, 4)), 8 * 4), 0, 2, 1)
    sizes = [g.constant(np.array([6, 6])), g.constant(np.array([2, 2]))]
    y = g.node("Col2Im", [blocks, *sizes], strides=[2, 2])
    return end(g, g.relu(shaped(g, y, (2, 8, 6, 6))))


def _tensor_scatter(g: GraphBuilder) -> str:
    x = g.transpose(g.reshape(tokens(g), (2, 5, 2, 4)), 0, 2, 1, 3)
    cache = g.constant(g.random.uniform(-1, 1, (2, 2, 9, 4)))
    y = g.node("TensorScatter", [cache, x, g.constant(np.array([1, 3]))])
    flat = g.reshape(g.transpose(like(g, y, cache), 0, 2, 1, 3), (0, 0, 8))
    return end(g, g.relu(flat))


def _cum_prod(g: GraphBuilder) -> str:
    x = tokens(g)
    return end(g, like(g, g.node("CumProd", [x, g.constant(np.array(1))]), x))


def _compress(axis: int | None) -> Build:
    def build(g: GraphBuilder) -> str:
        x = g.input("x", (2, 5, 4))
        wide = g.linear(x, 8)
        chosen = g.node(
            "Greater", [g.reduce("ReduceMax", x, 0, 2, keepdims=False), g.constant(0.9)]
        )
        if axis is None:
            total = g.reduce("ReduceSum", g.node("Compress", [wide, g.constant([True] * 3)]), 0)
            return end(g, g.mul(wide, shaped(g, total, (1,))))
        y = g.node("Compress", [wide, chosen], axis=axis)
        return end(g, g.reduce("ReduceSum", shaped(g, y, (2, 3, 8)), 1))

    return build


def _log_sum(axis: int) -> Build:
    def build(g: GraphBuilder) -> str:
        x = g.node("Exp", [tokens(g)])
        return end(g, g.add(x, g.reduce("ReduceLogSum", x, axis)))

    return build


def _embed(with_mask: bool, segments: bool, extra: bool) -> Build:
    """BERT's embeddings, as the optimiser fuses them, and the residual stream behind them."""

    def build(g: GraphBuilder) -> str:
        ids = g.input("ids", (2, 5), np.int32)
        tables = [g.weight(20, 8, fan_in=1), g.weight(9, 8, fan_in=1)]
        kinds = g.constant(g.random.integers(0, 2, (2, 5)).astype(np.int32)) if segments else ""
        tables.append(g.weight(2, 8, fan_in=1) if segments else "")
        mask = g.constant(np.ones((2, 5), np.int32)) if with_mask else ""
        places = g.constant(g.random.integers(0, 9, (2, 5)).astype(np.int32)) if extra else ""
        inputs = [ids, kinds, *tables, g.scale(8), g.bias(8), mask, places]
        outputs = g.node(
            "EmbedLayerNormalization", inputs, 3 if extra else 2, domain="com.microsoft"
        )
        x = shaped(g, outputs[0], (2, 5, 8))
        if extra:
            x = g.add(x, shaped(g, outputs[2], (2, 5, 8)))
        return end(g, g.relu(g.linear(x, 6)))

    return build


def _causal_conv(g: GraphBuilder) -> tuple[str, str]:
    x = g.transpose(tokens(g), 0, 2, 1)
    inputs = [x, g.weight(8, 1, 3), g.bias(8)]
    y, state = g.node("CausalConvWithState", inputs, 2, domain="com.microsoft", activation="silu")
    flat = g.transpose(like(g, y, x), 0, 2, 1)
    return end(g, flat), g.reduce("ReduceMax", shaped(g, state, (2, 8, 2)), 1)


def _transpose_matmul(g: GraphBuilder) -> str:
    inputs = [tokens(g), g.weight(6, 8, fan_in=8)]
    return end(g, shaped(g, contrib(g, "TransposeMatMul", inputs, transB=1, alpha=0.7), (2, 5, 6)))


def _trilu(g: GraphBuilder) -> str:
    x = g.transpose(g.reshape(tokens(g), (2, 5, 8, 1)), 0, 2, 3, 1)
    y = contrib(g, "Trilu", [g.expand(x, (2, 8, 5, 5))], upper=1)
    total = g.reduce("ReduceSum", shaped(g, y, (2, 8, 5, 5)), 3, keepdims=False)
    return end(g, g.transpose(total, 0, 2, 1))


def _gated(g: GraphBuilder) -> str:
    x = tokens(g)
    gate = g.linear(g.input("z", (2, 5, 4)), 1)
    return end(g, like(g, contrib(g, "GatedAdd", [x, g.relu(x), gate]), x))


def _scaled_silu(g: GraphBuilder) -> str:
    x = tokens(g)
    return end(g, like(g, contrib(g, "ScaledSiLU", [x], alpha=1.5), x))


def _sixteen_bits(g: GraphBuilder) -> str:
    """QDQ nodes of 16 bits, which old opsets have in ONNX Runtime's domain only."""
    x = tokens(g)
    scales = [g.constant(2e-4), g.constant(np.array(0, np.int16))]
    y = contrib(g, "QuantizeLinear", [x, *scales])
    kind = helper.make_tensor_type_proto(TensorProto.INT16, (2, 5, 8))
    back = contrib(g, "DequantizeLinear", [typed(g, y, kind), *scales])
    return end(g, like(g, back, x))


def _real(g: GraphBuilder, y: str, shape: tuple[int, ...]) -> str:
    known = typed(g, y, helper.make_tensor_type_proto(TensorProto.UINT8, shape))
    return g.node("DequantizeLinear", [known, *numbers(g)])


def _q_where(g: GraphBuilder) -> str:
    x = image(g)
    condition = g.constant(g.random.uniform(size=(1, 1, 6, 6)) > 0.5)
    inputs = [condition, *quantised(g, x), *quantised(g, g.relu(x)), *numbers(g)]
    return end(g, _real(g, contrib(g, "QLinearWhere", inputs), (2, 8, 6, 6)))


def _q_pool(g: GraphBuilder) -> str:
    inputs = [*quantised(g, image(g)), *numbers(g)]
    y = contrib(g, "QLinearAveragePool", inputs, kernel_shape=[2, 2], strides=[2, 2])
    return end(g, _real(g, y, (2, 8, 3, 3)))


def _dynamic_lstm(directions: int, lanes: bool, zero: int = 0) -> Build:
    def build(g: GraphBuilder) -> str:
        x = g.tanh(g.linear(g.input("x", (5, 2, 4)), 8))
        shape = (directions, 24) if lanes else (directions,)

        def weight(inner: int) -> str:
            values = g.random.integers(-100, 101, (directions, inner, 24)).astype(np.int8)
            return g.constant(values)

        def scales() -> list[str]:
            scale = g.constant(g.random.uniform(0.003, 0.006, shape))
            return [scale, g.constant(np.full(shape, zero, np.int8))]

        bias = g.constant(g.random.uniform(-0.5, 0.5, (directions, 48)))
        state = g.constant(g.random.uniform(-0.5, 0.5, (directions, 2, 6)))
        inputs = [x, weight(8), weight(6), bias, "", state, "", "", *scales(), *scales()]
        direction = "bidirectional" if directions == 2 else "forward"
        y, last, _ = g.node(
            "DynamicQuantizeLSTM", inputs, 3, domain="com.microsoft", hidden_size=6,
            direction=direction,
        )  # fmt: skip
        joined = g.transpose(shaped(g, y, (5, directions, 2, 6)), 0, 2, 1, 3)
        first = g.linear(g.reshape(joined, (0, 0, directions * 6)), 3)
        return g.add(first, g.reduce("ReduceMax", shaped(g, last, (directions, 2, 6)), 0, 2))

    return build


def _linear(op: str, **attributes: Any) -> Callable[[GraphBuilder], tuple[str, ...]]:
    """A linear model behind a network that it must not starve."""

    def build(g: GraphBuilder) -> tuple[str, ...]:
        use(g, "ai.onnx.ml", 3)
        x = g.gemm(g.relu(rows(g)), 4)
        coefficients = g.random.uniform(-1, 1, 12).astype(np.float32).tolist()
        count = 1 if op == "LinearRegressor" else 2
        made = g.node(
            op, [x], count, domain="ai.onnx.ml", coefficients=coefficients,
            intercepts=[0.1, 0.2, 0.3], **attributes,
        )  # fmt: skip
        return (shaped(g, made if isinstance(made, str) else made[1], (2, 3)),)

    return build


CASES: tuple[Case, ...] = (
    *forms("DeformConv", "plain", (19, 22, NEWEST), _deform()),
    *forms("DeformConv", "groups", (22,), _deform(groups=2)),
    *forms("DeformConv", "offset groups", (22,), _deform(offset_groups=2), cut=False),
    *forms("DeformConv", "mask", (22,), _deform(masked=True)),
    *forms("DeformConv", "pointwise", (22,), _pointwise_deform),
    *forms("Col2Im", "blocks", (18, NEWEST), _col2im),
    *forms("TensorScatter", "steps", (24, NEWEST), _tensor_scatter),
    *forms("CumProd", "steps", (26,), _cum_prod),
    *forms("Compress", "steps", (11, NEWEST), _compress(1), checkable=False),
    *forms("Compress", "flattened", (11, NEWEST), _compress(None), cut=False, checkable=False),
    *forms("ReduceLogSum", "lanes", (11, 13, 18, NEWEST), _log_sum(2)),
    *forms("ReduceLogSum", "positions", (18,), _log_sum(1)),
    Case(MICROSOFT + "EmbedLayerNormalization", "all tables", 17, _embed(True, True, False)),
    Case(MICROSOFT + "EmbedLayerNormalization", "two tables", 17, _embed(False, False, False)),
    Case(MICROSOFT + "EmbedLayerNormalization", "places and sum", 17, _embed(True, True, True)),
    Case(MICROSOFT + "CausalConvWithState", "no past", 17, _causal_conv),
    Case(MICROSOFT + "TransposeMatMul", "weight", 17, _transpose_matmul),
    Case(MICROSOFT + "Trilu", "positions", 17, _trilu),
    Case(MICROSOFT + "GatedAdd", "rows", 17, _gated),
    Case(MICROSOFT + "ScaledSiLU", "alpha", 17, _scaled_silu),
    Case(MICROSOFT + "QuantizeLinear", "sixteen bits", 17, _sixteen_bits),
    Case(MICROSOFT + "DequantizeLinear", "sixteen bits", 17, _sixteen_bits),
    Case(MICROSOFT + "QLinearWhere", "channels", 17, _q_where),
    Case(MICROSOFT + "QLinearAveragePool", "channels", 17, _q_pool),
    Case(MICROSOFT + "DynamicQuantizeLSTM", "one scale", 17, _dynamic_lstm(1, False)),
    Case(MICROSOFT + "DynamicQuantizeLSTM", "scales", 17, _dynamic_lstm(1, True)),
    Case(MICROSOFT + "DynamicQuantizeLSTM", "both ways", 17, _dynamic_lstm(2, False)),
    Case("ai.onnx.ml::LinearRegressor", "three targets", 17, _linear("LinearRegressor", targets=3)),
    Case(
        "ai.onnx.ml::LinearClassifier", "three classes", 17,
        _linear("LinearClassifier", classlabels_ints=[0, 1, 2], post_transform="SOFTMAX"),
    ),
)  # fmt: skip
"""Every case."""
