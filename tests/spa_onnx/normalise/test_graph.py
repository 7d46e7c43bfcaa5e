from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import spa_onnx
from spa_onnx.load.model import load
from spa_onnx.normalise.graph import normalise
from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import half, half_result, node, shape, widths
from tests.spa_onnx.untracked import append, declared, like


def with_shared_bias(values: np.ndarray, *second: int) -> onnx.ModelProto:
    """Two convolutions in parallel that share a bias, of which one output may stay whole."""
    g = GraphBuilder(opset=13)
    x, bias = g.input("x", (1, 3, 6, 6)), g.constant(values, "shared")
    width = len(values)
    a, b = (g.conv(x, width, 3, bias=bias) for _ in range(2))
    return g.model(g.conv(g.relu(a), 3), b if second else g.conv(g.relu(b), 3))


def biases(model: onnx.ModelProto) -> list[str]:
    return [node(model, "Conv", k).input[2] for k in (0, 1)]


# -- shared constants ------------------------------------------------------------------------------


def test_equal_zeros_do_not_tie_two_layers() -> None:
    model = with_shared_bias(np.zeros(12), 1)
    assert widths(model) == [12]
    small = half(model)
    assert [shape(small, "Conv", 2, k) for k in (0, 1)] == [(6,), (12,)]


def test_uses_that_come_out_equal_share_again() -> None:
    small = half(with_shared_bias(np.zeros(12)))
    assert len(set(biases(small))) == 1
    assert shape(small, "Conv", 2) == (6,)


def test_uses_that_nothing_cuts_keep_their_tensor() -> None:
    model = with_shared_bias(np.zeros(12))
    assert half(model, ratio=0.0) == model


def test_a_learnt_tensor_with_two_uses_is_tied() -> None:
    values = np.random.default_rng(0).uniform(0.1, 1, 12)
    assert widths(with_shared_bias(values)) == [12]
    assert widths(with_shared_bias(values, 1)) == []


def test_a_tiny_vector_is_shared_by_coincidence() -> None:
    values = np.random.default_rng(0).uniform(0.1, 1, 8)
    small = half(with_shared_bias(values, 1))
    assert [shape(small, "Conv", 2, k) for k in (0, 1)] == [(4,), (8,)]


def test_tied_embeddings_stay_tied() -> None:
    """A table that is also the classifier, read transposed."""
    g = GraphBuilder(opset=13)
    table = g.weight(20, 8, fan_in=1, name="table")
    x = g.relu(g.linear(g.embedding(g.input("ids", (2, 5), np.int64), 20, 8, table), 8))
    model = g.model(g.matmul(x, g.transpose(table, 1, 0)))
    result = half_result(model)
    tables = [t for t in result.model.graph.initializer if t.name == "table"]
    assert [list(t.dims) for t in tables] == [[20, 4]]
    assert len(result.plan.cuts) == 1


# -- graphs that contradict themselves -------------------------------------------------------------


def chain() -> onnx.ModelProto:
    g = GraphBuilder(opset=13)
    x = g.relu(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3))
    return g.model(g.conv(x, 3))


def refusal(model: onnx.ModelProto) -> str:
    with pytest.raises(spa_onnx.GraphError) as caught:
        normalise(load(model))
    return str(caught.value)


def test_a_missing_input_is_named_with_its_node() -> None:
    model = chain()
    model.graph.node[1].input[0] = "nobody"
    text = refusal(model)
    assert text.startswith("Relu 'Relu_4': input 'nobody' is made by no node")
    assert "Repair the graph" in text


def reversed_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def test_unsorted_nodes_are_sorted_as_the_runtime_does() -> None:
    assert half(reversed_nodes(chain())) == half(chain())


def test_nodes_in_a_circle_are_refused() -> None:
    model = chain()
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]
    assert "depends on its own result" in refusal(model)


def test_a_name_made_twice_is_refused() -> None:
    model = chain()
    model.graph.node[1].output[0] = model.graph.node[0].output[0]
    assert "exists already" in refusal(model)


@pytest.mark.parametrize("name", ["x", "weight_1"])
def test_an_output_may_not_take_the_name_of_an_input_or_weight(name: str) -> None:
    model = chain()
    model.graph.node[1].output[0] = name
    model.graph.node[2].input[0] = name
    assert f"output '{name}' exists already" in refusal(model)


def test_a_missing_output_is_refused() -> None:
    model = chain()
    model.graph.output[0].name = "nobody"
    assert "graph: output 'nobody' is made by no node" in refusal(model)


# -- other forms -----------------------------------------------------------------------------------


def test_constant_nodes_are_tensors() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    scale = g.node("Constant", [], value_floats=[0.5] * 8)
    model = g.model(g.conv(g.mul(x, g.reshape(scale, (8, 1, 1))), 3))
    graph = normalise(load(model))
    assert scale in graph.tensors
    assert all(n.op != "Constant" for n in graph.nodes)
    constant = node(half(model), "Constant").attribute[0]
    assert numpy_helper.to_array(constant.t).shape == (4,)


@pytest.mark.parametrize("form", ["value_int", "value_ints", "value_float", "value_string"])
def test_every_form_of_constant_is_accepted(form: str) -> None:
    values: dict[str, Any] = {"value_int": 2, "value_ints": [2], "value_float": 2.0}
    model = chain()
    extra = helper.make_node("Constant", [], ["extra"], **{form: values.get(form, "text")})
    model.graph.node.insert(0, extra)
    assert node(half(model), "Constant") == extra


def test_the_state_of_a_loop_is_cut_with_what_its_body_adds() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    y = g.conv(g.relu(x), 8, 3)
    body = helper.make_graph(
        [
            helper.make_node("Add", ["state", x], ["next"]),
            helper.make_node("Identity", ["again"], ["go_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("k", onnx.TensorProto.INT64, ()),
            helper.make_tensor_value_info("again", onnx.TensorProto.BOOL, ()),
            helper.make_tensor_value_info("state", onnx.TensorProto.FLOAT, (1, 8, 6, 6)),
        ],
        [
            helper.make_tensor_value_info("go_on", onnx.TensorProto.BOOL, ()),
            helper.make_tensor_value_info("next", onnx.TensorProto.FLOAT, (1, 8, 6, 6)),
        ],
    )
    trips, again = g.constant(np.array(3)), g.constant(np.array(True))
    append(g, helper.make_node("Loop", [trips, again, y], ["looped"], body=body))
    like(g, "looped", y)
    model = g.model(g.conv(g.conv("looped", 6), 3))
    model.graph.value_info.append(declared(g, "looped"))
    assert widths(model) == [6, 8]
    body = node(half(model), "Loop").attribute[0].g
    assert [d.dim_value for d in body.output[1].type.tensor_type.shape.dim] == [1, 4, 6, 6]
