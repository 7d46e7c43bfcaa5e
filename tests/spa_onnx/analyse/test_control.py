"""Control flow: what crosses the border of a body is cut on both sides of it, or not at all."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.builders import GraphBuilder
from tests.graph_writer import AnyArray
from tests.onnx_runs import random_feeds, run
from tests.spa_onnx.pruned_models import half, node, reasons, shape, widths
from tests.spa_onnx.untracked import append, shaped

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Shape = Sequence[int | str]


def value(name: str, dims: Shape, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, dims)


def body(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
) -> onnx.GraphProto:
    return helper.make_graph(nodes, "body", inputs, outputs, weights)


def own_weight(name: str, *dims: int) -> onnx.TensorProto:
    random = np.random.default_rng(len(name) + sum(map(ord, name)))
    signs = random.choice([-1.0, 1.0], dims)
    values = signs * random.uniform(0.4, 1.8, dims) / np.sqrt(dims[0])
    return onnx.numpy_helper.from_array(values.astype(np.float32), name)


def inner_shape(model: onnx.ModelProto, op: str, weight: str) -> tuple[int, ...]:
    """Return the shape of a weight that a body of the first node of this operator holds."""
    bodies = [a.g for a in node(model, op).attribute if a.type == onnx.AttributeProto.GRAPH]
    (found,) = [t for body in bodies for t in body.initializer if t.name == weight]
    return tuple(found.dims)


def same_shapes(model: onnx.ModelProto, small: onnx.ModelProto, **feeds: AnyArray) -> bool:
    given = random_feeds(model) | feeds
    return [y.shape for y in run(model, given)] == [y.shape for y in run(small, given)]


# -- If --------------------------------------------------------------------------------------------


def branch(op: str, x: str, *, width: int, result: Shape) -> onnx.GraphProto:
    """A product with a weight of the branch's own, 8 -> width."""
    nodes = [
        helper.make_node("MatMul", [x, f"w_{op}"], [f"m_{op}"]),
        helper.make_node(op, [f"m_{op}"], [f"y_{op}"]),
    ]
    return body(nodes, [], [value(f"y_{op}", result)], [own_weight(f"w_{op}", 8, width)])


def choice(g: GraphBuilder, flag: str, then: onnx.GraphProto, other: onnx.GraphProto) -> str:
    append(g, helper.make_node("If", [flag], ["chosen"], then_branch=then, else_branch=other))
    return "chosen"


def two_branches(g: GraphBuilder, flag: str) -> onnx.ModelProto:
    x = g.gemm(g.input("x", (2, 4)), 8)
    parts = [branch(op, x, width=12, result=(2, 12)) for op in ("Relu", "Tanh")]
    return g.model(g.gemm(shaped(g, choice(g, flag, *parts), (2, 12)), 3))


@pytest.mark.parametrize("flag", [True, False])
def test_weights_inside_both_branches_of_an_if_are_cut(flag: bool) -> None:
    g = GraphBuilder(opset=17)
    model = two_branches(g, g.input("flag", (), np.bool_))
    assert widths(model) == [8, 12]
    small = half(model)
    assert inner_shape(small, "If", "w_Relu") == (4, 6)
    assert inner_shape(small, "If", "w_Tanh") == (4, 6)
    assert shape(small, "Gemm", index=1) == (3, 6)
    assert same_shapes(model, small, flag=np.array(flag))


def test_both_branches_keep_the_same_lanes() -> None:
    """The consumer behind an If has one weight for both results."""
    g = GraphBuilder(opset=17)
    model = two_branches(g, g.input("flag", (), np.bool_))
    small = half(model, 0.3)
    last = inner_shape(small, "If", "w_Relu")[1]
    assert inner_shape(small, "If", "w_Tanh")[1] == last == shape(small, "Gemm", index=1)[1]


def test_an_if_whose_condition_is_known_is_cut_on_the_taken_side() -> None:
    g = GraphBuilder(opset=17)
    model = two_branches(g, g.constant(np.array(True)))
    small = half(model)
    assert same_shapes(model, small)
    assert shape(small, "Gemm", index=0) == (4, 4)


