"""Chains of convolutions against an oracle that shares nothing with the library.

Random weights differ in every row, so the pruned file itself tells which lanes were kept. The
original with zeros where the removed lanes were read must then compute the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

import spa_onnx
from tests.builders import AnyArray, GraphBuilder
from tests.onnx_runs import random_feeds, run

Make = Callable[[int], tuple[onnx.ModelProto, list["Layer"]]]
Lanes = npt.NDArray[np.int64]

# Products summed in float32: a few hundred terms a layer, at most eight layers.
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Layer:
    """The sets of lanes, numbered, that a layer reads and writes; -1 is the graph input."""

    reads: int
    writes: int


def random_chain(seed: int) -> tuple[onnx.ModelProto, list[Layer]]:
    """Convolutions of random widths, kernels and activations, then a classifier."""
    random, g = np.random.default_rng(seed), GraphBuilder(opset=13, seed=seed)
    x, layers = g.input("x", (2, 3, 8, 8)), list[Layer]()
    for index in range(int(random.integers(2, 6))):
        x = g.conv(x, int(random.integers(5, 20)), int(random.choice([1, 3])))
        x = g.node(str(random.choice(["Relu", "Tanh", "Elu", "Softplus"])), [x])
        layers.append(Layer(index - 1, index))
    return g.model(_classifier(g, x)), [*layers, Layer(len(layers) - 1, len(layers))]


def random_residual_chain(seed: int) -> tuple[onnx.ModelProto, list[Layer]]:
    """A trunk to which some two-layer branches are added, then a classifier."""
    random, g = np.random.default_rng(seed), GraphBuilder(opset=17, seed=seed)
    trunk = int(random.integers(6, 16))
    x, layers = g.conv(g.input("x", (2, 3, 8, 8)), trunk, 3), [Layer(-1, 0)]
    blocks = int(random.integers(1, 4))
    for index in range(1, blocks + 1):
        inner = g.relu(g.conv(x, int(random.integers(4, 16)), 3))
        x = g.tanh(g.add(x, g.conv(inner, trunk)))
        layers += [Layer(0, index), Layer(index, 0)]
    return g.model(_classifier(g, x)), [*layers, Layer(0, blocks + 1)]


def _classifier(g: GraphBuilder, x: str) -> str:
    return g.gemm(g.flatten(g.global_average_pool(x)), 5)


def weights(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Return the weights of all convolutions and matrices in graph order."""
    stored = {weight.name: weight for weight in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    return [stored[node.input[1]] for node in layers]


def kept_rows(whole: AnyArray, sliced: AnyArray) -> Lanes:
    """Return the rows of ``whole`` that ``sliced`` consists of."""
    rows = [np.flatnonzero((whole == row).reshape(len(whole), -1).all(axis=1)) for row in sliced]
    return np.concatenate(rows)


def zeroed(
    model: onnx.ModelProto, pruned: onnx.ModelProto, layers: Sequence[Layer]
) -> onnx.ModelProto:
    """Return the original with zeros in every weight column that reads a removed lane."""
    reference = onnx.ModelProto()
    reference.CopyFrom(model)
    kept: dict[int, Lanes] = {-1: np.arange(3)}
    for weight, small, layer in zip(weights(reference), weights(pruned), layers, strict=True):
        whole: AnyArray = numpy_helper.to_array(weight).copy()
        columns = kept[layer.reads]
        rows = kept_rows(whole[:, columns], numpy_helper.to_array(small))
        assert np.array_equal(rows, kept.setdefault(layer.writes, rows))
        whole[:, np.setdiff1d(np.arange(whole.shape[1]), columns)] = 0
        weight.CopyFrom(numpy_helper.from_array(whole, weight.name))
    return reference


@pytest.mark.parametrize("make", [random_chain, random_residual_chain])
@pytest.mark.parametrize("seed", range(12))
def test_a_pruned_chain_computes_what_the_zeroed_chain_does(seed: int, make: Make) -> None:
    model, layers = make(seed)
    config = spa_onnx.PruneConfig(budget=spa_onnx.Ratio(0.5), importance="random", seed=seed)
    pruned = spa_onnx.prune(model, config).model
    feeds = random_feeds(model, seed)
    reference = zeroed(model, pruned, layers)
    (original,), (expected,), (actual,) = (run(m, feeds) for m in (model, reference, pruned))
    size = np.abs(expected).max()
    assert np.abs(original - expected).max() > 10 * TOLERANCE * size, "the oracle sees nothing"
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * size)
