"""Layers get biases of their own, wherever theirs was, and the network computes what it did."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from spa_onnx.compensate.model import tidy
from spa_onnx.layers.find import layers_of
from spa_onnx.layers.variants import LayerEditor
from tests.builders import GraphBuilder
from tests.onnx_runs import random_feeds, run
from tests.spa_onnx.layers.some_layers import graph_of


def _inside(g: GraphBuilder, x: str) -> str:
    return g.gemm(x, 4)


def _none_inside(g: GraphBuilder, x: str) -> str:
    return g.gemm(x, 4, bias=False)


def _behind(g: GraphBuilder, x: str) -> str:
    return g.linear(x, 4)


def _none_behind(g: GraphBuilder, x: str) -> str:
    return g.relu(g.linear(x, 4, bias=False))


def _number(g: GraphBuilder, x: str) -> str:
    return g.node("Gemm", [x, g.weight(5, 4), g.constant(np.float32(2.0))])


def _number_behind(g: GraphBuilder, x: str) -> str:
    return g.add(g.linear(x, 1, bias=False), g.constant(np.float32(2.0)))


def _shared(g: GraphBuilder, x: str) -> str:
    bias = g.bias(4)
    return g.add(g.gemm(x, 4, bias=bias), g.linear(x, 4, bias=bias))


def _read_twice(g: GraphBuilder, x: str) -> str:
    y = g.linear(x, 4, bias=False)
    return g.mul(g.add(y, g.bias(4)), y)


def _left(g: GraphBuilder, x: str) -> str:
    return g.add(g.node("MatMul", [g.weight(4, 3), x]), g.constant(np.ones((4, 1), np.float32)))


def _left_and_a_row(g: GraphBuilder, x: str) -> str:
    return g.add(g.node("MatMul", [g.weight(5, 3), x]), g.bias(5))


def _factors(g: GraphBuilder, x: str) -> str:
    return g.node("Gemm", [x, g.weight(5, 4), g.bias(4)], alpha=0.5, beta=4.0)


def _constants(g: GraphBuilder, x: str) -> str:
    value = onnx.numpy_helper.from_array(np.ones((5, 4), np.float32))
    return g.linear(x, 4, weight=g.node("Constant", [], value=value), bias=False)


BUILDS = [
    _inside, _none_inside, _behind, _none_behind, _number, _number_behind, _shared, _read_twice,
    _left, _left_and_a_row, _factors, _constants,
]  # fmt: skip


@pytest.mark.parametrize("ir_version", [3, 8])
@pytest.mark.parametrize("build", BUILDS)
def test_an_offset_goes_to_the_outputs_of_its_layer_alone(build: Any, ir_version: int) -> None:
    g = GraphBuilder(opset=9, ir_version=3) if ir_version == 3 else GraphBuilder(opset=13)
    model = g.model(build(g, g.input("x", (3, 5))))
    dense = random_feeds(model)
    before = run(model, dense)
    graph = graph_of(model)
    layers = list(layers_of(graph))
    assert layers
    editor = LayerEditor(graph.model, graph.weights)
    handles = editor.handles(layers)
    assert np.allclose(run(graph.model, dense)[0], before[0], atol=1e-5)
    names = [handle.product for handle in handles.values()]
    sums = [_sum(graph.model, handle) for handle in handles.values() if not handle.inside]
    products = run(_with_outputs(graph.model, names), dense)[1:]
    by_output = {name: layer for layer in layers for name in layer.node.outputs}
    for handle in handles.values():
        bias = editor.value(handle.bias)
        editor.set(handle.bias, bias + np.arange(bias.size).reshape(bias.shape))
    changed = run(_with_outputs(graph.model, [*names, *sums]), dense)[1:]
    totals = iter(changed[len(names) :])
    for (name, handle), old, new in zip(handles.items(), products, changed, strict=False):
        layer = by_output[name]
        step = (np.arange(layer.width) * layer.bias_factor).reshape(layer.bias_shape)
        assert np.allclose(new, old + step if handle.inside else old, atol=1e-4)
        if not handle.inside:
            assert np.allclose(next(totals), new + editor.value(handle.bias), atol=1e-4)
    tidy(graph)
    onnx.checker.check_model(graph.model)


def _sum(model: onnx.ModelProto, handle: Any) -> str:
    return next(n.output[0] for n in model.graph.node if handle.bias in n.input)


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(model.SerializeToString())


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    copy = _inlined(model)
    first = copy.graph.output[0]
    del copy.graph.output[:]
    copy.graph.output.extend([first, *(helper.make_empty_tensor_value_info(n) for n in names)])
    return copy


def test_fed_weights_take_the_place_of_stored_ones() -> None:
    g = GraphBuilder(opset=13)
    model = g.model(g.linear(g.input("x", (3, 5)), 4))
    graph = graph_of(model)
    editor = LayerEditor(graph.model, graph.weights)
    (handle,) = editor.handles(layers_of(graph)).values()
    editor.make_inputs([handle.weight, handle.bias])
    feeds: dict[str, Any] = {"x": np.ones((3, 5), np.float32)}
    (plain,) = run(graph.model, feeds)
    assert np.allclose(plain, run(model, feeds)[0])
    feeds[handle.weight] = np.full((5, 4), 2, np.float32)
    feeds[handle.bias] = np.full(4, 3, np.float32)
    assert np.allclose(run(graph.model, feeds)[0], 13)
