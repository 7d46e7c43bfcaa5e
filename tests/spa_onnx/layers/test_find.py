"""Layers as matrices: features times matrix is what ONNX Runtime computes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from spa_onnx.layers.find import layers_of
from tests.builders import GraphBuilder
from tests.spa_onnx.layers.some_layers import graph_of, only_layer, products
from tests.spa_onnx.untracked import shaped

CONVOLUTIONS: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "one axis": ((2, 6, 11), (4, 6, 3), {}),
    "pads that differ": ((2, 3, 9, 8), (5, 3, 3, 2), {"pads": [1, 0, 2, 1]}),
    "strides": ((2, 3, 9, 8), (5, 3, 3, 3), {"strides": [2, 3], "pads": [1, 1, 1, 1]}),
    "dilations": ((2, 3, 12, 11), (5, 3, 3, 2), {"dilations": [2, 3]}),
    "groups": ((2, 6, 7, 7), (4, 3, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "three axes": ((2, 4, 5, 6, 7), (6, 2, 2, 3, 1), {"group": 2, "strides": [1, 2, 1]}),
    "same upper": ((2, 3, 9, 8), (5, 3, 4, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    "same lower": ((2, 3, 9, 8), (5, 3, 4, 2), {"auto_pad": "SAME_LOWER", "strides": [2, 1]}),
    "valid": ((2, 3, 9, 8), (5, 3, 3, 3), {"auto_pad": "VALID", "strides": [2, 1]}),
    "a stride longer than the kernel": ((2, 3, 9), (4, 3, 1), {"strides": [4]}),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_a_convolution_is_a_product_with_receptive_fields(case: str) -> None:
    shape, weight, attributes = CONVOLUTIONS[case]
    g = GraphBuilder(opset=17)
    y = g.node("Conv", [g.input("x", shape), g.weight(*weight)], **attributes)
    ours, theirs = products(g.model(y))
    assert ours.shape == theirs.shape
    assert np.allclose(ours, theirs, atol=1e-4)


TRANSPOSED: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "one axis": ((2, 6, 7), (6, 4, 3), {}),
    "strides": ((2, 3, 5, 4), (3, 5, 3, 2), {"strides": [2, 3]}),
    "a stride longer than the kernel": ((2, 3, 5), (3, 4, 2), {"strides": [3]}),
    "pads that differ": ((2, 3, 5, 4), (3, 5, 3, 3), {"strides": [2, 2], "pads": [1, 0, 2, 1]}),
    "dilations": ((2, 3, 5, 4), (3, 5, 3, 2), {"dilations": [2, 3], "strides": [2, 1]}),
    "groups": ((2, 6, 4, 4), (6, 2, 3, 3), {"group": 3, "strides": [2, 2]}),
    "three axes": ((2, 4, 3, 2, 3), (4, 3, 2, 3, 1), {"group": 2, "strides": [1, 2, 1]}),
    "uneven output padding": (
        (2, 3, 5, 4), (3, 5, 3, 3), {"strides": [2, 3], "output_padding": [1, 2], "pads": [1] * 4}
    ),
    "output shape": ((2, 3, 5, 4), (3, 5, 3, 3), {"strides": [2, 2], "output_shape": [10, 8]}),
    "same upper": ((2, 3, 5, 4), (3, 5, 4, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same lower": ((2, 3, 5, 4), (3, 5, 4, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "valid": ((2, 3, 5), (3, 5, 4), {"strides": [2], "auto_pad": "VALID"}),
}  # fmt: skip


@pytest.mark.parametrize("case", TRANSPOSED)
def test_a_transposed_convolution_is_a_product_with_what_reaches_a_position(case: str) -> None:
    shape, weight, attributes = TRANSPOSED[case]
    g = GraphBuilder(opset=17)
    model = g.model(g.node("ConvTranspose", [g.input("x", shape), g.weight(*weight)], **attributes))
    ours, theirs = products(model)
    assert ours.shape == theirs.shape
    assert np.allclose(ours, theirs, atol=1e-4)
    graph, layer = only_layer(model)
    stored = graph.array(layer.weight.name)
    assert np.array_equal(layer.stored(layer.matrix(stored)), stored)


@pytest.mark.parametrize("activation", ["", "Relu"])
def test_a_fused_layer_is_linear_without_what_is_fused_behind_it(activation: str) -> None:
    g = GraphBuilder(opset=17)
    x, w = g.input("x", (2, 3, 6, 6)), g.weight(5, 3, 3, 3)
    y = g.node("FusedConv", [x, w], domain="com.microsoft", activation=activation or None)
    model = g.model(shaped(g, y, (2, 5, 4, 4)), check=False)
    if activation:
        assert not list(layers_of(graph_of(model)))
        return
    ours, theirs = products(model)
    assert np.allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("shape", [(7, 5), (2, 7, 5), (2, 3, 7, 5)])
def test_a_product_has_a_row_for_every_sample(shape: tuple[int, ...]) -> None:
    g = GraphBuilder(opset=17)
    ours, theirs = products(g.model(g.matmul(g.input("x", shape), g.weight(5, 4))))
    assert len(ours) == np.prod(shape[:-1])
    assert np.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 7), (2, 3, 5, 7)])
def test_a_matrix_on_the_left_multiplies_columns(shape: tuple[int, ...]) -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", shape)
    model = g.model(g.node("MatMul", [g.weight(4, 5), x]))
    ours, theirs = products(model)
    assert ours.shape[-1] == 4
    assert np.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("transposed", [0, 1])
def test_a_gemm_obeys_its_attributes(turned: int, transposed: int) -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", (5, 7) if turned else (7, 5))
    w = g.weight(4, 5) if transposed else g.weight(5, 4)
    y = g.node("Gemm", [x, w], transA=turned, transB=transposed, alpha=0.5)
    ours, theirs = products(g.model(y))
    assert ours.shape == (7, 1, 4)
    assert np.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("transposed", [0, 1])
def test_a_fused_product_obeys_its_attributes(turned: int, transposed: int) -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 5, 7) if turned else (2, 7, 5))
    w = g.weight(4, 5) if transposed else g.weight(5, 4)
    y = g.node(
        "FusedMatMul", [x, w], domain="com.microsoft", transA=turned, transB=transposed, alpha=0.5
    )
    ours, theirs = products(g.model(shaped(g, y, (2, 7, 4)), check=False))
    assert ours.shape == (14, 1, 4)
    assert np.allclose(ours, theirs, atol=1e-5)


def test_a_weight_is_found_behind_transposes_casts_and_identities() -> None:
    g = GraphBuilder(opset=17)
    w = g.node("Transpose", [g.weight(3, 5, 2, 4)], perm=[3, 1, 0, 2])
    w = g.node("Transpose", [g.node("Identity", [w])], perm=[0, 1, 3, 2])
    w = g.node("Cast", [g.node("Cast", [w], to=TensorProto.DOUBLE)], to=TensorProto.FLOAT)
    model = g.model(g.node("Conv", [g.input("x", (2, 5, 6, 6)), w]))
    _, layer = only_layer(model)
    ours, theirs = products(model)
    assert layer.width == 4
    assert np.allclose(ours, theirs, atol=1e-5)


def test_a_matrix_goes_back_to_where_it_came_from() -> None:
    g = GraphBuilder(opset=17)
    w = g.node("Transpose", [g.weight(3, 5, 2, 4)], perm=[3, 1, 0, 2])
    graph, layer = only_layer(g.model(g.node("Conv", [g.input("x", (2, 5, 6, 6)), w])))
    stored = graph.array(layer.weight.name)
    assert np.array_equal(layer.stored(layer.matrix(stored)), stored)
    g = GraphBuilder(opset=17)
    y = g.node("Gemm", [g.input("x", (7, 5)), g.weight(4, 5)], transB=1, alpha=0.25)
    graph, layer = only_layer(g.model(y))
    stored = graph.array(layer.weight.name)
    assert np.array_equal(layer.stored(layer.matrix(stored)), stored)


def _other_use(g: GraphBuilder, x: str, w: str) -> list[str]:
    return [g.node("MatMul", [x, w]), g.node("Sigmoid", [w])]


def _a_column_as_bias(g: GraphBuilder, x: str, w: str) -> list[str]:
    return [g.node("Gemm", [x, w, g.weight(4, 1)])]


def _computed_bias(g: GraphBuilder, x: str, w: str) -> list[str]:
    bias = g.node("ReduceMean", [g.node("MatMul", [x, g.weight(5, 4)])], axes=[0], keepdims=0)
    return [g.node("Gemm", [x, w, bias])]


def _weight_as_output(g: GraphBuilder, x: str, w: str) -> list[str]:
    return [g.node("MatMul", [x, g.node("Identity", [w])]), g.node("Identity", [w])]


@pytest.mark.parametrize(
    "build", [_other_use, _a_column_as_bias, _computed_bias, _weight_as_output]
)
def test_what_others_use_too_is_no_layer(build: Any) -> None:
    g = GraphBuilder(opset=13)
    x, w = g.input("x", (4, 5)), g.weight(5, 4)
    found = layers_of(graph_of(g.model(*build(g, x, w))))
    assert all(layer.weight.name != w for layer in found)


def test_quantised_weights_are_no_layers() -> None:
    g = GraphBuilder(opset=13)
    w = g.constant(np.ones((5, 4), np.int8))
    w = g.node("DequantizeLinear", [w, g.constant(np.float32(0.5)), g.constant(np.int8(0))])
    assert not list(layers_of(graph_of(g.model(g.matmul(g.input("x", (3, 5)), w)))))


def test_samples_are_drawn_once_each_and_from_every_item() -> None:
    g = GraphBuilder(opset=17)
    _, layer = only_layer(g.model(g.conv(g.input("x", (4, 3, 6, 6)), 5, 3, bias=False)))
    places = layer.places((4, 6, 6), 40, np.random.default_rng(0))
    chosen = set(zip(*(p.tolist() for p in places), strict=True))
    assert len(chosen) == len(places[0]) == 40
    assert {item for item, _, _ in chosen} == {0, 1, 2, 3}


def test_layers_inside_bodies_are_left_out() -> None:
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["t"])],
        "then",
        [],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, [3, 4])],
        [helper.make_tensor("w", TensorProto.FLOAT, [5, 4], np.ones(20).tolist())],
    )
    other = onnx.GraphProto.FromString(body.SerializeToString())
    node = helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=other)
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 5]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert not list(layers_of(graph_of(model)))


def test_a_layer_without_a_valid_window_is_none() -> None:
    g = GraphBuilder(opset=13)
    model = g.model(g.conv(g.conv(g.input("x", (1, 3, 6, 6)), 4), 2))
    (strides,) = (a for a in model.graph.node[0].attribute if a.name == "strides")
    strides.ints[:] = [0, 0]
    assert [layer.width for layer in layers_of(graph_of(model))] == [2]


def test_a_weight_that_two_nodes_read_is_a_layer_of_each_if_asked_for() -> None:
    g = GraphBuilder(opset=13)
    x, weight = g.input("x", (1, 4, 6, 6)), g.weight(4, 4, 3, 3)
    model = g.model(g.conv(g.relu(g.conv(x, 4, 3, weight=weight)), 4, 3, weight=weight))
    assert not list(layers_of(graph_of(model)))
    assert [layer.width for layer in layers_of(graph_of(model), shared=True)] == [4, 4]
