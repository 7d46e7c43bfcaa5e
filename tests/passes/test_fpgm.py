import numpy as np
import pytest

import spa_onnx
from spa_onnx.passes import fpgm
from spa_onnx.passes.fpgm import Fpgm
from spa_onnx.score.lift import score
from tests.builders import GraphBuilder


def test_a_lane_in_the_middle_of_the_others_goes_first() -> None:
    """Three lanes on a line: the middle one is replaceable, whatever its magnitude."""
    g = GraphBuilder(opset=13)
    first = np.array([[1, 0], [101, 0], [51, 0]], np.float32).reshape(3, 2, 1, 1)
    second = np.ones((2, 3, 1, 1), np.float32)
    x = g.conv(g.input("x", (1, 2, 4, 4)), 3, weight=g.constant(first, "first"))
    model = g.model(g.conv(g.relu(x), 2, weight=g.constant(second, "second")))
    (scores,) = score(spa_onnx.analyze(model), Fpgm(), 0).worth.values()
    assert scores[0].argmin() == 2


def test_distances_are_those_of_every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fpgm, "BLOCK", 3)
    rows = np.random.default_rng(0).normal(size=(7, 5))
    expected = np.linalg.norm(rows[:, None] - rows[None], axis=2).sum(axis=1)
    np.testing.assert_allclose(fpgm.distance_sums(rows), expected)
