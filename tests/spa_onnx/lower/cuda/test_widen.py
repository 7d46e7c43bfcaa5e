from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from ml_dtypes import bfloat16
from onnx import TensorProto, helper, numpy_helper

from spa_onnx.execute.runtime import open_session
from spa_onnx.load.model import load
from spa_onnx.lower.cuda.widen import widened
from spa_onnx.normalise.graph import normalise
from tests.builders import GraphBuilder
from tests.spa_onnx.lower.models import MODELS, Array, built, feeds_of

HALF = {"float16": (np.float16, 17), "bfloat16": (bfloat16, 22)}


def run(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """Return what the float32 model of another computes."""
    graph = normalise(widened(load(model)))
    found: Any = open_session(graph.model, graph.weights, graph.outputs).run(graph.outputs, feeds)
    return list(found)


@pytest.mark.parametrize("kind", HALF)
@pytest.mark.parametrize("name", MODELS)
def test_everything_is_computed_in_float32(name: str, kind: str) -> None:
    dtype, opset = HALF[kind]
    half = built(MODELS[name], opset, dtype)
    feeds = feeds_of(half)
    wide = run(half, {n: a.astype(np.float32) for n, a in feeds.items()})
    assert {a.dtype for a in wide} == {np.dtype(np.float32)}
    if kind == "bfloat16":
        return  # ONNX Runtime has no such products for the CPU
    expected: Any = ort.InferenceSession(half.SerializeToString()).run(None, dict(feeds))
    for a, b in zip(wide, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=8 * 2.0**-11 * np.abs(a).max())


def constant_node(g: GraphBuilder) -> str:
    x = g.input("x", (2, 3))
    value = numpy_helper.from_array(np.full(3, 0.5, np.float16))
    return g.add(x, g.node("Constant", [], value=value))


def filled(g: GraphBuilder) -> str:
    x = g.input("x", (2, 3))
    value = numpy_helper.from_array(np.full(1, 0.25, np.float16))
    return g.add(x, g.node("ConstantOfShape", [g.constant(np.array([2, 3]))], value=value))


def cast(g: GraphBuilder) -> str:
    x = g.node("Cast", [g.input("x", (2, 3))], to=int(TensorProto.FLOAT))
    return g.node("Cast", [g.relu(x)], to=int(TensorProto.FLOAT16))


def sequence(g: GraphBuilder) -> str:
    x = g.input("x", (2, 3))
    return g.node("SequenceAt", [g.node("SequenceConstruct", [x]), g.constant(np.array(0))])


PLACES: Mapping[str, Callable[[GraphBuilder], str]] = {
    "constant": constant_node,
    "filled": filled,
    "cast": cast,
}


@pytest.mark.parametrize("name", PLACES)
def test_types_are_found_wherever_they_hide(name: str) -> None:
    model = built(PLACES[name], dtype=np.float16)
    feeds = feeds_of(model)
    (wide,) = run(model, {n: a.astype(np.float32) for n, a in feeds.items()})
    expected: Any = ort.InferenceSession(model.SerializeToString()).run(None, dict(feeds))[0]
    assert wide.dtype == np.float32
    np.testing.assert_allclose(wide, expected, rtol=2.0**-10)


def test_bodies_of_control_flow_are_widened_too() -> None:
    half = TensorProto.FLOAT16
    weight = numpy_helper.from_array(np.full((3, 3), 0.5, np.float16), "w")

    def body(op: str) -> onnx.GraphProto:
        node = helper.make_node(op, ["x", "w"], [f"{op}/y"])
        result = helper.make_tensor_value_info(f"{op}/y", half, (3, 3))
        return helper.make_graph([node], op, [], [result], [weight])

    node = helper.make_node("If", ["c"], ["y"], then_branch=body("Add"), else_branch=body("Mul"))
    inputs = [
        helper.make_tensor_value_info("c", TensorProto.BOOL, ()),
        helper.make_tensor_value_info("x", half, (3, 3)),
    ]
    outputs = [helper.make_tensor_value_info("y", half, (3, 3))]
    graph = helper.make_graph([node], "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.ones((3, 3), np.float32)
    (found,) = run(model, {"c": np.array(True), "x": x})
    np.testing.assert_array_equal(found, x + 0.5)
    assert found.dtype == np.float32


def test_a_default_of_an_input_stays_a_constant() -> None:
    g = GraphBuilder(initializers_as_inputs=True, dtype=np.float16)
    model = g.model(g.matmul(g.input("x", (2, 3)), g.weight(3, 4)))
    (found,) = run(model, {"x": np.ones((2, 3), np.float32)})
    assert found.dtype == np.float32
