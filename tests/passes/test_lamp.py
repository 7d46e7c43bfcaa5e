import numpy as np

import spa_onnx
from spa_onnx.passes.lamp import Lamp
from spa_onnx.score.lift import score
from tests.builders import GraphBuilder


def test_a_lane_is_measured_against_all_that_are_as_strong() -> None:
    g = GraphBuilder(opset=13)
    first = np.zeros((4, 3, 1, 1), np.float32)
    first[:, 0, 0, 0] = [1.0, 3.0, 2.0, 4.0]
    second = np.full((2, 4, 1, 1), 1e-9, np.float32)  # read, but of no weight
    x = g.conv(g.input("x", (1, 3, 4, 4)), 4, weight=g.constant(first, "first"))
    model = g.model(g.conv(g.relu(x), 2, weight=g.constant(second, "second")))
    (scores,) = score(spa_onnx.analyze(model), Lamp(), 0).worth.values()
    np.testing.assert_allclose(scores[0], [1 / 30, 9 / 25, 4 / 29, 1.0])


def test_scales_of_whole_dims_do_not_matter() -> None:
    """What makes dims comparable: the strongest lane of each scores one."""

    def scores(factor: float) -> list[np.ndarray]:
        g = GraphBuilder(opset=13, seed=3)
        weight = g.weight_values(8, 3, 3, 3) * np.float32(factor)
        x = g.relu(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3, weight=g.constant(weight, "first")))
        second = g.weight_values(2, 8, 3, 3) * np.float32(factor)
        model = g.model(g.conv(x, 2, 3, weight=g.constant(second, "second")))
        return list(score(spa_onnx.analyze(model), Lamp(), 0).worth.values())

    for small, large in zip(scores(1.0), scores(100.0), strict=True):
        np.testing.assert_allclose(small, large, rtol=1e-5)
        assert small.max() == 1.0
