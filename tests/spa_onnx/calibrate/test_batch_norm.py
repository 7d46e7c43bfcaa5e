"""Statistics of the inputs at hand: against numpy, and against what stored moments promise."""

from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import spa_onnx
from spa_onnx.calibrate.batch_norm import BatchStatistics, measure
from spa_onnx.execute.runtime import open_session
from spa_onnx.inputs.batches import ArrayBatches
from spa_onnx.load.model import load
from spa_onnx.load.store import WeightStore
from spa_onnx.normalise.graph import normalise
from spa_onnx.plan.lanes import Kept, KeptLanes
from tests.builders import GraphBuilder

MEMORY = 10**8


@dataclass
class _Matched:
    found: BatchStatistics
    model: onnx.ModelProto
    weights: WeightStore

    @staticmethod
    def of(model: onnx.ModelProto, x: np.ndarray, size: int) -> "_Matched":
        loaded = load(model)
        graph = normalise(loaded)
        batches = ArrayBatches({graph.inputs[0].name: x}, size)
        found = measure(graph.model, loaded.weights, batches, MEMORY)
        return _Matched(found, found.put(graph.model), loaded.weights)

    @property
    def norms(self) -> list[onnx.NodeProto]:
        return [n for n in self.model.graph.node if n.op_type == "BatchNormalization"]

    def run(self, x: np.ndarray, *names: str) -> list[np.ndarray]:
        wanted = names or tuple(v.name for v in self.model.graph.output)
        return open_session(self.model, self.weights, wanted).run(wanted, {"x": x})

    def stored(self, name: str) -> np.ndarray:
        tensor = next(t for t in self.model.graph.initializer if t.name == name)
        return self.weights.array(tensor).astype(np.float64)


def _two_layers(opset: int, spatial: tuple[int, ...] = (6, 6)) -> onnx.ModelProto:
    g = GraphBuilder(opset=opset)
    x = g.input("x", ("N", 3, *spatial))
    first = g.batch_norm(g.conv(x, 5, 3) if spatial else g.gemm(x, 5))
    second = g.relu(first)
    second = g.batch_norm(g.conv(second, 4, 1) if spatial else g.gemm(second, 4))
    return g.model(first, second)


@pytest.mark.parametrize("opset", [7, 8, 9, 13, 15, 18, 22])
@pytest.mark.parametrize("spatial", [(), (7,), (6, 6), (4, 4, 4)])
def test_every_normalisation_uses_the_statistics_of_its_input(
    opset: int, spatial: tuple[int, ...]
) -> None:
    x = np.random.default_rng(0).normal(3, 5, (40, 3, *spatial)).astype(np.float32)
    matched = _Matched.of(_two_layers(opset, spatial), x, 16)
    assert len(matched.norms) == 2
    for node in matched.norms:
        seen, made = (a.astype(np.float64) for a in matched.run(x, node.input[0], node.output[0]))
        shape, axes = (1, -1, *(1,) * len(spatial)), (0, *range(2, 2 + len(spatial)))
        scale, bias = (matched.stored(n).reshape(shape) for n in node.input[1:3])
        centred = seen - seen.mean(axes, keepdims=True)
        wanted = scale * centred / np.sqrt(seen.var(axes, keepdims=True) + 1e-5) + bias
        assert np.allclose(made, wanted, atol=2e-3)


@pytest.mark.parametrize("size", [1, 7, 40])
def test_the_size_of_batches_does_not_matter(size: int) -> None:
    model = _two_layers(13)
    x = np.random.default_rng(0).normal(3, 5, (40, 3, 6, 6)).astype(np.float32)
    whole, parts = (_Matched.of(model, x, n).found for n in (40, size))
    for name, (mean, variance) in whole.measured.items():
        assert np.allclose(parts.measured[name][0], mean, atol=1e-4)
        assert np.allclose(parts.measured[name][1], variance, rtol=1e-3)


def test_outputs_have_the_moments_that_scale_and_bias_say() -> None:
    x = np.random.default_rng(0).normal(-7, 0.3, (64, 3, 6, 6)).astype(np.float32)
    matched = _Matched.of(_two_layers(13), x, 64)
    for node in matched.norms:
        (y,) = matched.run(x, node.output[0])
        assert np.allclose(y.mean((0, 2, 3)), matched.stored(node.input[2]), atol=2e-3)
        assert np.allclose(y.std((0, 2, 3)), abs(matched.stored(node.input[1])), rtol=2e-2)


