"""Operators that mix lanes: reductions, normalisations, pooling, resampling."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper

from tests.builders import GraphBuilder
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
from tests.spa_onnx.untracked import append, like

Build = Callable[[GraphBuilder], str]

# -- reductions ------------------------------------------------------------------------------------


def _reduce(op: str, *axes: int, keepdims: bool = True) -> Build:
    def build(g: GraphBuilder) -> str:
        x = g.sigmoid(image(g))
        y = g.reduce(op, x, *axes, keepdims=keepdims)
        if keepdims and (1 in axes or -3 in axes):
            return end(g, g.mul(x, y))
        return end(g, y) if len(g.shape(y)) in (2, 4) else end(g, g.transpose(y, 0, 2, 1))

    return build


def _reduce_everything(g: GraphBuilder) -> str:
    x = g.sigmoid(rows(g))
    return end(g, g.mul(x, g.node("ReduceMean", [x], keepdims=0)))


def _reduce_nothing(g: GraphBuilder) -> str:
    x = g.sigmoid(rows(g))
    inputs = [x, g.constant(np.empty(0, np.int64))]
    return end(g, g.node("ReduceSum", inputs, noop_with_empty_axes=1))


def _softmax(op: str, axis: int) -> Build:
    def build(g: GraphBuilder) -> str:
        return end(g, g.node(op, [image(g)], axis=axis))

    return build


def _softmax_default(g: GraphBuilder) -> str:
    return end(g, g.node("Softmax", [rows(g)]))


def _arg(op: str, axis: int, **more: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        best = floats(g, g.node(op, [x], axis=axis, keepdims=1, **more))
        return end(g, g.add(x, g.mul(best, g.constant(0.1))))

    return build


def _top_k(axis: int) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        if g.opset < 10:
            values, _ = g.node("TopK", [x], 2, k=3, axis=axis)
        else:
            values, _ = g.node("TopK", [x, g.constant([3])], 2, axis=axis)
        return end(g, values)

    return build


def _cumsum(axis: int) -> Build:
    def build(g: GraphBuilder) -> str:
        return end(g, g.node("CumSum", [image(g), g.constant(np.array(axis))]))

    return build


def _reverse(g: GraphBuilder) -> str:
    lengths = g.constant([3, 5])
    return end(g, g.node("ReverseSequence", [tokens(g), lengths], time_axis=1, batch_axis=0))


def _trilu(g: GraphBuilder) -> str:
    x = g.conv(g.input("x", (2, 3, 5, 5)), 8, 3)
    return end(g, g.node("Trilu", [x], upper=0))


def _one_hot(g: GraphBuilder) -> str:
    inputs = [g.input("ids", (2, 5), np.int64), g.constant(np.array(20)), g.constant([0.0, 1.0])]
    return end(g, g.relu(g.linear(g.node("OneHot", inputs), 8)))


def _mean_variance(axes: list[int]) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        return end(g, like(g, g.node("MeanVarianceNormalization", [x], axes=axes), x))

    return build


def _reverse_default(g: GraphBuilder) -> str:
    x = g.transpose(tokens(g), 1, 0, 2)
    return end(g, g.relu(g.node("ReverseSequence", [x, g.constant([4, 3])])))


# -- normalisations --------------------------------------------------------------------------------


def _batch_norm(**attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        vectors = [g.scale(8), g.bias(8), g.bias(8), g.scale(8)]
        return end(g, g.relu(g.node("BatchNormalization", [x, *vectors], **attributes)))

    return build


def _layer_norm(op: str, axis: int, bias: bool) -> Build:
    def build(g: GraphBuilder) -> str:
        x = tokens(g)
        shape = g.shape(x)[axis:]
        scale = g.constant(g.random.uniform(0.5, 1.5, shape))
        shift = [g.constant(g.random.uniform(-1, 1, shape))] if bias else []
        y = g.node(op, [x, scale, *shift], axis=axis)
        return end(g, like(g, y, x))

    return build


def _instance_norm(g: GraphBuilder) -> str:
    return end(g, g.instance_norm(image(g)))


def _group_norm(g: GraphBuilder) -> str:
    x = image(g)
    length = 2 if g.opset < 21 else 8
    inputs = [x, g.scale(length), g.bias(length)]
    # Not by the builder: ONNX deprecated version 18, ONNX Runtime runs it.
    append(g, helper.make_node("GroupNormalization", inputs, ["normed"], num_groups=2))
    return end(g, like(g, "normed", x))


def _lp_norm(axis: int, p: int) -> Build:
    def build(g: GraphBuilder) -> str:
        return end(g, g.node("LpNormalization", [image(g)], axis=axis, p=p))

    return build


def _lrn(g: GraphBuilder) -> str:
    return end(g, g.node("LRN", [image(g)], size=3))


# -- pooling and resampling ------------------------------------------------------------------------


def _pool(op: str, **attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        attributes.setdefault("kernel_shape", [2, 2])
        return end(g, g.node(op, [image(g, size=7)], **attributes))

    return build


def _global_pool(op: str) -> Build:
    def build(g: GraphBuilder) -> str:
        return end(g, g.node(op, [image(g)]))

    return build


def _upsample(g: GraphBuilder) -> str:
    x = image(g)
    if g.opset < 9:
        return end(g, g.node("Upsample", [x], scales=[1.0, 1.0, 2.0, 2.0], mode="nearest"))
    return end(g, g.resize(x))


def _resize(g: GraphBuilder) -> str:
    return end(g, g.resize(image(g)))


def _resize_by(*scales: float, **attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        region = "" if g.opset >= 13 else g.constant(np.empty(0, np.float32))
        factors = g.constant(np.array(scales, np.float32))
        return end(g, g.node("Resize", [image(g), region, factors], **attributes))

    return build


def _resize_to(*sizes: int, **attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        empty = g.constant(np.empty(0, np.float32))
        region, factors = ("", "") if g.opset >= 13 else (empty, empty)
        inputs = [image(g), region, factors, g.constant(list(sizes))]
        return end(g, g.node("Resize", inputs, **attributes))

    return build


def _depth_to_space(mode: str | None) -> Build:
    def build(g: GraphBuilder) -> str:
        y = g.node("DepthToSpace", [image(g, 24)], blocksize=2, mode=mode)
        return end(g, g.relu(y))

    return build


def _space_to_depth(g: GraphBuilder) -> str:
    return end(g, g.relu(g.node("SpaceToDepth", [image(g)], blocksize=2)))


REDUCTIONS = (
    "ReduceMean ReduceSum ReduceSumSquare ReduceL1 ReduceL2 ReduceProd ReduceMax ReduceMin "
    "ReduceLogSumExp"
)
CASES = (
    *(
        case
        for op in REDUCTIONS.split()
        for case in (
            *forms(op, "channels", (7, 13, 18, NEWEST), _reduce(op, 1)),
            *forms(op, "positions", (7, NEWEST), _reduce(op, 2, 3, keepdims=False)),
        )
    ),
    *forms("ReduceMax", "all behind the batch", (7, 18), _reduce("ReduceMax", 1, 2, 3)),
    *forms("ReduceMean", "from the back", (11, 18), _reduce("ReduceMean", -3)),
    *forms("ReduceMean", "every axis by default", (7, 18, NEWEST), _reduce_everything),
    *forms("ReduceSum", "no axis", (13, NEWEST), _reduce_nothing),
    *forms("Softmax", "channels", (13, NEWEST), _softmax("Softmax", 1)),
    *forms("Softmax", "channels and all behind", (7, 11), _softmax("Softmax", 1)),
    *forms("Softmax", "last axis", (7, 13), _softmax("Softmax", 3)),
    *forms("Softmax", "default", (7, 11, 13, NEWEST), _softmax_default),
    *forms("LogSoftmax", "channels", (13, NEWEST), _softmax("LogSoftmax", -3)),
    *forms("LogSoftmax", "channels and all behind", (7, 11), _softmax("LogSoftmax", 1)),
    *(
        case
        for op in ("ArgMax", "ArgMin")
        for case in (
            *forms(op, "channels", (7, NEWEST), _arg(op, 1), cut=False),
            *forms(op, "positions", (7, NEWEST), _arg(op, 2)),
            *forms(op, "last of equals", (12,), _arg(op, -1, select_last_index=1)),
        )
    ),
    *forms("TopK", "positions", (7, 10, 11, NEWEST), _top_k(2)),
    *forms("TopK", "channels", (11,), _top_k(1), cut=False),
    *forms("CumSum", "positions", (11, NEWEST), _cumsum(2)),
    *forms("CumSum", "channels", (11, 14), _cumsum(-3), cut=False),
    *forms("ReverseSequence", "first axis", (10, NEWEST), _reverse_default),
    *forms("Hardmax", "channels", (7, 13), _softmax("Hardmax", 1), cut=False),
    *forms("Hardmax", "last axis", (7, 13, NEWEST), _softmax("Hardmax", 3)),
    *forms("ReverseSequence", "steps", (10, NEWEST), _reverse),
    *forms("Trilu", "positions", (14, NEWEST), _trilu),
    *forms("OneHot", "of numbers", (9, 11, NEWEST), _one_hot),
    *forms("MeanVarianceNormalization", "every channel", (9, NEWEST), _mean_variance([0, 2, 3])),
    *forms("MeanVarianceNormalization", "positions from the back", (9,), _mean_variance([-1, -2])),
    *forms("MeanVarianceNormalization", "over channels", (13,), _mean_variance([1, 2, 3])),
    *forms("BatchNormalization", "inference", (7, 9, 14, 15, NEWEST), _batch_norm()),
    *forms("BatchNormalization", "spatial", (7,), _batch_norm(spatial=1)),
    *forms(
        "LayerNormalization", "features", (17, NEWEST), _layer_norm("LayerNormalization", -1, True)
    ),
    *forms("LayerNormalization", "no bias", (17,), _layer_norm("LayerNormalization", 2, False)),
    *forms("LayerNormalization", "two axes", (17,), _layer_norm("LayerNormalization", 1, True)),
    *forms(
        "RMSNormalization", "features", (23, NEWEST), _layer_norm("RMSNormalization", -1, False)
    ),
    Case(
        "SimplifiedLayerNormalization",
        "features",
        17,
        _layer_norm("SimplifiedLayerNormalization", -1, False),
        checkable=False,
    ),
    *forms("InstanceNormalization", "channels", (7, NEWEST), _instance_norm),
    Case("GroupNormalization", "two groups", 18, _group_norm, checkable=False),
    *forms("GroupNormalization", "two groups", (21, NEWEST), _group_norm),
    *forms("LpNormalization", "channels", (7, NEWEST), _lp_norm(1, 2)),
    *forms("LpNormalization", "sum of magnitudes", (7,), _lp_norm(1, 1)),
    *forms("LpNormalization", "positions", (7,), _lp_norm(-1, 2)),
    *forms("LRN", "channels", (7, 13, NEWEST), _lrn, cut=False),
    *forms("MaxPool", "plain", (7, 8, 10, 12, NEWEST), _pool("MaxPool")),
    *forms("MaxPool", "rounded up", (10, 12), _pool("MaxPool", ceil_mode=1, strides=[2, 2])),
    *forms("MaxPool", "dilated", (10,), _pool("MaxPool", dilations=[2, 2], pads=[1, 1, 0, 0])),
    *forms("MaxPool", "same upper", (7,), _pool("MaxPool", auto_pad="SAME_UPPER", strides=[2, 2])),
    *forms("AveragePool", "plain", (7, 10, 11, 19, NEWEST), _pool("AveragePool")),
    *forms(
        "AveragePool", "padded", (7, 19),
        _pool("AveragePool", pads=[1, 1, 1, 1], strides=[2, 2], count_include_pad=1),
    ),
    *forms(
        "AveragePool", "rounded up", (10, 19),
        _pool("AveragePool", ceil_mode=1, strides=[2, 2], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
    ),
    *forms("LpPool", "plain", (7, 11, 18, NEWEST), _pool("LpPool")),
    *(
        case
        for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
        for case in forms(op, "positions", (7, 21 if "Lp" in op else NEWEST), _global_pool(op))
    ),
    *forms("Upsample", "scales", (7, 9), _upsample),
    *forms("Resize", "scales", (10, 11, 13, 18, NEWEST), _resize),
    *forms("Resize", "linear", (11, 13, NEWEST), _resize_by(1, 1, 1.5, 0.6, mode="linear")),
    *forms("Resize", "sizes", (11, 13, NEWEST), _resize_to(2, 8, 9, 4)),
    *forms("Resize", "named axes", (18, NEWEST), _resize_to(9, 4, axes=[2, 3])),
    *forms("Resize", "channels", (13,), _resize_by(1, 2, 1, 1), cut=False),
    *forms("DepthToSpace", "depth first", (7, 11, 13, NEWEST), _depth_to_space(None)),
    *forms("DepthToSpace", "columns first", (11, 13, NEWEST), _depth_to_space("CRD")),
    *forms("SpaceToDepth", "channels", (7, 13, NEWEST), _space_to_depth),
)  # fmt: skip
