import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx.algebra.expression import sizes_of
from spa_onnx.algebra.size import symbol
from tests.builders import GraphBuilder
from tests.onnx_runs import random_feeds, run
from tests.spa_onnx.pruned_models import half, reasons, shape, widths
from tests.spa_onnx.untracked import append, like


def test_dynamic_axes_are_named_by_the_model() -> None:
    g = GraphBuilder(opset=13)
    x = g.input("x", ("N", 3, 6, 6))
    y = g.conv(x, 8, 3)
    axes = spa_onnx.analyze(g.model(g.conv(y, 3))).propagation.axes_of(y)
    assert axes is not None
    assert sizes_of(axes) == (symbol("N"), 8, 6, 6)


def test_a_nameless_dynamic_axis_is_named_after_its_tensor() -> None:
    g = GraphBuilder(opset=13)
    model = g.model(g.conv(g.conv(g.input("x", ("N", 3, 6, 6)), 8, 3), 3))
    model.graph.input[0].type.tensor_type.shape.dim[0].ClearField("dim_param")
    axes = spa_onnx.analyze(model).propagation.axes_of("x")
    assert axes is not None
    assert sizes_of(axes)[0] == symbol("x:0")
    assert shape(half(model), "Conv") == (4, 3, 3, 3)


def test_shapes_given_by_the_user_are_numbers() -> None:
    g = GraphBuilder(opset=13)
    model = g.model(g.conv(g.conv(g.input("x", ("N", 3, 6, 6)), 8, 3), 3))
    analysis = spa_onnx.analyze(model, input_shapes={"x": (5, 3, 6, 6)})
    axes = analysis.propagation.axes_of("x")
    assert axes is not None
    assert sizes_of(axes) == (5, 3, 6, 6)


def test_shape_arithmetic_is_followed_by_value() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", ("N", 3, "H", "W")), 8, 3)
    lengths = g.node("Shape", [x])
    positions = g.mul(g.gather(lengths, [2], 0), g.gather(lengths, [3], 0))
    target = g.concat(g.gather(lengths, [0, 1], 0), positions, axis=0)
    y = g.transpose(g.node("Reshape", [x, target]), 0, 2, 1)
    model = g.model(g.linear(y, 3))
    assert widths(model) == [8]
    small = half(model)
    for sizes in ({"N": 1, "H": 5, "W": 7}, {"N": 3, "H": 9, "W": 4}):
        feeds = random_feeds(model, sizes=sizes)
        assert run(small, feeds)[0].shape == (sizes["N"], sizes["H"] * sizes["W"], 3)


def test_a_length_that_scales_data_keeps_its_original_value() -> None:
    """The scale of attention, computed from the width of a head."""
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", (2, 5, 4)), 16)
    width = g.node("Cast", [g.gather(g.node("Shape", [x]), [2], 0)], to=onnx.TensorProto.FLOAT)
    model = g.model(g.linear(g.div(x, g.node("Sqrt", [width])), 3))
    small = half(model)
    feeds = random_feeds(model)
    rescaled = run(small, feeds)[0]
    assert rescaled.shape == (2, 5, 3)
    assert widths(model) == [16]


def test_a_dynamic_length_used_as_data_fixes_what_it_counts() -> None:
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", ("N", "T", 4)), 8)
    flat = g.node("Reshape", [x, g.constant([0, -1])])  # (N, 8 T)
    length = g.node("Cast", [g.gather(g.node("Shape", [flat]), [1], 0)], to=1)
    model = g.model(g.linear(g.div(x, length), 3))
    assert "its length is used as data" in reasons(model, "const_1", 1)


def test_a_length_that_is_an_output_is_fixed() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    model = g.model(g.conv(x, 3), g.node("Shape", [x]))
    assert widths(model) == []
    assert "its length is an output" in reasons(model, "weight_1", 0)


def test_tensors_that_do_not_fit_the_specification_are_refused_not_followed() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    y = g.node("Transpose", [x], perm=[0, 1, 2, 3])
    model = g.model(g.conv(y, 3))
    model.graph.node[1].attribute[0].ints[:] = [0, 1]
    assert "perm [0, 1] for rank 4" in reasons(model, "weight_1", 0)


@pytest.mark.parametrize("branch", [True, False])
def test_branches_of_an_if_are_cut_like_the_rest(branch: bool) -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    flag = g.input("flag", (), np.bool_)
    parts = [
        onnx.helper.make_graph(
            [onnx.helper.make_node(op, [x], [f"{op}_out"])],
            op,
            [],
            [onnx.helper.make_tensor_value_info(f"{op}_out", 1, (1, 8, 6, 6))],
        )
        for op in ("Relu", "Tanh")
    ]
    append(
        g, onnx.helper.make_node("If", [flag], ["y"], then_branch=parts[0], else_branch=parts[1])
    )
    like(g, "y", x)
    model = g.model(g.conv("y", 3))
    small = half(model)
    assert shape(small, "Conv") == (4, 3, 3, 3)
    feeds = {"x": np.ones((1, 3, 6, 6), np.float32), "flag": np.array(branch)}
    assert run(small, feeds)[0].shape == (1, 3, 6, 6)
