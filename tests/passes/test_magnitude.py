import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import spa_onnx
from spa_onnx.passes.magnitude import L1, L2
from spa_onnx.score.lift import score
from tests.builders import GraphBuilder


def chain() -> onnx.ModelProto:
    g = GraphBuilder(opset=13)
    x = g.batch_norm(g.conv(g.input("x", (1, 3, 6, 6)), 6, 3))
    return g.model(g.conv(g.relu(x), 4))


def expected(order: int) -> np.ndarray:
    """Return the norm of every channel over the two weights that it goes from, mean one."""
    weights = {t.name: numpy_helper.to_array(t) for t in chain().graph.initializer}
    first, second = (w for w in weights.values() if w.ndim == 4)
    parts = [first.reshape(6, -1), second.transpose(1, 0, 2, 3).reshape(6, -1)]
    rows = np.concatenate(parts, axis=1).astype(np.float64)
    norms = np.linalg.norm(rows, ord=order, axis=1)
    scores: np.ndarray = norms / norms.mean()
    return scores


@pytest.mark.parametrize(("importance", "order"), [(L1(), 1), (L2(), 2)])
def test_a_channel_is_worth_the_norm_of_its_matrices(importance: L1 | L2, order: int) -> None:
    (scores,) = score(spa_onnx.analyze(chain()), importance, 0).worth.values()
    np.testing.assert_allclose(scores[0], expected(order), rtol=1e-5)


def test_biases_and_scales_do_not_count() -> None:
    model = chain()
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 1:
            values = numpy_helper.to_array(tensor) * 100
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    before, after = (score(spa_onnx.analyze(m), L2(), 0).worth.values() for m in (chain(), model))
    np.testing.assert_array_equal(next(iter(before)), next(iter(after)))


def test_the_names_are_installed() -> None:
    for name in ("l1", "l2"):
        result = spa_onnx.prune(chain(), spa_onnx.PruneConfig(importance=name))
        assert result.report.settings["importance"] == name
