"""Curves through profiles of nodes whose times are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.algebra.size import symbol
from spa_onnx.latency.features import NodeFeatures
from spa_onnx.latency.model import fit, rising

A, B = symbol("0"), symbol("1")
# a layer, an activation that is fused into it, a layer, and an output of fixed size
FEATURES = NodeFeatures(
    work={0: 3 * A, 2: A * B},
    elements={0: A, 1: A, 2: B, 3: 10},
    numbers={},
    after={0: [1], 1: [2], 2: [3]},
)
WIDTHS = [np.array([n, n]) for n in (64, 52, 36, 20, 4)]


def profile(a: int, b: int, lanes: int = 1) -> dict[int, float]:
    """Return what nodes take that compute so many lanes together; node 1 ran inside node 0."""
    a, b = -(-a // lanes) * lanes, -(-b // lanes) * lanes
    return {0: 5 + 0.3 * a, 2: 2 + 0.01 * a * b, 3: 7.0}


@pytest.mark.parametrize("lanes", [1, 8, 16])
def test_times_at_other_widths_are_told_from_profiles(lanes: int) -> None:
    model = fit(FEATURES, WIDTHS, [profile(a, b, lanes) for a, b in WIDTHS])
    for a, b in ((64, 16), (30, 44), (8, 60), (64, 64)):
        expected = sum(profile(a, b, lanes).values())
        assert model.at(np.array([a, b])) == pytest.approx(expected, rel=0.05)


def test_lanes_that_fill_up_a_vector_are_free() -> None:
    model = fit(FEATURES, WIDTHS, [profile(a, b, 16) for a, b in WIDTHS])
    assert model.marginal(np.array([32, 32]), 1) == 0
    assert model.marginal(np.array([33, 32]), 0) > 0


def test_less_work_is_worth_something_where_profiles_show_nothing() -> None:
    times = profile(*WIDTHS[0])
    model = fit(FEATURES, WIDTHS, [times for _ in WIDTHS])
    narrow = np.array([8, 8])
    assert 0 < model.at(WIDTHS[0]) - model.at(narrow) < 0.2 * model.at(WIDTHS[0])
    assert model.marginal(WIDTHS[0], 0) > 0


def test_what_did_not_run_counts_for_the_node_that_it_was_fused_into() -> None:
    assert FEATURES.homes([0, 2, 3]) == {0: 0, 1: 2, 2: 2, 3: 3}
    assert FEATURES.homes([1, 3]) == {0: 1, 1: 1, 2: 3, 3: 3}
    assert FEATURES.homes([0]) == dict.fromkeys(range(4), 0)
    assert FEATURES.of(1, [0, 1]) == 3 * A
    assert FEATURES.of(1, [1]) == A


def test_nodes_that_do_not_depend_on_widths_are_a_constant() -> None:
    times = [{3: t} for t in (7.0, 9.0, 8.0)]
    assert fit(FEATURES, WIDTHS[:3], times).at(np.array([3, 5])) == pytest.approx(8.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 100)), min_size=1, max_size=8))
def test_times_never_fall_along_work_and_keep_their_sum(points: list[tuple[int, float]]) -> None:
    work, times = (np.array(values, np.float64) for values in zip(*points, strict=True))
    order, heights = rising(work, times)
    assert (np.diff(work[order]) >= 0).all()
    assert (np.diff(heights) >= -1e-9).all()
    assert heights.sum() == pytest.approx(times.sum())
    for w in np.unique(work):
        assert np.ptp(heights[work[order] == w]) <= 1e-9


def test_times_that_rise_stay_as_they_are() -> None:
    order, heights = rising(np.array([3.0, 1.0, 2.0]), np.array([9.0, 1.0, 4.0]))
    assert order.tolist() == [1, 2, 0]
    assert heights.tolist() == [1, 4, 9]
