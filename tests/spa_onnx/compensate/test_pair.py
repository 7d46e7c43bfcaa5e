"""Sides of a product of activations at a lower rank, against optimisation by alternating fits."""

import numpy as np
import pytest

from spa_onnx.compensate.pair import PairSamples, nearest
from tests.graph_writer import AnyArray

RNG = np.random.default_rng(0)


def second(lanes: int, rank: int | None = None) -> AnyArray:
    x = RNG.standard_normal((50, rank or lanes)) @ RNG.standard_normal((rank or lanes, lanes))
    return x.T @ x / 50


def error(left: AnyArray, right: AnyArray, matrix: AnyArray) -> float:
    """Return ``E (a' b - a' N b)^2`` for rows that meet at random."""
    rest = np.eye(len(left)) - matrix
    return float(np.einsum("ij,ij->", left @ rest @ right, rest))


def alternating(left: AnyArray, right: AnyArray, rank: int) -> float:
    """Return the least error that fits of one side after the other reach."""
    u = RNG.standard_normal((rank, len(left)))
    t = u
    for _ in range(500):
        t = np.linalg.solve(u @ right @ u.T, u @ right)
        u = np.linalg.solve(t @ left @ t.T, t @ left)
    return error(left, right, t.T @ u)


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_no_pair_of_matrices_of_the_rank_is_better(rank: int) -> None:
    left, right = second(6), second(6)
    t, u = nearest(PairSamples(left, right, np.arange(rank)), 1e-4)
    assert t.shape == u.shape == (rank, 6)
    ours = error(left, right, t.T @ u)
    assert np.isclose(ours, alternating(left, right, rank), rtol=1e-4)
    root = np.linalg.cholesky(left).T @ np.linalg.cholesky(right)
    assert np.isclose(ours, np.square(np.linalg.svd(root)[1][rank:]).sum(), rtol=1e-6)


def test_sides_of_low_rank_lose_nothing() -> None:
    left, right = second(6, rank=2), second(6)
    t, u = nearest(PairSamples(left, right, np.arange(3)), 1e-4)
    assert np.isfinite(t).all()
    assert np.isfinite(u).all()
    assert error(left, right, t.T @ u) < 1e-9 * np.einsum("ij,ij->", left, right)


@pytest.mark.parametrize("free", [(True, False), (False, True)])
def test_a_side_that_is_not_free_keeps_its_lanes(free: tuple[bool, bool]) -> None:
    left, right, kept = second(6), second(6), np.array([0, 2, 5])
    made = nearest(PairSamples(left, right, kept, *free), 1e-9)
    other = free.index(False)
    assert np.array_equal(made[other], np.eye(6)[kept])
    best = error(left, right, made[0].T @ made[1])
    for _ in range(20):
        moved = list(made)
        moved[1 - other] = made[1 - other] + 1e-3 * RNG.standard_normal((3, 6))
        assert error(left, right, moved[0].T @ moved[1]) >= best


def test_without_a_free_side_nothing_changes() -> None:
    t, u = nearest(PairSamples(second(4), second(4), np.array([1, 3]), False, False), 1e-4)
    assert np.array_equal(t, np.eye(4)[[1, 3]])
    assert np.array_equal(t, u)
