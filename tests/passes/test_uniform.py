import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.allocate.budget import Ratio
from spa_onnx.allocate.problem import AllocationProblem
from spa_onnx.cost.polynomial import CostPolynomial, Costs
from spa_onnx.passes.uniform import Uniform

SIZES = st.lists(st.integers(2, 300), min_size=1, max_size=6)


def problem(sizes: list[int], removed: float, align: int) -> AllocationProblem:
    nothing = CostPolynomial(np.zeros(0), np.zeros((0, 0), np.int64))
    return AllocationProblem(
        sizes=np.array(sizes),
        worth=[np.ones(n) for n in sizes],
        costs=Costs(nothing, nothing, nothing),
        budget=Ratio(removed),
        align=align,
    )


@given(SIZES, st.floats(0, 0.999))
def test_every_dim_loses_the_same_share(sizes: list[int], removed: float) -> None:
    widths = Uniform().allocate(problem(sizes, removed, 1))
    exact = np.array(sizes) * (1 - removed)
    assert ((widths >= 1) & (widths <= sizes)).all()
    assert (np.abs(widths - exact) <= np.maximum(0.5 + 1e-9, 1 - exact)).all()


@given(SIZES, st.floats(0, 0.999), st.sampled_from([2, 4, 8, 16]))
def test_long_dims_are_aligned(sizes: list[int], removed: float, align: int) -> None:
    widths = Uniform().allocate(problem(sizes, removed, align))
    for size, width in zip(sizes, widths.tolist(), strict=True):
        assert 1 <= width <= size
        if size >= 2 * align:
            assert width % align == 0 or width == size


@pytest.mark.parametrize(("size", "left"), [(8, 4), (7, 3), (5, 2), (3, 1), (2, 1)])
def test_a_tie_removes_the_lane(size: int, left: int) -> None:
    assert Uniform().allocate(problem([size], 0.5, 1)).tolist() == [left]
