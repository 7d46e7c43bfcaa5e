"""Graphs that are wrong: a clear error, a refusal or a valid model, never a surprise."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import spa_onnx
from tests.builders import GraphBuilder
from tests.spa_onnx.damaged_graphs import ODD, damaged
from tests.spa_onnx.ops.cases.all_cases import CASES
from tests.spa_onnx.ops.cases.case import Case
from tests.spa_onnx.pruned_models import half, half_result, layers, node, widths
from tests.spa_onnx.untracked import append, declared, like, shaped

Damage = Callable[[onnx.ModelProto], None]


def network() -> onnx.ModelProto:
    """Convolution, Relu, convolution, mean, Gemm."""
    g = GraphBuilder(opset=17)
    x = g.conv(g.relu(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)), 8, 3)
    return g.model(g.gemm(g.flatten(g.global_average_pool(x)), 4))


# -- operators of an unknown domain ----------------------------------------------------------------


def with_unknown_operator() -> onnx.ModelProto:
    """Two prunable layers, one in front of and one behind an operator that nobody knows."""
    g = GraphBuilder(opset=17)
    x = g.linear(g.linear(g.input("x", (2, 5, 4)), 16), 8)
    y = like(g, g.node("Mystery", [x], domain="our.own"), x)
    model = g.model(g.linear(g.linear(y, 12), 3))
    model.graph.value_info.append(declared(g, y))
    return model


def test_an_operator_of_an_unknown_domain_is_fixed_and_reported() -> None:
    model = with_unknown_operator()
    assert widths(model) == [12, 16]
    unknown = spa_onnx.analyze(model).propagation.unknown_ops
    assert unknown == {"our.own::Mystery": [f"our.own::Mystery '{node(model, 'Mystery').name}'"]}


def test_a_model_that_onnx_runtime_cannot_load_is_pruned_without_the_proof() -> None:
    model = with_unknown_operator()
    with pytest.raises(spa_onnx.RuntimeRefusedError, match=r"our\.own.*--no-verify"):
        half(model)
    result = half_result(model, verify=False)
    assert result.report.proof is None
    (unknown,) = (n for n in result.model.graph.node if n.op_type == "Mystery")
    assert unknown == node(model, "Mystery")


# -- names, order, shapes --------------------------------------------------------------------------


def _circle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = model.graph.node[2].output[0]


def _same_tensor(model: onnx.ModelProto) -> None:
    model.graph.node[2].output[0] = model.graph.node[0].output[0]


def _same_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def _same_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(model.graph.input[0])


def _negative_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = -8


def _empty_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 0


def _no_output(model: onnx.ModelProto) -> None:
    del model.graph.node[1].output[:]


def _other_channels(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (_circle, "depends on its own result"),
        (_same_tensor, "exists already"),
        (_same_initializer, "exists more than once"),
        (_same_input, "Duplicate definition-site"),
        (_negative_weight, "has shape"),
        (_empty_weight, "does not fill shape"),
        (_no_output, "is made by no node"),
        (_other_channels, "Input channels C is not equal"),
    ],
)
def test_what_is_wrong_is_said(damage: Damage, problem: str) -> None:
    model = network()
    damage(model)
    with pytest.raises(spa_onnx.SpaError, match=problem):
        half(model)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("length", [2**31, 2**62])
def test_absurd_lengths_are_named(axis: int, length: int) -> None:
    model = network()
    model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = length
    with pytest.raises(spa_onnx.GraphError, match=rf"input 'x'.*{length}.*--no-verify"):
        half(model)


def test_declared_shapes_that_are_wrong_are_put_right() -> None:
    model = network()
    wrong = helper.make_tensor_value_info(node(model, "Relu").output[0], TensorProto.FLOAT, (1, 77))
    model.graph.value_info.append(wrong)
    assert half(model).graph.node


def test_nodes_of_one_name_are_refused_by_onnx_runtime_not_by_us() -> None:
    model = network()
    for proto in model.graph.node:
        proto.name = "same"
    with pytest.raises(spa_onnx.RuntimeRefusedError, match=r"same node name.*--no-verify"):
        half(model)
    assert half(model, verify=False).graph.node


def test_a_tensor_without_elements_passes_through() -> None:
    g = GraphBuilder(opset=17)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    empty = g.constant(np.zeros((2, 0, 8), np.float32))
    model = g.model(g.linear(g.relu(g.concat(empty, x, axis=1)), 3))
    assert widths(model) == [8]
    half(model)


@pytest.mark.parametrize("shapes", [((2, 8), (2, 6)), ((2, 8), (2, 8, 1))])
def test_branches_that_disagree_stay_whole(shapes: tuple[tuple[int, ...], ...]) -> None:
    g = GraphBuilder(opset=17)
    x = g.gemm(g.gemm(g.input("x", (2, 4)), 6), 8)
    bodies = []
    for k, shape in enumerate(shapes):
        name = f"w{k}"
        weight = onnx.numpy_helper.from_array(np.ones((8, shape[1]), np.float32), name)
        made = [helper.make_node("MatMul", [x, name], [f"m{k}"])]
        made.append(helper.make_node("Reshape", [f"m{k}", f"s{k}"], [f"y{k}"]))
        size = onnx.numpy_helper.from_array(np.array(shape, np.int64), f"s{k}")
        result = helper.make_tensor_value_info(f"y{k}", TensorProto.FLOAT, None)
        bodies.append(helper.make_graph(made, name, [], [result], [weight, size]))
    flag = g.input("flag", (), np.bool_)
    append(g, helper.make_node("If", [flag], ["y"], then_branch=bodies[0], else_branch=bodies[1]))
    out = g.reduce("ReduceMax", shaped(g, "y", shapes[0]), 0, 1, keepdims=False)
    model = g.model(out, check=False)
    with suppress(spa_onnx.SpaError):
        assert half(model).graph.node


def in_a_body(op: str, count: int, returned: int, **attributes: Any) -> onnx.ModelProto:
    """A node of control flow whose body takes and returns some numbers of tensors."""
    model = layers()
    entry = [helper.make_tensor_value_info(f"in{k}", TensorProto.FLOAT, None) for k in range(count)]
    exits = [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)] * returned
    body = helper.make_graph([], "body", entry, exits)
    name = "then_branch" if op == "If" else "body"
    proto = helper.make_node(op, ["x", "x", "x"], ["a", "b"], **{name: body}, **attributes)
    model.graph.node.append(proto)
    return model


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (in_a_body("If", 0, 1), "then_branch returns 1 tensors where 2"),
        (in_a_body("If", 0, 2), "has no else_branch"),
        (in_a_body("Loop", 2, 3), "body takes 2 tensors where 3"),
        (in_a_body("Loop", 3, 2), "body returns 2 tensors where 3"),
        (in_a_body("Scan", 2, 2, num_scan_inputs=1), "body takes 2 tensors where 3"),
        (in_a_body("Scan", 3, 1, num_scan_inputs=1), "body returns 1 tensors where 2"),
        (in_a_body("Scan", 3, 2, num_scan_inputs=7), "scans 7 of 3 inputs"),
    ],
)
def test_bodies_that_do_not_fit_their_node_are_refused(
    model: onnx.ModelProto, problem: str
) -> None:
    with pytest.raises(spa_onnx.GraphError, match=problem):
        half(model)


# -- depth and length ------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [20, 1000])
def test_bodies_inside_bodies_are_no_surprise(depth: int) -> None:
    model = layers()
    graph = model.graph
    for level in range(depth):
        proto = graph.node.add(op_type="If", input=["x"], output=[f"y{level}"])
        graph = proto.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g
        graph.name = f"level {level}"
    with pytest.raises(spa_onnx.SpaError):
        half(model)


def test_a_chain_of_many_nodes_is_pruned() -> None:
    g = GraphBuilder(opset=17)
    y = first = g.linear(g.input("x", (2, 5, 4)), 8)
    for k in range(20_000):
        append(g, helper.make_node("Relu", [y], [f"y{k}"], f"relu{k}"))
        y = f"y{k}"
    model = g.model(g.linear(like(g, y, first), 3), check=False)
    assert half(model, verify=False).graph.node


# -- random damage ---------------------------------------------------------------------------------


EXPECTED = (
    spa_onnx.NothingToPruneError,
    spa_onnx.RuntimeRefusedError,
    spa_onnx.UnknownShapeError,
    spa_onnx.GraphError,
    spa_onnx.TensorDataError,
)
"""What a damaged model may end with; a failed proof or a refused result is not among them."""


@pytest.mark.parametrize("case", CASES[::4], ids=str)
def test_a_damaged_operator_is_no_surprise(case: Case) -> None:
    """Whatever is wrong, only our own errors come, and never one that calls itself a defect."""
    for seed in range(3):
        random = np.random.default_rng([seed, *map(ord, str(case))])
        model = damaged(case.model, random)
        verify = seed == 0 and not case.op.startswith("ai.onnx.ml")  # some of these crash
        with suppress(*EXPECTED):
            half(model, verify=verify)


@pytest.mark.parametrize("number", ODD)
def test_odd_attributes_are_no_surprise(number: int) -> None:
    for name in ("group", "strides", "pads", "dilations", "kernel_shape", "auto_pad"):
        for value in (number, [number], [number] * 4, float(number)):
            model = network()
            kept = [a for a in model.graph.node[0].attribute if a.name != name]
            del model.graph.node[0].attribute[:]
            model.graph.node[0].attribute.extend([*kept, helper.make_attribute(name, value)])
            with suppress(spa_onnx.SpaError):
                half(model, verify=False)
