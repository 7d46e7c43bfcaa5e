import numpy as np
import pytest

from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import half, operand, reasons, shape, widths


def empty(g: GraphBuilder) -> str:
    return "" if g.opset >= 13 else g.constant(np.empty(0, np.float32))


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_sizes_follow_the_channels(opset: int) -> None:
    g = GraphBuilder(opset=opset)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    y = g.node("Resize", [x, empty(g), empty(g), g.constant([1, 8, 9, 4])])
    small = half(g.model(g.conv(y, 3)))
    assert operand(small, "Resize", 3).tolist() == [1, 4, 9, 4]


@pytest.mark.parametrize("opset", [10, 11, 13, 18])
def test_scales_stay_as_they_are(opset: int) -> None:
    g = GraphBuilder(opset=opset)
    model = g.model(g.conv(g.resize(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)), 3))
    position = 1 if opset == 10 else 2
    assert operand(half(model), "Resize", position).tolist() == [1, 1, 2, 2]


def test_named_axes_leave_the_channels_alone() -> None:
    g = GraphBuilder(opset=18)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    y = g.node("Resize", [x, "", "", g.constant([9, 4])], axes=[2, 3])
    small = half(g.model(g.conv(y, 3)))
    assert operand(small, "Resize", 3).tolist() == [9, 4]


def test_resized_channels_are_fixed() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    scales = g.constant(np.array([1, 2, 1, 1], np.float32))
    model = g.model(g.conv(g.node("Resize", [x, "", scales]), 3))
    assert "resized" in reasons(model, "weight_1", 0)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_keeps_the_pixels_of_a_lane(mode: str) -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 24, 3)
    model = g.model(g.conv(g.depth_to_space(x, 2, mode), 3))
    assert widths(model) == [6]
    assert shape(half(model), "Conv") == (12, 3, 3, 3)


def test_space_to_depth_repeats_lanes_for_every_pixel() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    model = g.model(g.conv(g.node("SpaceToDepth", [x], blocksize=2), 3))
    assert shape(half(model), "Conv", index=1) == (3, 16, 1, 1)
