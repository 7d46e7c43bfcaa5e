"""Repair of whole networks: nothing cut changes nothing, and what can be repaired is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import spa_onnx
from spa_onnx.calibrate.distance import output_distance
from spa_onnx.compensate.sequential import SequentialRepair
from spa_onnx.errors import NothingToPruneError
from spa_onnx.layers.find import layers_of
from spa_onnx.load.model import load
from spa_onnx.normalise.graph import normalise
from spa_onnx.passes.ridge import Ridge
from spa_onnx.plan.lanes import KeptLanes
from spa_onnx.report.report import LeftAsCut
from tests.builders import GraphBuilder
from tests.onnx_runs import random_feeds, run
from tests.random_graphs import random_model
from tests.spa_onnx.calibrate.listed import Listed


def inputs(model: onnx.ModelProto, count: int = 6, items: int = 8) -> Listed:
    """Return batches of random inputs, the last one shorter where the model allows it."""
    found = [dict(random_feeds(model, k, {"N": items})) for k in range(count)]
    return Listed(found)


def repaired(
    model: onnx.ModelProto | Path, ratio: float = 0.5, batches: Any = None, **options: Any
) -> spa_onnx.PruneResult:
    """Prune at random and repair."""
    given = batches or inputs(model)  # type: ignore[arg-type]
    config = spa_onnx.PruneConfig(
        spa_onnx.Ratio(ratio),
        importance="random",
        compensation="ridge",
        calibration=given,
        **options,
    )
    return spa_onnx.prune(model, config)


def image(width: int | str = "N") -> tuple[GraphBuilder, str]:
    g = GraphBuilder(opset=17)
    return g, g.input("x", (width, 3, 8, 8))


def _chain(g: GraphBuilder, x: str) -> str:
    return g.conv(g.relu(g.conv(g.relu(g.conv(x, 8, 3)), 8, 3)), 4)


def _residual(g: GraphBuilder, x: str) -> str:
    a = g.relu(g.conv(x, 8, 3))
    b = g.add(a, g.conv(g.relu(g.conv(a, 8, 3)), 8, 3))
    return g.conv(g.relu(b), 4)


def _depthwise(g: GraphBuilder, x: str) -> str:
    a = g.relu(g.conv(x, 8))
    return g.conv(g.relu(g.conv(a, 8, 3, groups=8)), 4)


def _grouped(g: GraphBuilder, x: str) -> str:
    a = g.relu(g.conv(x, 12, 3))
    return g.conv(g.relu(g.conv(a, 8, 3, groups=2)), 4)


def _normalised(g: GraphBuilder, x: str) -> str:
    return g.conv(g.relu(g.batch_norm(g.conv(x, 8, 3, bias=False))), 4)


def _shared(g: GraphBuilder, x: str) -> str:
    w = g.weight(8, 8, 3, 3)
    a = g.relu(g.conv(x, 8))
    return g.conv(g.relu(g.conv(g.relu(g.conv(a, 8, 3, weight=w)), 8, 3, weight=w)), 4)


def _transposed(g: GraphBuilder, x: str) -> str:
    a = g.relu(g.conv_transpose(g.relu(g.conv(x, 8, 3)), 8, 3, groups=2))
    return g.conv(a, 4)


def _flattened(g: GraphBuilder, x: str) -> str:
    a = g.relu(g.conv(x, 6, 3, stride=2))
    return g.gemm(g.relu(g.gemm(g.node("Flatten", [a]), 16)), 4)


def _with_linear(g: GraphBuilder, x: str) -> str:
    tokens = g.node("Transpose", [g.node("ReduceMean", [x], axes=[3], keepdims=0)], perm=[0, 2, 1])
    return g.linear(g.relu(g.linear(tokens, 12)), 5)


NETWORKS: list[Callable[[GraphBuilder, str], str]] = [
    _chain, _residual, _depthwise, _grouped, _normalised, _shared, _flattened, _with_linear,
    _transposed,
]  # fmt: skip


@pytest.mark.parametrize("network", NETWORKS)
def test_outputs_are_nearer_than_without_repair(network: Any) -> None:
    g, x = image()
    made = repaired(g.model(network(g, x)))
    report = made.report.repair
    assert report is not None
    assert report.layers
    assert report.after < 0.9 * report.before
    onnx.checker.check_model(made.model, full_check=True)


@pytest.mark.parametrize("network", NETWORKS)
def test_without_a_cut_nothing_changes(network: Any) -> None:
    g, x = image()
    model = g.model(network(g, x))
    batches, result = inputs(model), spa_onnx.analyze(model)
    graph = result.propagation.graph
    lanes = KeptLanes(result.propagation.space, {})
    repair = SequentialRepair(
        result.propagation, graph.model, graph.weights, lanes, batches, 0, 10**9, 10**9
    )
    pruned = normalise(load(model))
    assert repair.run(pruned, Ridge()) == 0
    for layer in layers_of(pruned):
        assert np.array_equal(pruned.array(layer.weight.name), graph.array(layer.weight.name))


def test_lanes_that_others_make_up_are_not_missed() -> None:
    g, x = image()
    base = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    w = g.constant(np.concatenate([base, 2 * base, base / 2]))
    a = g.relu(g.node("Conv", [x, w], pads=[1, 1, 1, 1]))
    model = g.model(g.conv(a, 6, 3))
    config = spa_onnx.PruneConfig(
        spa_onnx.Ratio(0.66), importance="obspa", compensation="ridge", calibration=inputs(model)
    )
    report = spa_onnx.prune(model, config).report.repair
    assert report is not None
    assert report.before > 0.01
    assert report.after < 1e-5


def test_batches_may_differ_in_size_and_the_batch_may_be_open() -> None:
    g, x = image()
    model = g.model(_residual(g, x))
    feeds = [dict(random_feeds(model, k, {"N": n})) for k, n in enumerate((16, 3, 1, 9))]
    report = repaired(model, batches=Listed(feeds)).report.repair
    assert report is not None
    assert report.samples == 29
    assert report.after < report.before


@pytest.mark.parametrize("memory", [1, 5000])
def test_little_memory_gives_nearly_the_same(memory: int) -> None:
    g, x = image()
    model = g.model(_residual(g, x))
    rich, poor = repaired(model), repaired(model, statistics_memory=memory)
    assert rich.report.repair is not None
    assert poor.report.repair is not None
    assert not rich.report.repair.coarse
    assert poor.report.repair.coarse
    assert poor.report.repair.layers == rich.report.repair.layers
    assert poor.report.repair.after < poor.report.repair.before  # the means at least


def test_several_inputs_and_outputs() -> None:
    g = GraphBuilder(opset=17)
    x, z = g.input("x", ("N", 6)), g.input("z", ("N", 5))
    hidden = g.relu(g.gemm(g.relu(g.add(g.gemm(x, 12), g.linear(z, 12))), 10))
    model = g.model(g.gemm(hidden, 3), g.linear(hidden, 2))
    result = repaired(model)
    assert result.report.repair is not None
    assert result.report.repair.after < result.report.repair.before


def test_nodes_in_any_order_and_old_files() -> None:
    for ir_version, opset in ((3, 9), (8, 13)):
        g = GraphBuilder(opset=opset, ir_version=ir_version)
        model = g.model(_chain(g, g.input("x", ("N", 3, 8, 8))))
        nodes = list(reversed(model.graph.node))
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        feeds = [
            {"x": np.random.default_rng(k).standard_normal((8, 3, 8, 8), np.float32)}
            for k in range(4)
        ]
        result = repaired(model, batches=Listed(feeds))
        assert result.report.repair is not None
        assert result.report.repair.after < result.report.repair.before
        onnx.checker.check_model(result.model)
        assert result.model.ir_version == ir_version


def test_half_precision_stays_half_precision() -> None:
    g = GraphBuilder(opset=17)
    x = g.node("Cast", [g.input("x", ("N", 6))], to=TensorProto.FLOAT16)
    for width in (16, 12):
        w = g.constant(
            (np.random.default_rng(width).standard_normal((g.shape(x)[-1], width)) / 3).astype(
                np.float16
            )
        )
        x = g.node("Relu", [g.node("MatMul", [x, w])])
    model = g.model(g.node("Cast", [x], to=TensorProto.FLOAT))
    result = repaired(model)
    kinds = {t.data_type for t in result.model.graph.initializer}
    assert kinds == {TensorProto.FLOAT16}
    assert result.report.repair is not None
    assert result.report.repair.after < result.report.repair.before


def test_weights_in_files_of_their_own(tmp_path: Path) -> None:
    g, x = image()
    model = g.model(_chain(g, x))
    batches = inputs(model)
    source, target = tmp_path / "model.onnx", tmp_path / "small.onnx"
    in_memory = repaired(model, batches=batches).model
    onnx.save(model, source, save_as_external_data=True, location="weights", size_threshold=0)
    config = spa_onnx.PruneConfig(importance="random", compensation="ridge", calibration=batches)
    result = spa_onnx.prune(source, config, output=target)
    assert result.report.repair is not None
    feeds = batches.feeds[0]
    for a, b in zip(run(in_memory, feeds), run(onnx.load(target), feeds), strict=True):
        assert np.allclose(a, b, atol=1e-5)


def test_a_sequence_may_cross_from_one_segment_to_the_next() -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", ("N", 6))
    a = g.relu(g.gemm(x, 12))
    parts = g.node("SequenceConstruct", [g.gemm(a, 5), g.gemm(a, 5)])
    b = g.gemm(a, 5)
    first = g.node("SequenceAt", [parts, g.constant(np.array(1))])
    model = g.model(g.add(first, b))
    result = repaired(model)
    assert result.report.repair is not None
    assert result.report.repair.after < result.report.repair.before


def test_layers_that_see_weights_alone_are_left_alone() -> None:
    g = GraphBuilder(opset=17)
    queries = g.relu(g.linear(g.constant(np.ones((3, 6), np.float32)), 12))
    again = g.linear(queries, 10)
    model = g.model(g.linear(g.relu(g.add(g.linear(g.input("x", ("N", 3, 6)), 10), again)), 4))
    report = repaired(model).report.repair
    assert report is not None
    assert report.layers == 1
    assert report.after < report.before


def test_quantised_layers_are_left_alone() -> None:
    g, x = image()
    w = g.constant(np.random.default_rng(0).integers(-90, 90, (8, 3, 3, 3)).astype(np.int8))
    stored = g.node("DequantizeLinear", [w, g.constant(np.float32(0.01)), g.constant(np.int8(0))])
    a = g.relu(g.node("Conv", [x, stored]))
    w = g.constant(np.random.default_rng(1).integers(-90, 90, (4, 8, 3, 3)).astype(np.int8))
    stored = g.node("DequantizeLinear", [w, g.constant(np.float32(0.01)), g.constant(np.int8(0))])
    report = repaired(g.model(g.node("Conv", [a, stored]))).report.repair
    assert report is not None
    assert report.layers == 0
    assert report.after == report.before
    assert report.left == (LeftAsCut("Conv", 1, "quantised weights"),)


def test_recurrent_layers_are_left_alone_and_named() -> None:
    g = GraphBuilder(opset=17)
    hidden = g.relu(g.linear(g.input("x", (5, "N", 6)), 12))
    y = g.reshape(g.transpose(g.recurrent("LSTM", hidden, 7), 0, 2, 1, 3), (0, 0, 7))
    report = repaired(g.model(g.linear(y, 3))).report.repair
    assert report is not None
    assert report.left == (LeftAsCut("LSTM", 1, "recurrent"),)


@pytest.mark.parametrize("seed", range(24))
def test_random_networks_are_repaired_into_valid_models(seed: int) -> None:
    model = random_model(seed)
    batches = inputs(model, 12, 2)
    try:
        result = repaired(model, 0.4, batches)
    except NothingToPruneError:
        return
    report = result.report.repair
    assert report is not None
    onnx.checker.check_model(result.model, full_check=True)
    dense = [run(model, feeds) for feeds in batches]
    after = [run(result.model, feeds) for feeds in batches]
    assert np.isclose(output_distance(dense, after), report.after, rtol=0.05, atol=1e-4)
    assert report.after <= 1.05 * report.before + 1e-6
