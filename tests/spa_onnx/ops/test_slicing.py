import numpy as np
import onnx
import pytest

from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import attribute, half, operand, reasons, shape, widths
from tests.spa_onnx.untracked import like

INT_MAX, INT64_MAX = 2**31 - 1, 2**63 - 1


def sliced(opset: int, start: int, stop: int, step: int = 1) -> onnx.ModelProto:
    """Ten channels, of which a convolution reads a slice."""
    g = GraphBuilder(opset=opset)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 10, 3)
    return g.model(g.conv(g.slice(x, start, stop, step=step), 3))


def bounds(model: onnx.ModelProto, opset: int) -> tuple[int, int]:
    if opset < 10:
        return attribute(model, "Slice", "starts")[0], attribute(model, "Slice", "ends")[0]
    return int(operand(model, "Slice", 1)[0]), int(operand(model, "Slice", 2)[0])


@pytest.mark.parametrize("opset", [9, 10, 13])
@pytest.mark.parametrize("stop", [INT_MAX, INT64_MAX])
def test_a_slice_to_the_end_stays_one(opset: int, stop: int) -> None:
    model = sliced(opset, 6, stop)
    small = half(model)
    start, end = bounds(small, opset)
    assert end == stop
    assert start == shape(small, "Conv")[0] - shape(small, "Conv", index=1)[1]


@pytest.mark.parametrize("opset", [9, 10, 13])
def test_negative_bounds_follow_lanes_that_go_behind_them(opset: int) -> None:
    """``x[:-4]`` is an output and stays whole, so the end moves although the slice does not."""
    g = GraphBuilder(opset=opset)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 10, 3)
    model = g.model(g.slice(x, 0, -4), g.conv(g.slice(x, 6, INT_MAX), 3))
    small = half(model)
    _, end = bounds(small, opset)
    assert end % 8 == 6


@pytest.mark.parametrize("opset", [9, 10, 13])
def test_negative_bounds_choose_the_lanes_counted_from_the_end(opset: int) -> None:
    model = sliced(opset, -7, -2)
    assert widths(model) == [5]
    assert shape(half(model), "Conv", index=1)[1] == 2


def test_lanes_outside_the_slice_stay_for_nobody_asks_for_them() -> None:
    small = half(sliced(13, 2, 7))
    assert (shape(small, "Conv")[0], shape(small, "Conv", index=1)[1]) == (7, 2)


@pytest.mark.parametrize("start", [0, 1, -10, -9])
def test_every_second_lane_makes_pairs(start: int) -> None:
    model = sliced(13, start, INT_MAX, 2)
    small = half(model)
    assert shape(small, "Conv")[0] == 2 * shape(small, "Conv", index=1)[1] < 10


def test_a_reversal_couples_nothing() -> None:
    model = sliced(13, -1, -INT_MAX, -1)
    assert widths(model) == [10]
    assert shape(half(model), "Conv", index=1)[1] == 5


def test_an_axis_and_its_reversal_keep_pairs() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 10, 3)
    y = g.add(x, g.slice(x, -1, None, step=-1))
    small = half(g.model(g.conv(y, 3)), ratio=0.4)
    kept = shape(small, "Conv")[0]
    assert kept < 10
    assert kept % 2 == 0


def test_a_stride_that_does_not_divide_fixes_the_axis() -> None:
    model = sliced(13, 0, INT_MAX, 3)
    assert "sliced in steps of 3" in reasons(model, "weight_1", 0)


def test_a_slice_at_run_time_spoils_only_the_axes_it_names() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 10, 3)
    start = g.input("start", (1,), np.int64)
    y = g.node("Slice", [x, start, g.constant([4]), g.constant([2])])
    like(g, y, x)
    model = g.model(g.node("Conv", [y, g.weight(3, 10, 1, 1)]), check=False)
    assert widths(model) == [10]


# -- Pad -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [9, 11, 18])
def test_a_padded_shortcut_stays_prunable_and_pads_what_is_missing(opset: int) -> None:
    g = GraphBuilder(opset=opset)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    y = g.add(g.pad(x, {1: (3, 5)}), g.conv(x, 16, 3))
    model = g.model(g.conv(g.relu(y), 3))
    assert widths(model) == [3, 5, 8]
    small = half(model)
    pads = attribute(small, "Pad", "pads") if opset < 11 else operand(small, "Pad", 1)
    before, after = int(pads[1]), int(pads[5])
    assert (before, after) == (1, 2)
    assert shape(small, "Conv", index=1)[0] == before + after + shape(small, "Conv")[0]


def test_padding_of_named_axes_stays_named() -> None:
    g = GraphBuilder(opset=18)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    padded = g.node("Pad", [x, g.constant([4, 0]), "", g.constant([1])])
    small = half(g.model(g.conv(g.add(padded, g.conv(x, 12)), 3)))
    assert operand(small, "Pad", 1).shape == (2,)
    assert operand(small, "Pad", 3).tolist() == [1]


def test_reflected_channels_cannot_be_cut() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    inputs = [x, g.constant([0, 1, 0, 0, 0, 1, 0, 0])]
    model = g.model(g.conv(g.node("Pad", inputs, mode="reflect"), 3))
    assert "padded by reflection" in reasons(model, "weight_1", 0)
