"""FLAP against its formula in plain loops."""

import numpy as np

from spa_onnx.passes.flap import Flap
from tests.graph_writer import AnyArray
from tests.passes.given_dim import RNG, Given, consumer, features


def scores(given: Given) -> AnyArray:
    made: AnyArray = Flap().score(given, np.random.default_rng(0))  # type: ignore[arg-type]
    return made.reshape(given.rows, given.lanes) * given.rows


def z_of(score: AnyArray) -> AnyArray:
    """Undo the map that makes scores positive."""
    return np.where(score < 1, 1 - 1 / score, score - 1)


def test_scores_are_fluctuations_in_standard_deviations() -> None:
    units = np.repeat(np.arange(4), 3)[None]
    x = features(1, 12)
    c = consumer(units, x=x)
    plain = np.zeros(4)
    for j in range(12):
        mean = sum(x[0, :, j]) / 200
        variance = sum((value - mean) ** 2 for value in x[0, :, j]) / 200
        plain[units[0, j]] += variance * sum(w**2 for w in c.weight[0, :, j])
    wanted = (plain - plain.mean()) / plain.std()
    assert np.allclose(z_of(scores(Given(4, [c]))[0]), wanted)


def test_consumers_count_by_their_own_variance() -> None:
    """An output that is measured in other units weighs the same."""
    first, second = (consumer(np.arange(5)[None]) for _ in range(2))
    before = scores(Given(5, [first, second]))
    second.weight[:] *= 1000
    assert np.allclose(scores(Given(5, [first, second])), before)


def test_means_do_not_matter() -> None:
    x = features(1, 5)
    c = consumer(np.arange(5)[None], x=x)
    moved = type(c)(c.weight, c.covariance, c.units, c.mean + 100)
    assert np.array_equal(scores(Given(5, [c])), scores(Given(5, [moved])))


def test_a_constant_lane_is_worth_least() -> None:
    x = RNG.standard_normal((1, 300, 4))
    x[..., 2] = 7.0
    ours = scores(Given(4, [consumer(np.arange(4)[None], x=x)]))[0]
    assert ours.argmin() == 2
    assert (ours > 0).all()


def test_rows_are_standardised_each() -> None:
    units = np.arange(8).reshape(2, 4)
    ours = scores(Given(4, [consumer(units)], rows=2))
    for row in z_of(ours):
        assert abs(row.mean()) < 1e-9
        assert np.isclose(row.std(), 1)


def test_equal_lanes_score_the_same_in_every_dim() -> None:
    assert np.array_equal(scores(Given(3, [], energy=np.full(3, 5.0))), np.ones((1, 3)))


def test_lanes_that_nothing_sums_over_are_told() -> None:
    given = Given(4, [], energy=np.array([4.0, 1.0, 2.0, 3.0]))
    assert scores(given)[0].argsort().tolist() == [1, 2, 3, 0]
    assert "flap ranks them by l2" in given.notes[0]
