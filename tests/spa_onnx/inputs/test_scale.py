from collections.abc import Callable

import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx.calibrate.batch_norm import measure
from spa_onnx.inputs.batches import ArrayBatches
from spa_onnx.inputs.pictures import make_pictures
from spa_onnx.inputs.scale import fit_scale
from tests.builders import GraphBuilder
from tests.onnx_runs import run

Front = Callable[[GraphBuilder, str], str]
IMAGENET = np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1)


def _fitted(front: Front) -> np.ndarray:
    g = GraphBuilder(opset=13)
    x = front(g, g.input("x", ("N", 3, 16, 16)))
    y = g.relu(g.conv(x, 8, 3))
    state = spa_onnx.analyze(g.model(g.gemm(g.flatten(g.global_average_pool(y)), 3))).propagation
    return fit_scale(make_pictures(64, 3, 16, 16, seed=0), state, "x")


def _with(op: str, value: np.ndarray | float) -> Front:
    return lambda g, x: g.node(op, [x, g.constant(np.asarray(value, np.float32))])


BYTES: dict[str, list[Front]] = {
    "divided by 255": [_with("Div", 255.0)],
    "times 1/255": [_with("Mul", 1 / 255)],
    "between minus one and one": [_with("Div", 127.5), _with("Sub", 1.0)],
    "mean of bytes": [_with("Sub", 255 * IMAGENET)],
    "mean and deviation of bytes": [_with("Sub", 255 * IMAGENET), _with("Div", 255 * DEVIATION)],
    "divided, then normalised": [
        _with("Div", 255.0),
        _with("Sub", IMAGENET),
        _with("Div", DEVIATION),
    ],
}
UNIT: dict[str, list[Front]] = {
    "mean and deviation": [_with("Sub", IMAGENET), _with("Div", DEVIATION)],
    "between minus one and one": [_with("Mul", 2.0), _with("Sub", 1.0)],
    "a half subtracted": [_with("Sub", 0.5)],
}


def _chain(steps: list[Front]) -> Front:
    def front(g: GraphBuilder, x: str) -> str:
        for step in steps:
            x = step(g, x)
        return x

    return front


@pytest.mark.parametrize("name", BYTES)
def test_models_that_normalise_bytes_get_bytes(name: str) -> None:
    made = _fitted(_chain(BYTES[name]))
    assert made.min() >= 0
    assert 200 < made.max() <= 255


@pytest.mark.parametrize("name", UNIT)
def test_models_that_normalise_shares_get_shares(name: str) -> None:
    made = _fitted(_chain(UNIT[name]))
    assert made.min() >= 0
    assert 0.8 < made.max() <= 1


def test_other_models_get_standard_channels() -> None:
    made = _fitted(lambda _, x: x)
    assert np.allclose(made.mean((0, 2, 3)), 0, atol=1e-3)
    assert np.allclose(made.std((0, 2, 3)), 1, atol=1e-3)


@pytest.mark.parametrize(("gain", "shift"), [(0.25, 0.4), (60.0, -30.0), (1.0, 0.0)])
def test_a_first_normalisation_tells_mean_and_deviation(gain: float, shift: float) -> None:
    """A model whose stored statistics are those of pictures of a known scale."""
    g = GraphBuilder(opset=13)
    first = g.conv(g.input("x", ("N", 3, 16, 16)), 24, 3, padding=0)
    y = g.relu(g.batch_norm(first))
    model = g.model(g.gemm(g.flatten(g.global_average_pool(y)), 3))
    state = spa_onnx.analyze(model).propagation
    plain = make_pictures(96, 3, 16, 16, seed=1)
    plain = (plain - plain.mean((0, 2, 3), keepdims=True)) / plain.std((0, 2, 3), keepdims=True)
    seen = ArrayBatches({"x": (gain * plain + shift).astype(np.float32)}, 96)
    told = measure(state.graph.model, state.graph.weights, seen, 10**8).put(state.graph.model)
    for tensor in told.graph.initializer:  # weights may lie outside of the skeleton
        values = state.graph.weights.array(tensor)
        tensor.ClearField("external_data")
        tensor.data_location = onnx.TensorProto.DEFAULT
        tensor.raw_data = values.tobytes()
    made = fit_scale(make_pictures(96, 3, 16, 16, seed=0), spa_onnx.analyze(told).propagation, "x")
    assert made.std((0, 2, 3)) == pytest.approx(np.full(3, gain), rel=0.25)
    assert made.mean() == pytest.approx(shift, abs=0.35 * gain)
    assert np.isfinite(run(told, {"x": made})[0]).all()
