"""What products of activations lose with lanes, against least squares over all their results."""

import numpy as np
import pytest

from spa_onnx.score.consumers import Pair
from spa_onnx.score.pair_loss import pair_losses
from tests.graph_writer import AnyArray

RNG = np.random.default_rng(0)


def rows(count: int, lanes: int) -> AnyArray:
    return RNG.standard_normal((count, lanes)) @ RNG.standard_normal((lanes, lanes))


def loss(a: AnyArray, b: AnyArray, stays: AnyArray) -> float:
    """Return the mean square that no matrix between the lanes that stay makes up for."""
    best = np.linalg.pinv(a[:, stays]) @ (a @ b.T) @ np.linalg.pinv(b[:, stays]).T
    return float(np.square(a @ b.T - a[:, stays] @ best @ b[:, stays].T).mean())


@pytest.mark.parametrize("units", [np.arange(6), np.array([0, 0, 1, 2, 2, -1, 3])])
def test_losses_are_those_of_brute_force_however_many_lanes_are_gone(units: AnyArray) -> None:
    lanes, names = len(units), int(units.max()) + 1
    a, b = rows(90, lanes), rows(70, lanes)
    pair = Pair((a.T @ a / 90)[None], (b.T @ b / 70)[None], units[None])
    energy = float(np.square(a @ b.T).mean())
    assert np.isclose(pair.energy, energy)
    (block,) = pair_losses(pair, 1e-13)
    alive = np.ones(names, bool)
    while alive.sum() > 1:
        total = np.zeros(names)
        block.add_costs(total, alive)
        stays = (units < 0) | alive[units]
        for unit in np.flatnonzero(alive):
            more = loss(a, b, stays & (units != unit)) - loss(a, b, stays)
            assert np.isclose(total[unit], more / energy / 2, rtol=1e-5, atol=1e-9)
        gone = int(np.argmin(np.where(alive, total, np.inf)))
        block.remove(np.array([gone]))
        alive[gone] = False


def test_lanes_that_others_tell_on_both_sides_cost_nothing() -> None:
    a, b = rows(90, 4), rows(70, 4)
    a[:, 3], b[:, 3] = a[:, 0] + a[:, 1], 2 * b[:, 2]
    pair = Pair((a.T @ a / 90)[None], (b.T @ b / 70)[None], np.arange(4)[None])
    (block,) = pair_losses(pair, 1e-10)
    total = np.zeros(4)
    block.add_costs(total, np.ones(4, bool))
    assert total[3] < 1e-7 < 1e-3 < total[:2].min()


def test_a_product_of_zeros_loses_nothing() -> None:
    assert not list(
        pair_losses(Pair(np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), np.arange(3)[None]), 0.01)
    )
