import pytest

from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import attribute, half, half_result, reasons, shape


def test_a_depthwise_convolution_keeps_one_lane_a_group() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    small = half(g.model(g.conv(g.conv(x, 8, 3, groups=8), 5)))
    assert attribute(small, "Conv", "group", 1) == 4
    assert shape(small, "Conv", index=1) == (4, 1, 3, 3)


def test_a_depthwise_multiplier_stays_or_is_cut_but_not_both() -> None:
    """Of ``8 * 3`` channels half goes, not three quarters."""
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    small = half(g.model(g.conv(g.conv(x, 24, 3, groups=8), 5)))
    groups = attribute(small, "Conv", "group", 1)
    assert shape(small, "Conv", index=1) == (groups * 3, 1, 3, 3)
    assert (groups, shape(small, "Conv", index=2)) == (4, (5, 12, 1, 1))


def test_a_group_convolution_loses_groups_or_lanes_of_every_group() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 16, 3)
    small = half(g.model(g.conv(g.conv(x, 24, 3, groups=2), 5)))
    groups = attribute(small, "Conv", "group", 1)
    out, lanes, _, _ = shape(small, "Conv", index=1)
    assert (groups, out, lanes) in {(1, 12, 8), (2, 12, 4)}
    assert shape(small, "Conv")[0] == groups * lanes


def test_every_group_may_keep_lanes_of_its_own() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 32, 3)
    model = g.model(g.conv(g.conv(x, 32, 3, groups=2), 5))
    result = half_result(model)
    assert attribute(result.model, "Conv", "group", 1) == 2
    for cut in result.plan.cuts:
        assert cut.rows is not None
        assert len(cut.keep) == 2


def test_group_one_needs_no_attribute_in_the_result() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    x = g.node("Conv", [x, g.weight(6, 8, 1, 1)])
    assert attribute(half(g.model(g.conv(x, 3))), "Conv", "group", 1) is None


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_a_transposed_convolution_stores_inputs_first(groups: int) -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    small = half(g.model(g.conv(g.conv_transpose(x, 16, groups=groups), 5)))
    left = attribute(small, "ConvTranspose", "group")
    rows, columns, _, _ = shape(small, "ConvTranspose")
    assert rows == shape(small, "Conv")[0] == 4
    assert columns * left == shape(small, "Conv", index=1)[1]


def test_a_pointwise_convolution_leaves_its_second_axis_to_others() -> None:
    """Channels that a transpose brought there can be cut."""
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    y = g.conv(g.transpose(x, 0, 2, 1, 3), 4)
    small = half(g.model(g.conv(g.transpose(y, 0, 2, 1, 3), 5)))
    assert shape(small, "Conv") == (4, 3, 3, 3)


def test_a_window_fixes_the_positions_under_it() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    y = g.conv(g.transpose(x, 0, 2, 1, 3), 4, 3)
    model = g.model(g.conv(g.transpose(y, 0, 2, 1, 3), 5))
    assert "positions under a sliding window" in reasons(model, "weight_1", 0)


def test_a_convolution_whose_numbers_disagree_is_refused() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    model = g.model(g.node("Conv", [x, g.weight(4, 5, 1, 1)]), check=False)
    assert "8 channels" in reasons(model, "weight_1", 0)
    assert "disagree" in reasons(model, "weight_1", 0)