def test_the_model_itself_stays_as_it_is() -> None:
    loaded = load(_two_layers(13))
    graph = normalise(loaded)
    before = graph.model.SerializeToString(deterministic=True)
    x = np.ones((4, 3, 6, 6), np.float32)
    found = measure(graph.model, loaded.weights, ArrayBatches({"x": x}, 4), MEMORY)
    found.put(graph.model)
    assert graph.model.SerializeToString(deterministic=True) == before


def test_half_precision_is_measured_in_higher() -> None:
    g = GraphBuilder(opset=15)
    x = g.node("Cast", [g.input("x", ("N", 3, 6, 6))], to=onnx.TensorProto.FLOAT16)
    norm = [g.constant(np.full(3, v, np.float16)) for v in (1.0, 0.0, 0.0, 1.0)]
    model = g.model(g.node("Cast", [g.node("BatchNormalization", [x, *norm])], to=1))
    values = np.random.default_rng(0).normal(60, 8, (500, 3, 6, 6)).astype(np.float32)
    (mean, variance), *_ = _Matched.of(model, values, 100).found.measured.values()
    assert np.allclose(mean, values.mean((0, 2, 3)), rtol=1e-2)
    assert np.allclose(variance, values.var((0, 2, 3)), rtol=2e-2)


def test_constant_channels_give_finite_outputs() -> None:
    model = _two_layers(13)
    x = np.zeros((8, 3, 6, 6), np.float32)
    matched = _Matched.of(model, x, 8)
    assert all((v > 0).all() for _, v in matched.found.measured.values())
    assert all(np.isfinite(y).all() for y in matched.run(x))


def test_statistics_that_two_normalisations_share_are_told_apart() -> None:
    g = GraphBuilder(opset=13)
    shared = [g.constant(np.full(4, v, np.float32)) for v in (1.0, 0.0, 0.0, 1.0)]
    x = g.node("BatchNormalization", [g.conv(g.input("x", ("N", 3, 6, 6)), 4), *shared])
    y = g.node("BatchNormalization", [g.conv(g.relu(x), 4), *shared])
    data = np.random.default_rng(0).normal(3, 5, (32, 3, 6, 6)).astype(np.float32)
    for made in _Matched.of(g.model(x, y), data, 8).run(data):
        assert np.allclose(made.mean((0, 2, 3)), 0, atol=1e-3)
        assert np.allclose(made.std((0, 2, 3)), 1, atol=1e-2)


def test_normalisations_that_train_are_left_alone() -> None:
    g = GraphBuilder(opset=15)
    norm = [g.constant(np.full(3, v, np.float32)) for v in (1.0, 0.0, 0.0, 1.0)]
    model = g.model(g.node("BatchNormalization", [g.input("x", ("N", 3, 4, 4)), *norm]))
    model.graph.node[0].attribute.append(helper.make_attribute("training_mode", 1))
    statistics = BatchStatistics({model.graph.node[0].output[0]: (np.ones(3), np.ones(3))})
    assert statistics.put(model) == model


def test_old_normalisations_of_single_positions_are_left_alone() -> None:
    g = GraphBuilder(opset=7)
    x = g.batch_norm(g.input("x", ("N", 3, 4, 4)))
    model = g.model(x)
    model.graph.node[0].attribute.append(helper.make_attribute("spatial", 0))
    assert BatchStatistics({x: (np.ones(3), np.ones(3))}).put(model) == model


def test_pruned_parts_get_the_lanes_that_stayed() -> None:
    g = GraphBuilder(opset=13)
    x = g.relu(g.batch_norm(g.conv(g.input("x", (2, 3, 6, 6)), 6, 3)))
    model = g.model(g.gemm(g.flatten(g.global_average_pool(x)), 3))
    analysis = spa_onnx.analyze(model)
    state = analysis.propagation
    mask = np.array([1, 0, 1, 1, 0, 1], bool)
    lanes = KeptLanes(state.space, {analysis.dims[0].dim: Kept(mask)})
    norm = next(n for n in state.graph.nodes if n.op == "BatchNormalization")
    values = np.arange(6.0)
    part = onnx.ModelProto()
    part.CopyFrom(state.graph.model)
    for tensor in part.graph.initializer:
        if tensor.name in norm.inputs[3:]:
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(4, np.float32), tensor.name))
    made = BatchStatistics({norm.outputs[0]: (values, values + 10)}).put_pruned(part, state, lanes)
    node = next(n for n in made.graph.node if n.op_type == "BatchNormalization")
    stored = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    assert stored[node.input[3]].tolist() == [0, 2, 3, 5]
    assert stored[node.input[4]].tolist() == [10, 12, 13, 15]
