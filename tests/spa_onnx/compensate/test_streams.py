"""Layers that end in a sum are recognised where the other summand is known before they run."""

import numpy as np
import onnx

from spa_onnx.compensate.streams import Stream, streams_of
from spa_onnx.layers.find import layers_of
from spa_onnx.layers.variants import LayerEditor
from spa_onnx.load.model import load
from spa_onnx.normalise.graph import normalise
from tests.builders import GraphBuilder


def found(model: onnx.ModelProto) -> dict[str, Stream]:
    graph = normalise(load(model))
    editor = LayerEditor(graph.model, graph.weights)
    handles = editor.handles(layers_of(graph), insert=False)
    return streams_of(graph.model.graph, handles)


def test_the_layer_behind_which_a_stream_is_added_is_found() -> None:
    g = GraphBuilder(opset=17)
    a = g.relu(g.conv(g.input("x", (1, 3, 8, 8)), 8, 3))
    b = g.conv(a, 8, 3)
    c = g.add(a, b)
    model = g.model(g.conv(g.relu(c), 4))
    assert found(model) == {b: Stream(c, a)}


def test_a_bias_may_stand_between() -> None:
    g = GraphBuilder(opset=17)
    a = g.relu(g.linear(g.input("x", (2, 8)), 8))
    b = g.linear(a, 8)
    c = g.add(b, a)
    streams = found(g.model(c))
    (stream,) = streams.values()
    assert (stream.total, stream.other) == (c, a)
    assert stream.bias


def test_sums_of_two_layers_are_the_later_ones() -> None:
    g = GraphBuilder(opset=17)
    x = g.relu(g.input("x", (1, 3, 8, 8)))
    a, b = g.conv(x, 8), g.conv(x, 8, 3)
    assert set(found(g.model(g.add(a, b)))) == {b}


def test_outputs_that_others_read_too_are_left() -> None:
    g = GraphBuilder(opset=17)
    x = g.relu(g.input("x", (1, 8, 8, 8)))
    a = g.conv(x, 8)
    assert not found(g.model(g.add(g.relu(a), g.add(a, x))))
    g = GraphBuilder(opset=17)
    x = g.relu(g.input("x", (1, 8, 8, 8)))
    assert not found(g.model(g.add(g.conv(x, 8), g.constant(np.ones((1, 8, 1, 1))))))