def test_a_weight_captured_by_branches_is_cut() -> None:
    g = GraphBuilder(opset=17)
    x = g.gemm(g.input("x", (2, 4)), 8)
    weight = g.weight(8, 12, fan_in=8)
    parts = []
    for op in ("Relu", "Tanh"):
        nodes = [
            helper.make_node("MatMul", [x, weight], [f"m_{op}"]),
            helper.make_node(op, [f"m_{op}"], [f"y_{op}"]),
        ]
        parts.append(body(nodes, [], [value(f"y_{op}", (2, 12))]))
    y = shaped(g, choice(g, g.input("flag", (), np.bool_), *parts), (2, 12))
    small = half(g.model(g.gemm(y, 3)))
    dims = {tuple(t.dims) for t in small.graph.initializer if t.name == weight}
    assert dims == {(4, 6)}


def test_branches_of_different_ranks_stay_whole() -> None:
    g = GraphBuilder(opset=17)
    x = g.relu(g.gemm(g.gemm(g.input("x", (2, 4)), 6), 8))
    flat = branch("Relu", x, width=12, result=(2, 12))
    deep = branch("Tanh", x, width=12, result=(1, 2, 12))
    deep.node[1].output[0] = "before"
    deep.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "front"))
    deep.node.append(helper.make_node("Unsqueeze", ["before", "front"], ["y_Tanh"]))
    chosen = choice(g, g.input("flag", (), np.bool_), flat, deep)
    append(g, helper.make_node("ReduceSum", [chosen], ["total"], keepdims=0))
    model = g.model(shaped(g, "total", ()))
    assert "branches give tensors of different or unknown rank" in reasons(model, "w_Relu", 1)
    small = half(model)
    assert inner_shape(small, "If", "w_Relu")[1] == 12
    assert inner_shape(small, "If", "w_Tanh")[1] == 12
    assert shape(small, "Gemm", index=0) == (3, 4)


# -- Loop ------------------------------------------------------------------------------------------


def repeat(
    g: GraphBuilder,
    states: Sequence[str],
    inside: Sequence[tuple[str, Shape]],
    nodes: Sequence[onnx.NodeProto],
    results: Sequence[tuple[str, Shape]],
    weights: Sequence[onnx.TensorProto] = (),
) -> list[str]:
    """Run a body three times; results are the states, then what is collected."""
    graph = body(
        [*nodes, helper.make_node("Identity", ["go"], ["on"])],
        [value("step", (), INT64), value("go", (), BOOL), *(value(n, s) for n, s in inside)],
        [value("on", (), BOOL), *(value(n, s) for n, s in results)],
        weights,
    )
    outputs = [f"loop_{k}" for k in range(len(results))]
    inputs = [g.constant(np.array(3)), g.constant(np.array(True)), *states]
    append(g, helper.make_node("Loop", inputs, outputs, body=graph))
    return outputs


