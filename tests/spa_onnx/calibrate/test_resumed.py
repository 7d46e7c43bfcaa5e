"""Runs that begin behind the inputs give what whole runs give."""

import numpy as np
import onnx
import pytest

from spa_onnx.calibrate import resumed
from spa_onnx.calibrate.resumed import ResumedRuns
from spa_onnx.execute.runtime import open_session
from spa_onnx.layers.find import layers_of
from spa_onnx.layers.variants import LayerEditor
from spa_onnx.load.model import load
from spa_onnx.normalise.graph import normalise
from tests.builders import GraphBuilder
from tests.graph_writer import AnyArray
from tests.spa_onnx.calibrate.listed import Listed


def network(random: bool = False) -> onnx.ModelProto:
    """Residual blocks, an output halfway, a layer without a bias."""
    g = GraphBuilder(opset=17)
    x = g.input("x", (4, 3, 8, 8))
    x = early = g.relu(g.conv(x, 8, 3))
    for _ in range(4):
        y = g.conv(g.relu(g.conv(x, 8, 3)), 8, 3)
        x = g.relu(g.add(x, y))
    if random:
        x = g.add(x, g.node("RandomUniformLike", [x]))
    x = g.add(x, early)
    pooled = g.flatten(g.global_average_pool(x))
    return g.model(pooled, g.matmul(pooled, g.constant(np.ones((8, 5), np.float32))))


def prepared(model: onnx.ModelProto, memory: int = 10**9) -> tuple[ResumedRuns, LayerEditor]:
    graph = normalise(load(model.SerializeToString()))
    editor = LayerEditor(graph.model, graph.weights)
    handles = editor.handles(list(layers_of(graph)))
    editor.make_inputs([name for h in handles.values() for name in (h.weight, h.bias)])
    rng = np.random.default_rng(0)
    batches = [{"x": rng.standard_normal((4, 3, 8, 8)).astype(np.float32)} for _ in range(3)]
    runs = ResumedRuns(graph.model, graph.weights, Listed(batches), handles.values(), memory)
    runs.prepare()
    return runs, editor


def whole(runs: ResumedRuns, changed: dict[str, AnyArray]) -> list[list[AnyArray]]:
    names = [entry.name for entry in runs.model.graph.output]
    session = open_session(runs.model, runs.weights, names)
    return [session.run(names, {**feeds, **changed}) for feeds in runs.batches]


@pytest.mark.parametrize("memory", [10**9, 100])
def test_every_changed_layer_changes_the_outputs_as_in_a_whole_run(memory: int) -> None:
    runs, editor = prepared(network(), memory)
    starts = set()
    assert len(runs.handles) == 10
    for handle in runs.handles:
        for name in (handle.weight, handle.bias):
            changed = {name: editor.value(name) + np.float32(0.1)}
            ours, theirs = runs.run(changed), whole(runs, changed)
            for a, b in zip(ours, theirs, strict=True):
                for y, z in zip(a, b, strict=True):
                    assert np.allclose(y, z, atol=1e-5)
            assert not np.allclose(ours[0][1], runs.dense[0][1], atol=1e-5)
        starts.add(max(t.start for t in runs.tails if t.start <= runs.starts[handle.weight]))
    assert len(starts) == (1 if memory == 100 else resumed.CUTS + 1)


def test_the_first_of_several_changed_layers_decides_where_a_run_begins() -> None:
    runs, editor = prepared(network())
    names = [h.weight for h in runs.handles]
    changed = {n: editor.value(n) * np.float32(0.5) for n in (names[1], names[-1])}
    for a, b in zip(runs.run(changed), whole(runs, changed), strict=True):
        assert np.allclose(a[1], b[1], atol=1e-5)


def test_a_network_without_layers_to_change_is_run_once() -> None:
    graph = normalise(load(network().SerializeToString()))
    batches = Listed([{"x": np.ones((4, 3, 8, 8), np.float32)}])
    runs = ResumedRuns(graph.model, graph.weights, batches, (), 10**9)
    runs.prepare()
    assert [len(outputs) for outputs in runs.dense] == [2]


def test_a_network_that_draws_numbers_is_run_as_a_whole() -> None:
    runs, _ = prepared(network(random=True))
    assert [t.start for t in runs.tails] == [0]
