import numpy as np

import spa_onnx
from spa_onnx.passes.bn_scale import BnScale
from spa_onnx.passes.magnitude import L2
from spa_onnx.score.lift import score
from tests.builders import GraphBuilder


def test_lanes_rank_by_the_scale_of_their_normalisation() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 5, 3)
    scale = np.array([0.5, -3, 1, 0, 2], np.float32)
    others = [g.constant(v * np.ones(5, np.float32), n) for v, n in ((0, "b"), (0, "m"), (1, "v"))]
    y = g.node("BatchNormalization", [x, g.constant(scale, "scale"), *others])
    (scores,) = score(spa_onnx.analyze(g.model(g.conv(g.relu(y), 4))), BnScale(), 0).worth.values()
    np.testing.assert_allclose(scores[0], np.abs(scale) / np.abs(scale).mean())


def test_a_dim_without_a_normalisation_falls_back_to_group_l2() -> None:
    g = GraphBuilder(opset=13)
    model = g.model(g.conv(g.relu(g.conv(g.input("x", (1, 3, 6, 6)), 5, 3)), 4))
    ours, theirs = (score(spa_onnx.analyze(model), p, 0).worth.values() for p in (BnScale(), L2()))
    np.testing.assert_array_equal(next(iter(ours)), next(iter(theirs)))


def test_the_report_says_where_it_fell_back() -> None:
    g = GraphBuilder(opset=13)
    x = g.relu(g.batch_norm(g.conv(g.input("x", (1, 3, 6, 6)), 5, 3)))
    model = g.model(g.conv(g.relu(g.conv(x, 6)), 4))
    report = spa_onnx.prune(model, spa_onnx.PruneConfig(importance="bn-scale")).report
    (note,) = (n for n in report.notes if "bn-scale" in n)
    assert note.startswith("no BatchNormalization scales these lanes")
    assert "(1 of 2 dims, such as " in note
