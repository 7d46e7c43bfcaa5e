from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx.analyse.dims import Analysis
from spa_onnx.errors import InternalError, NonFiniteWeightsError
from spa_onnx.score.lift import score
from spa_onnx.score.weights import DimWeights
from tests.builders import GraphBuilder
from tests.spa_onnx.analyse.test_dims import attention


@dataclass(frozen=True, slots=True)
class Given:
    """Scores every dim with the same numbers, as often as needed."""

    values: tuple[float, ...]

    def score(self, weights: DimWeights, rng: np.random.Generator) -> np.ndarray:
        return np.resize(np.array(self.values), weights.units)


def chain() -> onnx.ModelProto:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 6, 3)
    return g.model(g.conv(g.relu(x), 3))


def test_scores_of_a_dim_have_mean_one() -> None:
    analysis = spa_onnx.analyze(attention())
    for dim, scores in score(analysis, Given((1.0, 5.0, 3.0)), 0).worth.items():
        rows = next(d.rows for d in analysis.dims if d.dim is dim)
        assert scores.shape == (1 if rows is None else rows.size, dim.size)
        assert scores.mean() == pytest.approx(1)


def test_worthless_lanes_stay_worthless() -> None:
    (scores,) = score(spa_onnx.analyze(chain()), Given((0.0,)), 0).worth.values()
    assert not scores.any()


def test_coupled_lanes_share_their_mean() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 6, 3)
    model = g.model(g.conv(g.add(x, g.slice(x, -1, None, step=-1)), 3))
    given = Given((1.0, 2.0, 3.0, 5.0, 8.0, 11.0))
    (scores,) = score(spa_onnx.analyze(model), given, 0).worth.values()
    assert scores[0].tolist() == pytest.approx([1.2, 1.0, 0.8, 0.8, 1.0, 1.2])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_cannot_be_ranked_are_named(value: float) -> None:
    model = chain()
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[1, 1, 1, 1] = value
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "weight_1"))
    with pytest.raises(NonFiniteWeightsError, match=r"weight_1.*NaN, infinite.*--importance"):
        spa_onnx.prune(model)


@pytest.mark.parametrize("values", [(-1.0,), (1.0, -0.5)])
def test_a_negative_score_is_the_passes_fault(values: tuple[float, ...]) -> None:
    with pytest.raises(InternalError, match="pass Given scored weight_1:0#"):
        score(spa_onnx.analyze(chain()), Given(values), 0)


def test_scores_of_another_length_are_the_passes_fault() -> None:
    class Short:
        def score(self, weights: DimWeights, rng: np.random.Generator) -> np.ndarray:
            return np.ones(weights.units - 1)

    with pytest.raises(InternalError, match=r"with shape \(5,\), expected 6"):
        score(spa_onnx.analyze(chain()), Short(), 0)


def test_a_seed_draws_other_numbers_for_every_dim_and_the_same_ones_again() -> None:
    class Drawn:
        def score(self, weights: DimWeights, rng: np.random.Generator) -> np.ndarray:
            return rng.random(weights.units)

    analysis = spa_onnx.analyze(attention())
    first, again, other = (list(score(analysis, Drawn(), s).worth.values()) for s in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert not np.array_equal(first[0], first[1])


def test_a_pass_may_see_the_whole_network_first() -> None:
    class Whole:
        calls: ClassVar[list[list[str]]] = []

        def prepare(self, analysis: Analysis, weights: Sequence[DimWeights]) -> Given:
            self.calls.append([w.name for w in weights])
            assert [w.lanes for w in weights] == [d.dim.size for d in analysis.dims]
            return Given((1.0, 5.0, 3.0))

        def score(self, weights: DimWeights, rng: np.random.Generator) -> np.ndarray:
            raise AssertionError

    analysis = spa_onnx.analyze(chain())
    found = score(analysis, Whole(), 0).worth
    assert Whole.calls == [[d.name for d in analysis.dims]]
    expected = score(analysis, Given((1.0, 5.0, 3.0)), 0).worth
    for dim, scores in found.items():
        np.testing.assert_array_equal(scores, expected[dim])
