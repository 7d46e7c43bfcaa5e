import pytest

from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import attribute, half, reasons, shape


def test_batch_normalisation_loses_all_four_vectors() -> None:
    g = GraphBuilder(opset=13)
    x = g.batch_norm(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3))
    small = half(g.model(g.conv(x, 3)))
    assert [shape(small, "BatchNormalization", k) for k in range(1, 5)] == [(4,)] * 4


def test_batch_statistics_of_a_channel_go_with_it() -> None:
    g = GraphBuilder(opset=15)
    x = g.conv(g.input("x", (4, 3, 6, 6)), 8, 3)
    vectors = [g.scale(8), g.bias(8), g.bias(8), g.scale(8)]
    y, _, _ = g.node("BatchNormalization", [x, *vectors], 3, training_mode=1)
    small = half(g.model(g.conv(y, 3)))
    assert [shape(small, "BatchNormalization", k) for k in range(1, 5)] == [(4,)] * 4


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.8])
def test_layer_normalisation_is_over_the_lanes_that_stay(ratio: float) -> None:
    g = GraphBuilder(opset=17)
    x = g.layer_norm(g.linear(g.input("x", (2, 5, 4)), 10))
    small = half(g.model(g.linear(x, 3)), ratio)
    width = round(10 * (1 - ratio))
    assert [shape(small, "LayerNormalization", k) for k in (1, 2)] == [(width,)] * 2


def test_group_normalisation_loses_whole_groups_or_lanes_of_each() -> None:
    g = GraphBuilder(opset=21)
    x = g.group_norm(g.conv(g.input("x", (1, 3, 6, 6)), 12, 3), 3)
    small = half(g.model(g.conv(x, 3)))
    groups = attribute(small, "GroupNormalization", "num_groups")
    width = shape(small, "Conv")[0]
    assert width < 12
    assert width % groups == 0
    assert shape(small, "GroupNormalization") == (width,)


def test_group_normalisation_of_one_group() -> None:
    g = GraphBuilder(opset=21)
    x = g.group_norm(g.conv(g.input("x", (1, 3, 6, 6)), 12, 3), 1)
    small = half(g.model(g.conv(x, 3)))
    assert attribute(small, "GroupNormalization", "num_groups") == 1
    assert shape(small, "GroupNormalization") == (6,)


def test_local_response_looks_at_neighbours() -> None:
    g = GraphBuilder(opset=13)
    x = g.node("LRN", [g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)], size=3)
    assert "neighbouring channels" in reasons(g.model(g.conv(x, 3)), "weight_1", 0)
