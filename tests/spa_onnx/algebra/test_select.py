import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.algebra.expression import Expr, dims_in, is_fixed, size_of
from spa_onnx.algebra.select import select
from spa_onnx.algebra.size import symbol
from spa_onnx.algebra.space import NoRefinementError, Space
from tests.spa_onnx.algebra.drawing import lanes_of, spaces_with_expressions
from tests.spa_onnx.algebra.enumeration import positions

Drawn = tuple[Space, list[Expr]]


def index_arrays(lanes: int) -> st.SearchStrategy[list[int]]:
    """Runs, strides, permutations, repeats and noise."""
    everything = list(range(lanes))
    lane = st.integers(0, lanes - 1)
    return st.one_of(
        st.permutations(everything),
        st.lists(lane, min_size=1, max_size=2 * lanes),
        st.lists(lane, min_size=1, unique=True).map(sorted),
        st.integers(1, 3).map(lambda n: np.repeat(everything, n).tolist()),
        st.integers(1, 3).map(lambda n: everything * n),
        st.integers(0, lanes - 1).map(lambda k: everything[k:] + everything[:k]),
        st.integers(1, lanes).map(lambda k: everything[::k]),
        st.integers(1, lanes).map(lambda k: everything[::-k]),
    )


@given(spaces_with_expressions(), st.data())
def test_selected_lanes_stand_where_the_indices_say(drawn: Drawn, data: st.DataObject) -> None:
    space, (expr,) = drawn
    if lanes_of(expr) == 0:
        return
    indices = data.draw(index_arrays(lanes_of(expr)))
    try:
        chosen, _ = select(space, expr, np.array(indices))
    except NoRefinementError:
        return
    held = positions(space, expr)
    assert positions(space, chosen) == [held[k] for k in indices]


@given(st.permutations(range(12)))
def test_any_permutation_of_a_free_dim_can_be_followed(order: list[int]) -> None:
    space = Space()
    x = space.dim(12, "x")
    chosen, _ = select(space, x, np.array(order))
    assert positions(space, chosen) == [positions(space, x)[k] for k in order]
    assert dims_in(space.normal(x))


@given(st.lists(st.integers(0, 39), min_size=9, max_size=30, unique=True))
def test_any_choice_of_a_free_dims_lanes_can_be_followed(indices: list[int]) -> None:
    space = Space()
    x = space.dim(40, "x")
    chosen, _ = select(space, x, np.array(indices))
    assert positions(space, chosen) == [positions(space, x)[k] for k in indices]
    assert not is_fixed(space.normal(x))


@pytest.mark.parametrize("times", [2, 5])
def test_repeats_and_tiles_are_products_with_a_fixed_factor(times: int) -> None:
    space = Space()
    x = space.dim(30, "x")
    repeated, _ = select(space, x, np.repeat(np.arange(30), times))
    assert repeated == space.product([x, space.fixed(times)])
    tiled, _ = select(space, x, np.tile(np.arange(30), times))
    assert tiled == space.product([space.fixed(times), x])


def test_a_roll_only_cuts() -> None:
    space = Space()
    x = space.dim(8, "x")
    rolled, _ = select(space, x, np.roll(np.arange(8), 3))
    left, right = space.normal(x)
    assert rolled == (right, left)


def test_lanes_repeated_in_no_pattern_are_refused() -> None:
    space = Space()
    indices = np.array([0, 5, 0, 9, 3, 3, 7, 1, 2, 8, 1, 11, 0])
    with pytest.raises(NoRefinementError, match="repeat without a pattern"):
        select(space, space.dim(12, "x"), indices)


def test_lanes_of_a_fixed_axis_are_only_counted() -> None:
    space = Space()
    assert select(space, space.fixed(9), np.array([3, 3, 1]))[0] == space.fixed(3)


def test_a_dynamic_axis_cannot_be_indexed() -> None:
    space = Space()
    mixed = space.concat([space.dim(4, "x"), space.fixed(symbol("n"))])
    with pytest.raises(NoRefinementError, match="dynamic length"):
        select(space, mixed, np.array([0, 1]))
    assert size_of(mixed) == symbol("n") + 4
