import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.algebra.size import Size, symbol
from spa_onnx.ops.reshaping import target_shape
from spa_onnx.ops.rule import RefusalError
from tests.builders import GraphBuilder
from tests.onnx_runs import random_feeds, run
from tests.spa_onnx.pruned_models import attribute, half, node, operand, reasons, shape, widths

N, T = symbol("N"), symbol("T")

# -- the arithmetic of shapes ----------------------------------------------------------------------


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.data())
def test_a_rest_is_what_numpy_makes_of_it(given_shape: list[int], data: st.DataObject) -> None:
    array = np.empty(given_shape)
    order = data.draw(st.permutations(given_shape))
    asked = list(order)
    asked[data.draw(st.integers(0, len(asked) - 1))] = -1
    assert tuple(target_shape(given_shape, asked, allow_zero=False)) == array.reshape(asked).shape


@pytest.mark.parametrize(
    ("have", "asked", "shape"),
    [
        ((N, T, 12), (0, 0, 3, 4), (N, T, 3, 4)),
        ((N, T, 12), (0, -1), (N, 12 * T)),
        ((N, T, 12), (-1, 12), (N * T, 12)),
        ((N * T, 12), (N, -1, 12), (N, T, 12)),
        ((N, 2 * T, 6), (N, T, -1), (N, T, 12)),
        ((N, 8, 7, 7), (N, 392), (N, 392)),
    ],
)
def test_symbols_are_copied_divided_and_multiplied(
    have: tuple[Size, ...], asked: tuple[Size, ...], shape: tuple[Size, ...]
) -> None:
    assert tuple(target_shape(have, asked, allow_zero=False)) == shape


def test_zero_copies_unless_it_is_allowed() -> None:
    assert target_shape([2, 3], [0, 3], allow_zero=False) == [2, 3]
    assert target_shape([0, 3], [3, 0], allow_zero=True) == [3, 0]


@pytest.mark.parametrize(("have", "asked"), [([2, 3], [4]), ([2, 3], [4, -1]), ([N, 3], [4, -1])])
def test_shapes_of_other_sizes_are_refused(have: list[Size], asked: list[Size]) -> None:
    with pytest.raises(RefusalError, match="shape"):
        target_shape(have, asked, allow_zero=False)


# -- Reshape ---------------------------------------------------------------------------------------


def reshaped(asked: list[int], opset: int = 13, allowzero: int | None = None) -> onnx.ModelProto:
    """Eight channels of 36 positions, written otherwise and read by a Gemm."""
    g = GraphBuilder(opset=opset)
    x = g.conv(g.input("x", (2, 3, 6, 6)), 8, 3)
    y = g.node("Reshape", [x, g.constant(asked)], allowzero=allowzero)
    return g.model(g.gemm(y, 3))


@pytest.mark.parametrize(
    ("asked", "new"),
    [([2, 288], [2, 144]), ([0, -1], [0, -1]), ([-1, 288], [-1, 144]), ([0, 288], [0, 144])],
)
def test_numbers_are_recomputed_and_0_and_minus_1_stay(asked: list[int], new: list[int]) -> None:
    small = half(reshaped(asked))
    assert operand(small, "Reshape", 1).tolist() == new
    assert shape(small, "Gemm") == (3, 144)


def test_a_zero_that_is_a_number_stays_one() -> None:
    small = half(reshaped([2, 288], opset=14, allowzero=1))
    assert operand(small, "Reshape", 1).tolist() == [2, 144]
    assert attribute(small, "Reshape", "allowzero") == 1


def test_a_zero_whose_source_is_cut_otherwise_becomes_a_number() -> None:
    """The copied axis belongs to another dim than the axis in its place."""
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", (5, 4)), 8)  # (5, 8)
    y = g.reshape(g.transpose(x, 1, 0), (0, 5))  # copies 8, which is cut
    small = half(g.model(g.gemm(g.transpose(y, 1, 0), 3)))
    assert operand(small, "Reshape", 1).tolist() in ([0, 5], [4, 5])


