"""Widths by measured curves, on problems small enough to try every answer."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.allocate.budget import Budget, KeepFlops, Ratio
from spa_onnx.allocate.problem import AllocationProblem
from spa_onnx.cost.polynomial import CostPolynomial, Costs
from spa_onnx.errors import BudgetError, UsageError
from spa_onnx.passes.rate_distortion import RateDistortion


def problem(
    sizes: list[int], curves: list[np.ndarray], budget: Budget, align: int = 1
) -> AllocationProblem:
    """A chain: layer k costs width k times width k + 1, with fixed ends of four."""
    n = len(sizes)
    variables = [[n, 0], *[[k, k + 1] for k in range(n - 1)], [n - 1, n]]
    factors = [4.0, *[1.0] * (n - 1), 4.0]
    cost = CostPolynomial(np.array(factors), np.array(variables, np.int64))
    worth = [np.diff(c, append=c[-1] + 1) for c in curves]
    measured = dict(enumerate(curves))
    widths = np.array(sizes, np.int64)
    return AllocationProblem(
        widths, worth, Costs(cost, cost, cost), budget, align, {}, {}, measured
    )


def rising(size: int, power: float, height: float) -> np.ndarray:
    curve: np.ndarray = height * (np.arange(size) / size) ** power
    return curve


def distortion(p: AllocationProblem, widths: np.ndarray) -> float:
    return float(
        sum(p.curve(k)[s - w] for k, (s, w) in enumerate(zip(p.sizes, widths, strict=True)))
    )


def test_the_dim_that_hardly_matters_shrinks_most() -> None:
    p = problem([32, 32], [rising(32, 2, 1.0), rising(32, 2, 0.01)], KeepFlops(0.5))
    first, second = RateDistortion().allocate(p)
    assert second < first / 2


@given(
    st.lists(st.integers(4, 9), min_size=2, max_size=3),
    st.floats(0.2, 0.9),
    st.integers(0, 10_000),
)
def test_a_budget_is_met_and_near_the_best_of_all_answers(
    sizes: list[int], share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    curves = [rising(s, rng.uniform(1, 3), rng.uniform(0.1, 1)) for s in sizes]
    p = problem(sizes, curves, KeepFlops(share))
    try:
        found = RateDistortion(floor=0.0).allocate(p)
    except BudgetError:
        assert not p.is_met(np.ones(len(sizes), np.int64))
        return
    assert p.is_met(found)
    every = (np.array(w) for w in product(*[range(1, s + 1) for s in sizes]))
    best = min(distortion(p, w) for w in every if p.is_met(w))
    worst = sum(float(c[-1]) for c in curves)
    assert distortion(p, found) <= best + 0.25 * worst


@given(st.integers(0, 10_000), st.floats(0.3, 0.9))
def test_no_lane_could_be_given_back(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(8, 40, 4).tolist()
    p = problem(sizes, [rising(s, 2, rng.uniform(0.1, 1)) for s in sizes], KeepFlops(share))
    widths = RateDistortion().allocate(p)
    for k, size in enumerate(sizes):
        if widths[k] < size:
            wider = widths.copy()
            wider[k] += 1
            assert not p.is_met(wider)


def test_widths_are_aligned() -> None:
    p = problem([32, 64], [rising(32, 2, 1), rising(64, 2, 1)], KeepFlops(0.6), align=8)
    assert (RateDistortion().allocate(p) % 8 == 0).all()


def test_a_ratio_counts_lanes_of_the_whole_model() -> None:
    p = problem([20, 20], [rising(20, 1, 1.0), rising(20, 1, 0.001)], Ratio(0.25))
    widths = RateDistortion().allocate(p)
    assert widths.tolist() == [20, 10]


def test_a_bump_is_looked_over() -> None:
    """One step up and then flat: the first step looks dear, eight together are cheap."""
    stairs = np.concatenate([[0.0], np.full(31, 0.3)])
    p = problem([32, 32], [stairs, rising(32, 1, 2.0)], KeepFlops(0.6))
    first, second = RateDistortion().allocate(p)
    assert first < second


def test_the_floor_gives_way_to_a_budget_that_needs_it() -> None:
    p = problem([32, 32], [rising(32, 2, 1)] * 2, KeepFlops(0.08))
    assert RateDistortion(floor=0.5).allocate(p).max() < 16


def test_an_impossible_budget_is_refused() -> None:
    with pytest.raises(BudgetError):
        RateDistortion().allocate(problem([4, 4], [rising(4, 1, 1)] * 2, KeepFlops(0.01)))


def test_dims_without_a_curve_go_by_their_worth() -> None:
    p = problem([16, 16], [rising(16, 1, 1.0)] * 2, KeepFlops(0.6))
    worth = [np.full(16, 1.0), np.full(16, 0.001)]
    bare = AllocationProblem(p.sizes, worth, p.costs, p.budget, 1)
    first, second = RateDistortion().allocate(bare)
    assert second < first


@pytest.mark.parametrize(("floor", "steps"), [(-0.1, 4), (1.1, 4), (0.1, 0)])
def test_fields_are_checked(floor: float, steps: int) -> None:
    with pytest.raises(UsageError):
        RateDistortion(floor, steps)
