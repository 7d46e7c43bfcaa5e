import onnx
import pytest

from tests.builders import GraphBuilder
from tests.onnx_runs import random_feeds, run
from tests.spa_onnx.pruned_models import half, reasons, shape, widths


@pytest.mark.parametrize("op", ["max_pool", "average_pool"])
def test_channels_pass_a_pooling_window(op: str) -> None:
    g = GraphBuilder(opset=13)
    x = getattr(g, op)(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3))
    assert shape(half(g.model(g.conv(x, 3))), "Conv") == (4, 3, 3, 3)


def test_positions_under_a_window_are_fixed() -> None:
    g = GraphBuilder(opset=13)
    x = g.transpose(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3), 0, 2, 1, 3)
    model = g.model(g.conv(g.transpose(g.max_pool(x), 0, 2, 1, 3), 3))
    assert "positions under a pooling window" in reasons(model, "weight_1", 0)


def test_positions_of_maxima_are_counted_through_all_channels() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    y, where = g.node("MaxPool", [x], 2, kernel_shape=[2, 2], strides=[2, 2])
    numbers = g.mul(g.node("Cast", [where], to=onnx.TensorProto.FLOAT), g.constant(0.001))
    model = g.model(g.conv(y, 3), g.conv(numbers, 3))
    assert "positions of maxima" in reasons(model, "weight_1", 0)


def test_a_global_mean_keeps_channels_free() -> None:
    g = GraphBuilder(opset=13)
    x = g.global_average_pool(g.conv(g.input("x", (2, 3, "H", "W")), 8, 3))
    model = g.model(g.conv(x, 3))
    assert widths(model) == [8]
    feeds = random_feeds(model, sizes={"H": 7, "W": 9})
    assert run(half(model), feeds)[0].shape == (2, 3, 1, 1)
