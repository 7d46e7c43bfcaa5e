"""Passes that run the model, without calibration inputs."""

import numpy as np
import onnx
from onnx import numpy_helper

import spa_onnx
from spa_onnx.allocate.budget import KeepFlops
from spa_onnx.calibrate.engine import make_engine
from spa_onnx.config import PruneConfig
from spa_onnx.execute.runtime import open_session
from spa_onnx.load.model import load
from spa_onnx.passes.obspa import GroupObs
from spa_onnx.passes.rate_distortion import RateDistortion
from spa_onnx.passes.ridge import Ridge
from tests.builders import GraphBuilder
from tests.onnx_runs import run

CONFIG = PruneConfig(
    budget=KeepFlops(0.6),
    importance=GroupObs(),
    allocation=RateDistortion(),
    compensation=Ridge(),
)


def _network() -> onnx.ModelProto:
    g = GraphBuilder(opset=13)
    x = g.relu(g.batch_norm(g.conv(g.input("x", ("N", 3, 16, 16)), 16, 3)))
    y = g.relu(g.batch_norm(g.conv(x, 16, 3)))
    y = g.relu(g.add(x, g.batch_norm(g.conv(y, 16, 3))))
    return g.model(g.gemm(g.flatten(g.global_average_pool(y)), 5))


def _stored(model: onnx.ModelProto) -> list[np.ndarray]:
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    norms = [n for n in model.graph.node if n.op_type == "BatchNormalization"]
    return [tensors[name] for n in norms for name in n.input[3:5]]


def test_a_model_is_pruned_and_repaired_without_data() -> None:
    result = spa_onnx.prune(_network(), CONFIG)
    repair = result.report.repair
    assert repair is not None
    assert (repair.origin, repair.samples) == ("made up", 512)
    assert repair.after < 0.5 * repair.before
    x = np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype(np.float32)
    assert run(result.model, {"x": x})[0].shape == (2, 5)


def test_the_result_keeps_the_stored_statistics_of_its_lanes() -> None:
    """Made-up inputs are for fitting only: what training measured stays in the file."""
    model = _network()
    pruned = spa_onnx.prune(model, CONFIG).model
    for new, old in zip(_stored(pruned), _stored(model), strict=True):
        assert set(new.tolist()) <= set(old.tolist())
        assert len(new) <= len(old)


def test_the_same_seed_gives_the_same_result() -> None:
    first, again = (spa_onnx.prune(_network(), CONFIG).model for _ in range(2))
    x = np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype(np.float32)
    assert np.array_equal(run(first, {"x": x})[0], run(again, {"x": x})[0])


def test_layers_see_the_moments_that_training_stored() -> None:
    loaded = load(_network())
    analysis = spa_onnx.analyze(_network())
    engine = make_engine(loaded, analysis, CONFIG)
    norms = [n for n in engine.model.graph.node if n.op_type == "BatchNormalization"]
    tensors = {t.name: t for t in engine.model.graph.initializer}
    names = [n.output[0] for n in norms]
    session = open_session(engine.model, loaded.weights, names)
    runs = [session.run(names, feeds) for feeds in engine.batches]
    for k, node in enumerate(norms):
        made = np.concatenate([run_[k] for run_ in runs])
        scale, bias = (loaded.weights.array(tensors[n]) for n in node.input[1:3])
        assert np.allclose(made.mean((0, 2, 3)), bias, atol=0.01)
        assert np.allclose(made.std((0, 2, 3)), np.abs(scale), rtol=0.05)
