"""Second moments of a whole network, by layer."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from spa_onnx.calibrate import collect
from spa_onnx.calibrate.collect import LayerMoments, items_of, moment_bytes
from spa_onnx.calibrate.put_aside import PutAside
from spa_onnx.errors import CalibrationError
from spa_onnx.execute.runtime import open_session
from spa_onnx.inputs.batches import ArrayBatches, Batches, Feeds
from spa_onnx.layers.find import layers_of
from spa_onnx.score.consumers import Consumer
from tests.builders import GraphBuilder
from tests.graph_writer import AnyArray
from tests.spa_onnx.calibrate.listed import Listed
from tests.spa_onnx.layers.some_layers import graph_of


def moments(inputs: Batches, memory: int = 10**9) -> LayerMoments:
    g = GraphBuilder(opset=17)
    x = g.input("x", ("N", 3, 8, 8))
    a = g.relu(g.conv(x, 6, 3))
    b = g.add(g.conv(a, 5, 3), g.conv(a, 5, 3))
    graph = graph_of(g.model(g.linear(g.node("Flatten", [g.global_average_pool(b)]), 4), a))
    return LayerMoments(
        graph.model, graph.weights, list(layers_of(graph)), inputs, memory, 0, 10**9
    )


def pictures(count: int = 30) -> AnyArray:
    return np.random.default_rng(0).standard_normal((count, 3, 8, 8)).astype(np.float32)


def test_moments_are_those_of_the_features() -> None:
    x = pictures()
    collected = moments(ArrayBatches({"x": x}, 8))
    _, second, third, last = collected.layers
    found = collected.of([second, third, last])
    assert found[0] is found[1]  # they see the same
    session = open_session(collected.model, collected.weights, [second.source])
    (a,) = session.run([second.source], {"x": x})
    grid = second.grid(a.shape)
    everywhere = tuple(k.reshape(-1) for k in np.indices(grid))
    wanted = np.cov(second.features(a, everywhere)[:, 0].T.astype(np.float64), bias=True)
    assert found[0].count == np.prod(grid)
    assert np.allclose(found[0].covariance[0], wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("memory", [1, 3000, 20_000, 30_000])
def test_the_memory_decides_how_often_not_what(memory: int) -> None:
    rich, poor = (moments(ArrayBatches({"x": pictures()}, 8), m) for m in (10**9, memory))
    for a, b in zip(rich.layers, poor.layers, strict=True):
        (full,), (found,) = rich.of([a]), poor.of([b])
        assert np.allclose(full.mean, found.mean, rtol=1e-4, atol=1e-6)
        if moment_bytes(a) <= memory:
            assert np.array_equal(full.covariance, found.covariance)
        else:
            assert b.node.label in poor.coarse
            diagonal = np.diagonal(full.covariance, axis1=1, axis2=2)
            assert np.allclose(diagonal, found.covariance, rtol=1e-4, atol=1e-7)


def test_batches_may_be_of_any_size() -> None:
    x = pictures()
    parts = Listed([{"x": p} for p in np.split(x, [1, 2, 20])])
    a, b = moments(parts), moments(ArrayBatches({"x": x}, 30))
    for layer in a.layers:
        (one,), (other,) = a.of([layer]), b.of([layer])
        assert one.count == other.count
        assert np.allclose(one.covariance, other.covariance, rtol=1e-3, atol=1e-4)


def test_layers_that_see_nothing_finite_are_named() -> None:
    collected = moments(ArrayBatches({"x": pictures() * np.nan}, 8))
    with pytest.raises(CalibrationError, match="nothing finite"):
        collected.of(collected.layers)


def test_a_batch_counts_its_first_input_with_an_axis() -> None:
    assert items_of({"t": np.array(3.0), "x": np.zeros((4, 2))}) == 4
    assert items_of({"t": np.array(3.0)}) == 1
    assert items_of({"s": [np.zeros(3)], "x": np.zeros((5, 2))}) == 5


def test_the_energy_of_a_consumer_is_the_variance_of_its_output() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((50, 4)), rng.standard_normal((1, 3, 4))
    consumer = Consumer(w, np.cov(x.T, bias=True)[None], np.arange(4)[None], x.mean(axis=0)[None])
    assert np.isclose(consumer.energy, (x @ w[0].T).var(axis=0).sum())


@dataclass
class Counted:
    """Batches that count how often they are read."""

    batches: ArrayBatches
    samples: int = 30
    origin: str = "counted"
    runs: int = 0

    def __iter__(self) -> Iterator[Feeds]:
        self.runs += 1
        return iter(self.batches)

    def first(self, count: int) -> Batches:
        return self.batches.first(count)


def test_what_made_room_is_not_collected_again(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = moments(ArrayBatches({"x": pictures()}, 8))
    wanted = [whole.of([layer])[0] for layer in whole.layers]
    read = {}
    for files in (16, 0):
        monkeypatch.setattr(collect, "FILES", files)
        batches = Counted(ArrayBatches({"x": pictures()}, 8))
        poor = moments(batches, max(map(moment_bytes, whole.layers)))
        for _ in range(3):
            for layer, full in zip(poor.layers, wanted, strict=True):
                (found,) = poor.of([layer])
                assert found.count == full.count
                assert np.allclose(found.covariance, full.covariance, atol=1e-6)
                assert np.allclose(found.mean, full.mean, atol=1e-6)
        read[files] = batches.runs
    assert 1 < read[16] <= len(whole.layers)
    assert read[0] > read[16]


def test_files_of_moments_go_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    collected = moments(ArrayBatches({"x": pictures()}, 8))
    aside = PutAside(10**6)
    for layer in collected.layers:
        aside.put(layer.key, collected.of([layer])[0])
    assert list(tmp_path.iterdir())
    del aside
    assert not list(tmp_path.iterdir())
