import numpy as np
from onnx import numpy_helper

from tests.builders import GraphBuilder
from tests.onnx_runs import random_feeds, run
from tests.spa_onnx.pruned_models import (
    attribute,
    half,
    half_result,
    node,
    operand,
    shape,
    widths,
)


def test_concat_lays_lanes_end_to_end_in_input_order() -> None:
    """Kept columns of the reader are those of the first input, then those of the second."""
    g = GraphBuilder(opset=13)
    x = g.input("x", (1, 3, 6, 6))
    model = g.model(g.conv(g.concat(g.conv(x, 6), g.conv(x, 10)), 3))
    result = half_result(model)
    first, second = (set(cut.keep[0]) for cut in result.plan.cuts)
    columns = sorted(first) + [6 + lane for lane in sorted(second)]
    whole, small = (operand(m, "Conv", 1, 2) for m in (model, result.model))
    np.testing.assert_array_equal(small, whole[:, columns])


def test_an_empty_part_of_a_concat_is_nothing() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    nothing = g.constant(np.empty((1, 0, 6, 6), np.float32))
    small = half(g.model(g.conv(g.concat(x, nothing), 3)))
    assert shape(small, "Conv", index=1) == (3, 4, 1, 1)


def test_concat_with_a_constant_fixes_nothing_but_the_constant() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    extra = g.weight(1, 2, 6, 6)
    small = half(g.model(g.conv(g.concat(x, extra), 3)))
    assert shape(small, "Conv", index=1) == (3, 6, 1, 1)
    assert shape(small, "Concat") == (1, 2, 6, 6)


def test_a_split_with_sizes_gets_new_sizes() -> None:
    for opset in (11, 13):
        g = GraphBuilder(opset=opset)
        x = g.conv(g.input("x", (1, 3, 6, 6)), 10, 3)
        a, b = g.split(x, [4, 6])
        small = half(g.model(g.add(g.conv(a, 3), g.conv(b, 3))))
        sizes = attribute(small, "Split", "split") if opset < 13 else operand(small, "Split", 1)
        assert list(sizes) == [2, 3]


def test_a_default_split_stays_default_while_parts_are_equal() -> None:
    g = GraphBuilder(opset=13)
    a, b = g.node("Split", [g.linear(g.input("x", (2, 4)), 8)], 2, axis=1)
    small = half(g.model(g.gemm(g.mul(a, g.sigmoid(b)), 3)))
    assert len(node(small, "Split").input) == 1


def test_a_default_split_names_its_sizes_when_parts_become_unequal() -> None:
    for opset in (11, 13, 18):
        g = GraphBuilder(opset=opset)
        x = g.linear(g.input("x", (2, 4)), 8)
        number = 2 if opset >= 18 else None
        a, b = g.node("Split", [x], 2, axis=1, num_outputs=number)
        small = half(g.model(a, g.gemm(b, 3)))  # the first part is an output and stays whole
        sizes = attribute(small, "Split", "split") if opset < 13 else operand(small, "Split", 1)
        assert list(sizes) == [4, 2]
        assert attribute(small, "Split", "num_outputs") is None


def test_a_number_of_outputs_makes_the_last_part_smaller() -> None:
    g = GraphBuilder(opset=18)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    parts = g.node("Split", [x], 3, axis=1, num_outputs=3)
    model = g.model(*(g.conv(part, 2) for part in parts))
    assert widths(model) == [2, 3, 3]


def test_parts_of_a_split_are_cut_alone() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 10, 3)
    a, b = g.split(x, [4, 6])
    model = g.model(a, g.conv(b, 3))
    assert widths(model) == [6]


def test_split_outputs_hold_the_lanes_of_their_part() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 10, 3)
    a, b = g.split(x, [4, 6])
    model = g.model(a, g.conv(g.relu(b), 3))
    small = half(model)
    feeds = random_feeds(model)
    np.testing.assert_allclose(run(small, feeds)[0], run(model, feeds)[0], rtol=1e-5, atol=1e-6)
    assert {t.name for t in small.graph.initializer} >= {"weight_1"}
    assert numpy_helper.to_array(small.graph.initializer[0]).shape[0] == 7
