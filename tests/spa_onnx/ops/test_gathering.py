import numpy as np
import pytest

from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import half, half_result, node, operand, reasons, shape, widths

SHUFFLED = [5, 0, 11, 3, 8, 1, 10, 2, 7, 4, 9, 6]


@pytest.mark.parametrize("index", [3, -1, 0])
def test_a_single_lane_stays_and_its_number_follows(index: int) -> None:
    """``x[3]`` is an output: lane 3 stays, and is found where the lanes before it end."""
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 12, 3)
    model = g.model(g.gather(x, index), g.conv(x, 3))
    small = half(model)
    new = operand(small, "Gather", 1)
    assert new.shape == ()
    kept = rows_kept(operand(model, "Conv", 1), operand(small, "Conv", 1))
    assert kept[int(new)] == index % 12


def rows_kept(whole: np.ndarray, sliced: np.ndarray) -> list[int]:
    return [int(np.flatnonzero((whole == row).all(axis=(1, 2, 3)))[0]) for row in sliced]


@pytest.mark.parametrize("indices", [SHUFFLED, SHUFFLED[:10], list(range(12))[::-1]])
def test_chosen_lanes_are_numbered_anew_in_their_order(indices: list[int]) -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 12, 3)
    model = g.model(g.conv(g.gather(x, indices), 3))
    small = half(model)
    before = rows_kept(operand(model, "Conv", 1), operand(small, "Conv", 1))
    chosen = [before[k] for k in operand(small, "Gather", 1)]
    assert chosen == [k for k in indices if k in set(before)]
    assert len(chosen) == shape(small, "Conv", index=1)[1]


def test_repeated_lanes_go_together() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 12, 3)
    small = half(g.model(g.conv(g.gather(x, np.repeat(np.arange(12), 3)), 3)))
    assert operand(small, "Gather", 1).tolist() == np.repeat(np.arange(6), 3).tolist()


def test_lanes_repeated_in_no_pattern_are_fixed() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 12, 3)
    model = g.model(g.conv(g.gather(x, [0, 5, 0, 9, 3, 3, 7, 1, 2, 8, 1, 11, 0]), 3))
    assert "irregular selection" in reasons(model, "weight_1", 0)


def test_a_table_keeps_its_rows_and_loses_columns() -> None:
    g = GraphBuilder(opset=13)
    x = g.embedding(g.input("ids", (2, 5), np.int64), 20, 8)
    model = g.model(g.linear(x, 3))
    assert shape(half(model), "Gather", 0) == (20, 4)
    assert "indexed at run time" in reasons(model, "weight_1", 0)


def test_an_index_array_that_transposes_is_factored() -> None:
    """``(3, 4)`` read by columns; heads or lanes of heads go, and the array is written anew."""
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", (2, 5, 4)), 12)
    y = g.gather(x, np.arange(12).reshape(3, 4).T, axis=2)
    model = g.model(g.linear(g.reshape(y, (0, 0, 12)), 3))
    small = half(model)
    new = operand(small, "Gather", 1)
    rows, columns = new.shape[::-1]
    assert (new == np.arange(rows * columns).reshape(rows, columns).T).all()
    assert rows * columns == 6 or rows * columns == 8
    assert len(widths(model)) == 1


def test_swapped_halves_are_two_runs() -> None:
    """The rotation of rotary embeddings."""
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    y = g.add(x, g.gather(x, [4, 5, 6, 7, 0, 1, 2, 3], axis=2))
    model = g.model(g.linear(y, 3))
    assert widths(model) == [4]
    assert operand(half(model), "Gather", 1).tolist() == [2, 3, 0, 1]


def test_an_index_outside_is_refused() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 12, 3)
    model = g.model(g.conv(g.gather(x, [0, 12]), 3))
    assert "an index outside of 12 lanes" in reasons(model, "weight_1", 0)


def test_gather_nd_passes_trailing_axes() -> None:
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    y = g.node("GatherND", [x, g.constant([[0, 1], [1, 4]])])
    assert shape(half(g.model(g.gemm(y, 3))), "Gemm") == (3, 4)


def test_scattered_rows_share_their_columns() -> None:
    g = GraphBuilder(opset=18)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    rows = g.linear(g.input("u", (3, 4)), 8)
    y = g.node("ScatterND", [x, g.constant([[0, 1], [1, 4], [0, 0]]), rows])
    result = half_result(g.model(g.linear(y, 3)))
    assert len(result.plan.cuts) == 1
    assert node(result.model, "ScatterND").input[2] == rows
