import pytest

from spa_onnx.algebra.expression import is_fixed, size_of
from spa_onnx.algebra.size import symbol
from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import half, operand, shape, widths


def test_an_expanded_axis_follows_the_channels_it_meets() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    row = g.expand(g.constant([[[[0.3]]]]), (1, 8, 1, 1))
    small = half(g.model(g.conv(g.relu(g.add(x, row)), 3)))
    assert operand(small, "Expand", 1).tolist() == [1, 4, 1, 1]


def test_an_expanded_head_axis_gives_grouped_queries() -> None:
    """Two heads of keys, each for two of queries: what goes from one goes from both."""
    g = GraphBuilder(opset=13)
    x = g.input("x", (2, 5, 6))
    key = g.reshape(g.linear(x, 16), (2, 5, 2, 1, 8))
    heads = g.reshape(g.expand(key, (2, 5, 2, 2, 8)), (2, 5, 32))
    model = g.model(g.linear(g.mul(heads, g.linear(x, 32)), 3))
    small = half(model)
    keys, queries = shape(small, "MatMul")[1], shape(small, "MatMul", index=1)[1]
    assert (keys < 16, queries % keys) == (True, 0)


@pytest.mark.parametrize("repeats", [2, 3])
def test_a_tiled_axis_is_the_axis_again_and_again(repeats: int) -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    tiled = g.node("Tile", [x, g.constant([1, repeats, 1, 1])])
    model = g.model(g.conv(g.relu(tiled), 3))
    small = half(model)
    assert widths(model) == [8]
    assert operand(small, "Tile", 1).tolist() == [1, repeats, 1, 1]
    assert shape(small, "Conv", index=1)[1] == 4 * repeats


def test_a_tiled_single_lane_grows_to_what_it_meets() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    row = g.node("Tile", [g.constant([[[[0.3]]]]), g.constant([1, 8, 1, 1])])
    small = half(g.model(g.conv(g.relu(g.add(x, row)), 3)))
    assert operand(small, "Tile", 1).tolist() == [1, 4, 1, 1]


def test_a_filled_tensor_has_the_new_shape() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    zeros = g.node("ConstantOfShape", [g.constant([1, 8, 1, 1])])
    small = half(g.model(g.conv(g.relu(g.add(x, zeros)), 3)))
    assert operand(small, "ConstantOfShape", 0).tolist() == [1, 4, 1, 1]


def test_a_range_to_a_dynamic_limit_has_its_length() -> None:
    import spa_onnx

    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", ("N", "T", 4)), 8)
    length = g.gather(g.node("Shape", [x]), 1, axis=0)
    positions = g.node("Range", [g.constant(0), length, g.constant(1)])
    model = g.model(g.linear(g.add(x, g.embedding(positions, 30, 8)), 3))
    axes = spa_onnx.analyze(model).propagation.axes_of(positions)
    assert axes is not None
    assert size_of(axes[0]) == symbol("T")
    assert is_fixed(axes[0])
