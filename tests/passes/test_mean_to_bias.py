"""The mean of what is removed, in the bias."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import spa_onnx
from spa_onnx.compensate.refit import LayerSamples
from spa_onnx.layers.moments import Moments
from spa_onnx.passes.mean_to_bias import MeanToBias
from tests.builders import GraphBuilder
from tests.onnx_runs import run

RNG = np.random.default_rng(0)


def test_the_offset_is_what_removed_features_were_on_average() -> None:
    x, weight = RNG.standard_normal((300, 6)) + 3, RNG.standard_normal((4, 6))
    kept = np.array([0, 2, 3])
    seen = Moments()
    seen.add(x[:, None, kept], (x @ weight.T + 5)[:, None])
    made = MeanToBias().refit(LayerSamples(weight[None][:, :, kept], seen, Moments()))
    assert np.array_equal(made.weight[0], weight[:, kept])
    gone = np.setdiff1d(np.arange(6), kept)
    assert np.allclose(made.offset, 5 + weight[:, gone] @ x.mean(axis=0)[gone])


@pytest.mark.parametrize("kind", ["gemm", "matmul", "conv"])
def test_only_biases_change_and_means_come_back(kind: str) -> None:
    g = GraphBuilder(opset=17)
    if kind == "conv":
        shape = (64, 3, 5, 5)
        x = g.conv(g.relu(g.conv(g.input("x", ("N", *shape[1:])), 12)), 4, bias=False)
    else:
        shape = (64, 6)
        x = g.relu(g.gemm(g.input("x", ("N", 6)), 12))
        x = g.gemm(x, 4) if kind == "gemm" else g.linear(x, 4, bias=False)
    model = g.model(x)
    inputs = RNG.standard_normal(shape).astype(np.float32)
    config = spa_onnx.PruneConfig(importance="random", calibration=inputs)
    plain = spa_onnx.prune(model, config).model
    config = spa_onnx.PruneConfig(
        importance="random", calibration=inputs, compensation="mean-to-bias"
    )
    result = spa_onnx.prune(model, config)
    before, after = matrices(plain), matrices(result.model)
    assert before.keys() == after.keys()
    for name in before:
        assert np.array_equal(before[name], after[name])
    (dense,), (made,), (bare,) = (run(m, {"x": inputs}) for m in (model, result.model, plain))
    axes = (0, 2, 3) if kind == "conv" else 0
    wanted, ours, theirs = (y.mean(axis=axes) for y in (dense, made, bare))
    spread = dense.std()
    # a fifth of the inputs is held out, so means are those of the others
    assert np.abs(ours - wanted).max() < 0.2 * spread
    assert np.abs(ours - wanted).max() < 0.5 * np.abs(theirs - wanted).max()


def matrices(model: onnx.ModelProto) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """Return the stored tensors of more than one axis."""
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if len(t.dims) > 1}
