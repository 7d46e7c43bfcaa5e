"""How far outputs are from the original's."""

import numpy as np

from spa_onnx.calibrate.distance import FARTHEST, output_distance

RNG = np.random.default_rng(0)


def test_an_output_replaced_by_its_mean_is_at_distance_one() -> None:
    dense = [[RNG.standard_normal((3, 4))] for _ in range(5)]
    mean = np.concatenate([b[0] for b in dense]).mean(axis=0)
    assert np.isclose(output_distance(dense, [[np.tile(mean, (3, 1))]] * 5), 1.0)
    assert output_distance(dense, dense) == 0


def test_batches_do_not_matter() -> None:
    a, b = RNG.standard_normal((2, 12, 5))
    whole = output_distance([[a]], [[b]])
    for parts in (2, 12):
        pairs = [[[p] for p in np.split(x, parts)] for x in (a, b)]
        assert np.isclose(output_distance(*pairs), whole)


def test_one_item_is_compared_too() -> None:
    a = RNG.standard_normal((1, 50))
    assert np.isclose(output_distance([[a]], [[a * 0 + a.mean()]]), 1.0)


def test_numbers_that_are_none_are_far_away_or_left_out() -> None:
    a = RNG.standard_normal((4, 3))
    bad = a.copy()
    bad[0, 0] = np.nan
    assert output_distance([[a]], [[bad]]) >= FARTHEST / 100
    assert output_distance([[bad]], [[a]]) == 0


def test_integers_count_where_there_are_no_floats() -> None:
    labels, other = np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])
    assert output_distance([[labels]], [[other]]) == 0.25
    words = np.array(["cat", "dog"], object)
    assert output_distance([[words]], [[words[::-1]]]) == 1.0
    x = RNG.standard_normal((4, 2))
    assert output_distance([[x, labels]], [[x, other]]) == 0


def test_shapes_that_follow_values_are_left_out() -> None:
    x = RNG.standard_normal((4, 2))
    assert output_distance([[x, x]], [[x[:2], x]]) == 0
