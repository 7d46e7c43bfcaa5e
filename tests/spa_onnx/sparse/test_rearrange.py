"""Another order of lanes: every tensor that holds them follows, and outputs stay what they are."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from spa_onnx import SparsifyConfig, sparsify
from spa_onnx.analyse.dims import Analysis, analyse
from spa_onnx.load.model import load
from spa_onnx.normalise.graph import normalise
from spa_onnx.plan.lanes import Kept
from spa_onnx.prove.proof import prove
from spa_onnx.rewrite.apply import rewrite
from spa_onnx.rewrite.writer import to_bytes
from spa_onnx.sparse.layers import sparse_layers
from spa_onnx.sparse.pattern import Pattern, parse_pattern
from spa_onnx.sparse.rearrange import rearranged
from tests.builders import GraphBuilder
from tests.onnx_runs import random_feeds, run


def convolutions() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    a = g.relu(g.batch_norm(g.conv(g.input("x", ("N", 3, 8, 8)), 16, 3)))
    b = g.conv(g.relu(g.conv(g.conv(a, 16, 3, groups=16), 24, 3)), 16)
    c = g.concat(g.add(a, b), g.conv(a, 8), axis=1)
    return g.model(g.gemm(g.flatten(g.global_average_pool(c)), 5))


def perceptron() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.layer_norm(g.linear(g.input("x", ("N", 6, 12)), 16))
    return g.model(g.linear(g.add(x, g.linear(g.relu(g.linear(x, 32)), 16)), 3))


def shuffled(analysis: Analysis) -> dict[object, Kept]:
    rng = np.random.default_rng(0)
    return {
        d.dim: Kept(np.ones(d.dim.size, bool), order=rng.permutation(d.dim.size))
        for d in analysis.dims
    }


@pytest.mark.parametrize("make", [convolutions, perceptron])
def test_any_order_of_lanes_leaves_the_outputs(make: Callable[[], onnx.ModelProto]) -> None:
    model = make()
    loaded = load(model)
    analysis = analyse(normalise(loaded), {})
    kept = shuffled(analysis)
    data = to_bytes(rewrite(analysis, kept), loaded)  # type: ignore[arg-type]
    proof = prove(loaded, analysis, kept, load(data), 0, {}, 10**9)  # type: ignore[arg-type]
    assert proof.largest < 1e-4
    assert len(proof.inner) > 2
    moved = onnx.ModelProto.FromString(data)
    feeds = random_feeds(model, 0, {"N": 3})
    assert np.allclose(run(model, feeds)[0], run(moved, feeds)[0], atol=1e-4)
    before, after = ({t.name: t.raw_data for t in m.graph.initializer} for m in (model, moved))
    assert sum(before[name] != after.get(name) for name in before) >= 8


@pytest.mark.parametrize(("pattern", "least"), [("4x1", 2), ("1x4", 2), ("2:4", 2)])
def test_an_order_is_found_for_what_decides_blocks(pattern: str, least: int) -> None:
    loaded = load(convolutions())
    analysis = analyse(normalise(loaded), {})
    chosen = parse_pattern(pattern)
    layers, _ = sparse_layers(analysis.propagation, [chosen], ())
    graph = analysis.propagation.graph

    def worth(name: str) -> np.ndarray:
        layer = layers[name]
        stored = np.asarray(graph.array(layer.weight.name), np.float64)
        return np.square(layer.matrix(stored))

    found = rearranged(analysis, layers, chosen, 0.5, worth, 0)
    assert len(found) >= least
    assert all(
        sorted(k.order) == list(range(d.size)) for d, k in found.items() if k.order is not None
    )


def interleaved(side: Pattern) -> onnx.ModelProto:
    """Return two layers; each row of the first has one large weight in half of its blocks.

    Rows with the same blocks belong together, and stand apart: which of a block's weights is the
    large one differs from row to row.
    """
    rng = np.random.default_rng(0)
    rows, blocks, kinds = 64, 8, 64 // side.outputs
    kept = np.argsort(rng.random((kinds, blocks)), axis=1) < blocks // 2
    columns = blocks * side.inputs
    weight = rng.uniform(0.001, 0.002, (rows, columns))
    for row in range(rows):
        for block in np.flatnonzero(kept[row % kinds]):
            weight[row, block * side.inputs + rng.integers(side.inputs)] = 1
    g = GraphBuilder(opset=17)
    first = g.constant(weight.astype(np.float32), "first")
    return g.model(g.gemm(g.relu(g.gemm(g.input("x", ("N", columns)), rows, weight=first)), 5))


@pytest.mark.parametrize("pattern", ["16x16", "8x32", "32x8", "16x64"])
def test_blocks_over_outputs_and_inputs_are_ordered_by_outputs(pattern: str) -> None:
    model = interleaved(parse_pattern(pattern))
    config = SparsifyConfig(0.5, pattern, selection="magnitude", repair=False, rearrange=True)
    result = sparsify(model, config)
    assert result.report.rearranged == 1
    stored = {t.name: numpy_helper.to_array(t) for t in result.model.graph.initializer}
    assert np.count_nonzero(stored["first"]) == stored["first"].size // 2
    assert np.count_nonzero(stored["first"] == 1) == 64 * 4