def residual(up: str, down: str) -> list[onnx.NodeProto]:
    """State -> new, through a hidden layer."""
    return [
        helper.make_node("MatMul", ["state", up], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("MatMul", ["t", down], ["d"]),
        helper.make_node("Add", ["state", "d"], ["new"]),
    ]


STATE: list[tuple[str, Shape]] = [("state", (2, 8))]
NEW: list[tuple[str, Shape]] = [("new", (2, 8))]


def test_a_loop_with_its_own_weights_is_cut_inside_and_outside() -> None:
    g = GraphBuilder(opset=17)
    x = g.gemm(g.input("x", (2, 4)), 8)
    weights = [own_weight("up", 8, 12), own_weight("down", 12, 8)]
    (y,) = repeat(g, [x], STATE, residual("up", "down"), NEW, weights)
    model = g.model(g.gemm(shaped(g, y, (2, 8)), 3))
    assert widths(model) == [8, 12]
    small = half(model)
    assert inner_shape(small, "Loop", "up") == (4, 6)
    assert inner_shape(small, "Loop", "down") == (6, 4)
    assert shape(small, "Gemm", index=1) == (3, 4)
    assert same_shapes(model, small)


def test_weights_that_a_loop_captures_are_cut() -> None:
    g = GraphBuilder(opset=17)
    x = g.gemm(g.input("x", (2, 4)), 8)
    up, down = g.weight(8, 12, fan_in=8), g.weight(12, 8, fan_in=12)
    (y,) = repeat(g, [x], STATE, residual(up, down), NEW)
    small = half(g.model(g.gemm(shaped(g, y, (2, 8)), 3)))
    dims = {t.name: tuple(t.dims) for t in small.graph.initializer}
    assert (dims[up], dims[down]) == ((4, 6), (6, 4))


def test_weights_carried_as_unchanged_states_are_cut() -> None:
    """TensorFlow's exporter carries them so."""
    g = GraphBuilder(opset=17)
    x = g.gemm(g.input("x", (2, 4)), 8)
    up, down = g.weight(8, 12, fan_in=8), g.weight(12, 8, fan_in=12)
    nodes = [
        *residual("inner_up", "inner_down"),
        helper.make_node("Identity", ["inner_up"], ["same_up"]),
        helper.make_node("Identity", ["inner_down"], ["same_down"]),
    ]
    inside: list[tuple[str, Shape]] = [*STATE, ("inner_up", (8, 12)), ("inner_down", (12, 8))]
    results: list[tuple[str, Shape]] = [*NEW, ("same_up", (8, 12)), ("same_down", (12, 8))]
    y, *_ = repeat(g, [x, up, down], inside, nodes, results)
    model = g.model(g.gemm(shaped(g, y, (2, 8)), 3))
    assert widths(model) == [8, 12]
    small = half(model)
    dims = {t.name: tuple(t.dims) for t in small.graph.initializer}
    assert (dims[up], dims[down]) == ((4, 6), (6, 4))
    assert same_shapes(model, small)


def test_a_body_whose_state_grows_stays_whole() -> None:
    g = GraphBuilder(opset=17)
    x = g.gemm(g.gemm(g.input("x", (2, 4)), 6), 8)
    nodes = [
        helper.make_node("MatMul", [x, "w"], ["m"]),
        helper.make_node("Concat", ["state", "m"], ["new"], axis=0),
    ]
    start = g.constant(np.ones((1, 8)))
    weights = [own_weight("w", 8, 8)]
    (y,) = repeat(g, [start], [("state", ("R", 8))], nodes, [("new", ("S", 8))], weights)
    total = g.node("ReduceSum", [shaped(g, y, (7, 8)), g.constant([0])], keepdims=1)
    model = g.model(g.gemm(total, 3))
    assert "a state of a loop changes its shape" in reasons(model, "w", 1)
    assert "a state of a loop changes its shape" in reasons(model, "w", 0)
    assert widths(model) == [6]
    small = half(model)
    assert inner_shape(small, "Loop", "w") == (8, 8)
    assert shape(small, "Gemm", index=0) == (3, 4)


def test_what_a_loop_collects_is_cut_behind_the_axis_of_its_runs() -> None:
    g = GraphBuilder(opset=17)
    x = g.gemm(g.input("x", (2, 4)), 8)
    nodes = [
        *residual("up", "down"),
        helper.make_node("MatMul", ["new", "out"], ["o"]),
        helper.make_node("Relu", ["o"], ["item"]),
    ]
    weights = [own_weight("up", 8, 12), own_weight("down", 12, 8), own_weight("out", 8, 10)]
    results: list[tuple[str, Shape]] = [*NEW, ("item", (2, 10))]
    _, collected = repeat(g, [x], STATE, nodes, results, weights)
    model = g.model(g.linear(shaped(g, collected, (3, 2, 10)), 3))
    assert widths(model) == [8, 10, 12]
    small = half(model)
    assert inner_shape(small, "Loop", "out") == (4, 5)
    assert shape(small, "MatMul") == (5, 3)
    assert same_shapes(model, small)


# -- Scan ------------------------------------------------------------------------------------------


def scanned(
    g: GraphBuilder,
    inputs: Sequence[str],
    graph: onnx.GraphProto,
    scans: int,
    **attributes: Any,
) -> list[str]:
    outputs = [f"scan_{k}" for k in range(len(graph.output))]
    append(
        g,
        helper.make_node("Scan", inputs, outputs, body=graph, num_scan_inputs=scans, **attributes),
    )
    return outputs


def cell(width: int) -> onnx.GraphProto:
    """A plain recurrence of 6 units over items of some width."""
    nodes = [
        helper.make_node("MatMul", ["item", "into"], ["a"]),
        helper.make_node("MatMul", ["hidden", "over"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Tanh", ["c"], ["new"]),
        helper.make_node("Identity", ["new"], ["step"]),
    ]
    inputs = [value("hidden", (2, 6)), value("item", (2, width))]
    outputs = [value("new", (2, 6)), value("step", (2, 6))]
    return body(nodes, inputs, outputs, [own_weight("into", width, 6), own_weight("over", 6, 6)])


@pytest.mark.parametrize("axis", [0, 1, -2])
def test_states_and_scanned_inputs_of_a_scan_are_cut(axis: int) -> None:
    g = GraphBuilder(opset=17)
    x = g.tanh(g.linear(g.input("x", (5, 2, 4) if axis == 0 else (2, 5, 4)), 8))
    first = g.gemm(g.input("s", (2, 4)), 6)
    last, steps = scanned(
        g, [first, x], cell(8), 1, scan_input_axes=[axis], scan_output_axes=[axis]
    )
    y = g.linear(shaped(g, steps, (5, 2, 6) if axis == 0 else (2, 5, 6)), 3)
    model = g.model(y, g.gemm(shaped(g, last, (2, 6)), 3))
    assert widths(model) == [6, 8]
    small = half(model)
    assert inner_shape(small, "Scan", "into") == (4, 3)
    assert inner_shape(small, "Scan", "over") == (3, 3)
    assert same_shapes(model, small)


def test_the_axis_that_is_scanned_stays_whole() -> None:
    g = GraphBuilder(opset=17)
    x = g.gemm(g.gemm(g.input("x", (6, 4)), 6), 8)
    first = g.constant(np.zeros((1, 6)))
    nodes = [
        helper.make_node("Add", ["hidden", "item"], ["new"]),
    ]
    graph = body(nodes, [value("hidden", (1, 6)), value("item", (6,))], [value("new", (1, 6))])
    (last,) = scanned(g, [first, x], graph, 1, scan_input_axes=[1])
    model = g.model(shaped(g, last, (1, 6)))
    assert widths(model) == [6]
    assert "scanned along" in reasons(model, "const_3", 0) + reasons(model, "const_4", 0)
    half(model)


def test_stacked_weights_that_are_scanned_are_cut() -> None:
    """One layer a run, as JAX writes them."""
    g = GraphBuilder(opset=17)
    x = g.gemm(g.input("x", (2, 4)), 8)
    ups, downs = g.weight(3, 8, 12, fan_in=8), g.weight(3, 12, 8, fan_in=12)
    inputs = [*(value(n, s) for n, s in STATE), value("up", (8, 12)), value("down", (12, 8))]
    graph = body(residual("up", "down"), inputs, [value("new", (2, 8))])
    (y,) = scanned(g, [x, ups, downs], graph, 2)
    model = g.model(g.gemm(shaped(g, y, (2, 8)), 3))
    assert widths(model) == [8, 12]
    small = half(model)
    dims = {t.name: tuple(t.dims) for t in small.graph.initializer}
    assert (dims[ups], dims[downs]) == ((3, 4, 6), (3, 6, 4))
    assert same_shapes(model, small)
