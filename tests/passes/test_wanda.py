"""Wanda against sums over samples."""

import numpy as np
import pytest

import spa_onnx
from spa_onnx.passes.wanda import Wanda
from tests.graph_writer import AnyArray
from tests.passes.given_dim import RNG, Given, consumer, features
from tests.spa_onnx.analyse.test_dims import attention


def scores(given: Given) -> AnyArray:
    return Wanda().score(given, np.random.default_rng(0))  # type: ignore[arg-type]


def brute(units: AnyArray, x: AnyArray, weight: AnyArray, lanes: int) -> AnyArray:
    """Return scores in plain loops: the mean over rows of |W_ij| times the norm of x_j."""
    made = np.zeros(lanes)
    groups, samples, count = x.shape
    for g in range(groups):
        for j in range(count):
            norm = np.sqrt(sum(value**2 for value in x[g, :, j]) / samples)
            if units[g, j] >= 0:
                made[units[g, j]] += np.mean([abs(w) * norm for w in weight[g, :, j]])
    return made


@pytest.mark.parametrize(
    "units",
    [np.arange(6)[None], np.repeat(np.arange(3), 4)[None], np.array([[0, 1, -1], [2, 0, 1]])],
)
def test_scores_are_weights_times_norms(units: AnyArray) -> None:
    x = features(*units.shape)
    c, lanes = consumer(units, x=x), int(units.max()) + 1
    assert np.allclose(scores(Given(lanes, [c])), brute(units, x, c.weight, lanes))


def test_consumers_are_added() -> None:
    first, second = (consumer(np.arange(5)[None]) for _ in range(2))
    alone = [scores(Given(5, [c])) for c in (first, second)]
    assert np.allclose(scores(Given(5, [first, second])), sum(alone))


def test_a_constant_lane_is_as_large_as_its_mean() -> None:
    x = RNG.standard_normal((1, 100, 2))
    x[..., 1] = -3.0
    c = consumer(np.arange(2)[None], x=x)
    assert scores(Given(2, [c]))[1] == pytest.approx(3 * np.abs(c.weight[0, :, 1]).mean())


def test_lanes_without_a_consumer_are_told() -> None:
    model = attention(2, 8)
    inputs = np.random.default_rng(0).standard_normal((32, 5, 6)).astype(np.float32)
    config = spa_onnx.PruneConfig(importance="wanda", calibration=inputs)
    report = spa_onnx.prune(model, config).report
    (note,) = (n for n in report.notes if "wanda" in n)
    assert note.endswith("wanda ranks them by l1 (1 of 2 dims, such as bias_10:0#9)")