def test_heads_are_kept_whole_or_cut_evenly() -> None:
    g = GraphBuilder(opset=13)
    x = g.reshape(g.linear(g.input("x", (2, 5, 4)), 12), (0, 0, 3, 4))
    y = g.matmul(g.transpose(x, 0, 2, 1, 3), g.weight(3, 4, 6, fan_in=4))
    z = g.reshape(g.transpose(y, 0, 2, 1, 3), (0, 0, 18))
    small = half(g.model(g.linear(z, 3)))
    heads, depth = operand(small, "Reshape", 1).tolist()[2:]
    assert heads * depth == shape(small, "MatMul")[1] < 12


def test_one_constant_may_serve_two_reshapes_that_become_different() -> None:
    g = GraphBuilder(opset=13)
    asked = g.constant([0, -1, 36])
    x = g.input("x", (2, 3, 6, 6))
    ys = [g.node("Reshape", [g.conv(x, 8, 3), asked]) for _ in range(2)]
    y = g.concat(*(g.transpose(y, 0, 2, 1) for y in ys), axis=2)
    small = half(g.model(g.linear(y, 3)))
    assert shape(small, "MatMul") == (8, 3)


@pytest.mark.parametrize("sizes", [{"N": 1, "T": 3}, {"N": 4, "T": 7}])
def test_a_dynamic_sequence_stays_dynamic(sizes: dict[str, int]) -> None:
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", ("N", "T", 4)), 12)
    length = g.node("Shape", [x])
    parts = [g.gather(length, [k], axis=0) for k in (0, 1)]
    split = g.node("Reshape", [x, g.concat(*parts, g.constant([3, 4]), axis=0)])
    joined = g.node("Reshape", [split, g.concat(*parts, g.constant([12]), axis=0)])
    model = g.model(g.linear(joined, 3))
    small = half(model)
    feeds = random_feeds(model, sizes=sizes)
    assert run(small, feeds)[0].shape == (sizes["N"], sizes["T"], 3)


def test_lanes_that_become_positions_cannot_be_cut() -> None:
    g = GraphBuilder(opset=13)
    x = g.reshape(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3), (1, 36, 8))
    assert widths(g.model(g.linear(x, 3))) == []


# -- Flatten, Squeeze, Unsqueeze, Transpose --------------------------------------------------------


def test_flatten_multiplies_channels_with_positions() -> None:
    g = GraphBuilder(opset=13)
    x = g.flatten(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3))
    assert shape(half(g.model(g.gemm(x, 3))), "Gemm") == (3, 4 * 36)


@pytest.mark.parametrize("opset", [13, 21])
def test_squeeze_names_its_axes_when_another_axis_becomes_one(opset: int) -> None:
    g = GraphBuilder(opset=opset)
    x = g.global_average_pool(g.conv(g.input("x", (2, 3, 6, 6)), 4, 3))
    small = half(g.model(g.gemm(g.node("Squeeze", [x]), 3)), ratio=0.75)
    assert operand(small, "Squeeze", 1).tolist() == [2, 3]


@pytest.mark.parametrize("opset", [11, 13])
def test_squeeze_without_axes_stays_so_where_it_is_clear(opset: int) -> None:
    g = GraphBuilder(opset=opset)
    x = g.global_average_pool(g.conv(g.input("x", (2, 3, 6, 6)), 8, 3))
    small = half(g.model(g.gemm(g.node("Squeeze", [x]), 3)))
    assert len(node(small, "Squeeze").input) == 1
    assert attribute(small, "Squeeze", "axes") is None


def test_a_shuffle_of_a_groups_output_keeps_the_groups() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3), 8, 3, groups=2)
    shuffled = g.transpose(g.reshape(x, (0, 2, 4, 6, 6)), 0, 2, 1, 3, 4)
    y = g.conv(g.reshape(shuffled, (0, 8, 6, 6)), 8, 3, groups=2)
    small = half(g.model(g.conv(y, 3)))
    assert shape(small, "Conv")[0] < 8


def test_a_wrong_permutation_is_refused() -> None:
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    y = g.node("Transpose", [x], perm=[0, 1, 2])
    model = g.model(g.linear(y, 3))
    node(model, "Transpose").attribute[0].ints[:] = [0, 1, 1]
    assert "perm [0, 1, 1]" in reasons(model, "const_1", 1)
