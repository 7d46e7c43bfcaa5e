import numpy as np
import pytest

from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import half, reasons, shape, widths


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2"])
@pytest.mark.parametrize("opset", [11, 18])
def test_reduced_channels_can_be_cut(op: str, opset: int) -> None:
    g = GraphBuilder(opset=opset)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    small = half(g.model(g.conv(g.mul(x, g.reduce(op, x, 1)), 3)))
    assert shape(small, "Conv") == (4, 3, 3, 3)


def test_reduced_axes_vanish_or_stay_as_one() -> None:
    for keepdims in (True, False):
        g = GraphBuilder(opset=13)
        x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
        y = g.reduce("ReduceMean", x, 2, 3, keepdims=keepdims)
        model = g.model(g.conv(y, 3) if keepdims else g.gemm(y, 3))
        assert widths(model) == [8]


def test_softmax_over_lanes_sees_only_those_that_stay() -> None:
    for opset in (11, 13):
        g = GraphBuilder(opset=opset)
        x = g.softmax(g.gemm(g.input("x", (2, 4)), 8), 1)
        assert shape(half(g.model(g.gemm(x, 3))), "Gemm", index=1) == (3, 4)


@pytest.mark.parametrize(
    ("op", "why"),
    [("ArgMax", "the numbers of chosen lanes are read as data"), ("Hardmax", "one lane is chosen")],
)
def test_positions_as_results_fix_the_axis(op: str, why: str) -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    y = g.node("Cast", [g.node(op, [x], axis=1)], to=1)
    assert why in reasons(g.model(g.conv(g.add(x, y), 3)), "weight_1", 0)


def test_cumulated_lanes_cannot_be_cut_but_others_can() -> None:
    for axis, expected in ((1, []), (2, [8])):
        g = GraphBuilder(opset=13)
        x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
        model = g.model(g.conv(g.node("CumSum", [x, g.constant(np.array(axis))]), 3))
        assert widths(model) == expected


def test_the_k_best_of_an_axis_leave_the_others_free() -> None:
    for axis, expected in ((1, []), (3, [8])):
        g = GraphBuilder(opset=13)
        x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
        best, _ = g.node("TopK", [x, g.constant([3])], 2, axis=axis)
        assert widths(g.model(g.conv(best, 3))) == expected
