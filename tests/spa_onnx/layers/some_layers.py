"""Models of one layer, and what ONNX Runtime and the layer make of the same input."""

import numpy as np
import onnx

from spa_onnx.layers.find import Layer, layers_of
from spa_onnx.load.model import load
from spa_onnx.normalise.graph import Graph, normalise
from tests.graph_writer import AnyArray
from tests.onnx_runs import random_feeds, run


def graph_of(model: onnx.ModelProto) -> Graph:
    """Return a model's normal form."""
    return normalise(load(model))


def only_layer(model: onnx.ModelProto) -> tuple[Graph, Layer]:
    """Return the graph and its one layer."""
    graph = graph_of(model)
    (layer,) = layers_of(graph)
    return graph, layer


def products(model: onnx.ModelProto, count: int = 1000) -> tuple[AnyArray, AnyArray]:
    """Return ``W X`` by the layer, in float64, and by ONNX Runtime, at the layer's samples.

    The model's only output is the layer's, without a bias.
    """
    graph, layer = only_layer(model)
    feeds = random_feeds(model, 3)
    (y,) = run(model, feeds)
    x = feeds[layer.source].astype(np.float64)
    grid = layer.grid(x.shape)
    assert grid == layer.grid_of_output(y.shape)
    places = layer.places(grid, count, np.random.default_rng(0))
    weight = layer.matrix(graph.array(layer.weight.name).astype(np.float64))
    made = np.einsum("gok,ngk->ngo", weight, layer.features(x, places))
    return made, layer.outputs(y, places)
