"""Groups that belong together are found again, and no swap makes a pattern worse."""

import numpy as np
import pytest

from spa_onnx.sparse.exchange import Alike, BestOf, Blocks, Value, grouped, threshold


def test_rows_that_are_alike_come_to_stand_together() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.repeat(np.arange(6), 4))
    worth = (rng.random((6, 60)) < 0.3)[kinds].astype(np.float32)
    worth /= worth.sum()
    alike = grouped([(worth, Alike())], 4, rng)
    found = grouped([(worth, Blocks(threshold(worth[alike], 4, 0.7)))], 4, rng, alike)
    assert sorted(found) == list(range(24))
    assert all(len(set(kinds[run])) == 1 for run in found.reshape(-1, 4))


@pytest.mark.parametrize("value", [Blocks(0.002), BestOf(2)])
def test_the_order_is_worth_more(value: Value) -> None:
    rng = np.random.default_rng(1)
    worth = rng.random((22, 40)).astype(np.float32) ** 4
    worth /= worth.sum()
    found = grouped([(worth, value)], 4, rng)

    def total(order: np.ndarray) -> float:
        return float(value.of(worth[order[:20]].reshape(5, 4, 40)).sum())

    assert sorted(found) == list(range(22))
    assert total(found) > 1.02 * total(np.arange(22))


def test_one_group_stays_as_it_is() -> None:
    worth = np.ones((7, 3), np.float32)
    found = grouped([(worth, BestOf(2))], 4, np.random.default_rng(0))
    assert found.tolist() == list(range(7))


def test_best_of_keeps_the_largest_at_every_place() -> None:
    members = np.array([[1, 8], [2, 7], [3, 6], [4, 5]], np.float32)
    assert BestOf(2).of(members) == 3 + 4 + 8 + 7
    assert Blocks(9).of(members) == 1 + 17
