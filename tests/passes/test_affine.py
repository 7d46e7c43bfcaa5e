"""Affine correction: statistics of every channel are the dense ones."""

import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx.compensate.refit import LayerSamples
from spa_onnx.errors import UsageError
from spa_onnx.layers.moments import Moments
from spa_onnx.passes.affine import Affine
from tests.builders import GraphBuilder
from tests.onnx_runs import run

RNG = np.random.default_rng(0)


def fitted(
    x: np.ndarray,  # type: ignore[type-arg]
    y: np.ndarray,  # type: ignore[type-arg]
    weight: np.ndarray,  # type: ignore[type-arg]
    limit: float = 4.0,
) -> np.ndarray:  # type: ignore[type-arg]
    """Return the outputs of a layer after its refit."""
    seen = Moments()
    seen.add(x, y)
    made = Affine(limit).refit(LayerSamples(weight, seen, Moments()))
    for g, rows in enumerate(made.weight):  # rows only stretch
        cosines = [
            a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            for a, b in zip(rows, weight[g], strict=True)
        ]
        assert np.allclose(cosines, 1)
    return np.einsum("gok,ngk->ngo", made.weight, x) + made.offset


def test_means_and_variances_are_those_of_the_targets() -> None:
    x = RNG.standard_normal((500, 2, 6)) @ RNG.standard_normal((6, 6)) + 2
    weight = RNG.standard_normal((2, 4, 6))
    y = 1.5 * np.einsum("gok,ngk->ngo", weight, x) + RNG.standard_normal((500, 2, 4)) - 3
    made = fitted(x, y, weight)
    assert np.allclose(made.mean(axis=0), y.mean(axis=0), atol=1e-4)
    assert np.allclose(made.var(axis=0), y.var(axis=0), rtol=1e-3)


def test_what_does_not_move_is_only_shifted() -> None:
    x, weight = np.ones((50, 1, 3)), np.ones((1, 2, 3))
    y = RNG.standard_normal((50, 1, 2)) + 4
    made = fitted(x, y, weight)
    assert np.allclose(made, y.mean(axis=0))


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_the_stretch_is_limited(factor: float) -> None:
    x = RNG.standard_normal((300, 1, 3))
    weight = RNG.standard_normal((1, 2, 3))
    y = factor * np.einsum("gok,ngk->ngo", weight, x)
    made = fitted(x, y, weight, limit=2.0)
    ratio = made.std(axis=0) / np.einsum("gok,ngk->ngo", weight, x).std(axis=0)
    assert np.allclose(ratio, np.clip(factor, 0.5, 2.0), rtol=1e-3)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match=r"limit 0\.5 is below one"):
        Affine(0.5)


def _images(kind: str) -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.input("x", ("N", 3, 6, 6))
    for width in (12, 16):
        x = g.conv(x, width, 3, bias=kind == "folded")
        x = g.relu(x if kind == "folded" else g.batch_norm(x))
    return g.model(g.conv(x, 4, 3))


@pytest.mark.parametrize("kind", ["folded", "normalised"])
def test_outputs_of_the_whole_network_have_the_dense_statistics(kind: str) -> None:
    model = _images(kind)
    inputs = RNG.standard_normal((200, 3, 6, 6)).astype(np.float32)
    config = spa_onnx.PruneConfig(importance="l2", calibration=inputs, compensation="affine")
    result = spa_onnx.prune(model, config)
    (dense,), (made,) = (run(m, {"x": inputs}) for m in (model, result.model))
    axes = (0, 2, 3)
    assert np.allclose(made.mean(axis=axes), dense.mean(axis=axes), atol=0.1 * dense.std())
    assert np.allclose(made.std(axis=axes), dense.std(axis=axes), rtol=0.1)
