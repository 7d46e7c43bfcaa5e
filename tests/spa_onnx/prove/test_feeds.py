import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx.prove.feeds import make_feeds, symbol_choices
from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import half


def test_inputs_have_their_types_and_legal_values() -> None:
    g = GraphBuilder(opset=13)
    x = g.embedding(g.input("ids", ("N", "T"), np.int64), 20, 8)
    mask = g.input("mask", ("N", "T"), np.bool_)
    masked = g.node("Where", [g.unsqueeze(mask, 2), x, g.constant(0.0)])
    half_input = g.node("Cast", [g.input("h", ("N", "T", 8), np.float16)], to=1)
    state = spa_onnx.analyze(g.model(g.linear(g.add(masked, half_input), 3))).propagation
    feeds = make_feeds(state, {"N": 3, "T": 50}, seed=0)
    assert feeds["ids"].dtype == np.int64
    assert (feeds["ids"].min(), feeds["ids"].max()) == (0, 19)
    assert feeds["mask"].all()
    assert feeds["h"].dtype == np.float16
    assert {name: x.shape[:2] for name, x in feeds.items()} == dict.fromkeys(feeds, (3, 50))


def test_feeds_follow_the_seed() -> None:
    g = GraphBuilder(opset=13)
    state = spa_onnx.analyze(g.model(g.gemm(g.gemm(g.input("x", (2, 4)), 8), 3))).propagation
    first, again, other = (make_feeds(state, {}, seed)["x"] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_symbols_of_batches_and_lengths_get_numbers() -> None:
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", ("N", "T", 4)), 8)
    state = spa_onnx.analyze(g.model(g.linear(x, 3))).propagation
    choices = list(symbol_choices(state, {}))
    assert all(set(c) == {"N", "T"} for c in choices)
    assert len({c["T"] for c in choices}) > 3


def test_a_model_that_runs_at_no_size_asks_for_one() -> None:
    g = GraphBuilder(opset=13, sizes={"N": 37})  # it runs for multiples of 37 only
    x = g.reshape(g.input("x", ("N", 4)), (-1, 37 * 4))
    model = g.model(g.gemm(g.relu(g.gemm(x, 8)), 3))
    with pytest.raises(
        spa_onnx.UnknownShapeError,
        match=r"input 'x' has symbolic shape \[N,4\].*Give one with --input-shape x:N,4",
    ):
        half(model)
    assert half(model, input_shapes={"x": (37, 4)}).graph.node


def test_a_length_that_an_exporter_wrote_into_the_graph_is_tried() -> None:
    """A loop that was unrolled over twelve steps, though the input says any number."""
    g = GraphBuilder(opset=13, sizes={"T": 12})
    x = g.linear(g.input("x", ("N", "T", 4)), 8)
    steps = [g.gather(x, [k]) for k in range(12)]
    model = g.model(g.linear(g.add(x, g.concat(*steps)), 3))
    choices = symbol_choices(spa_onnx.analyze(model).propagation, {})
    assert 12 in {c["T"] for c in choices}
    assert half(model).graph.node


def test_a_model_that_onnx_runtime_refuses_is_told_from_ours() -> None:
    g = GraphBuilder(opset=13)
    model = g.model(g.gemm(g.relu(g.gemm(g.input("x", (2, 4)), 8)), 3))
    model.graph.node[1].op_type = "Gelu"  # of opset 20
    with pytest.raises(spa_onnx.RuntimeRefusedError, match="cannot load the original model"):
        half(model)


def test_text_can_be_made_up() -> None:
    g = GraphBuilder(opset=13)
    g.input("names", (2,), np.int64)
    model = g.model(g.gemm(g.relu(g.gemm(g.input("x", (2, 4)), 8)), 3))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.STRING
    assert half(model).graph.node


def test_an_input_that_cannot_be_made_up_is_named() -> None:
    g = GraphBuilder(opset=13)
    g.input("names", (2,), np.int64)
    model = g.model(g.gemm(g.relu(g.gemm(g.input("x", (2, 4)), 8)), 3))
    kind = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, (2,))
    model.graph.input[0].type.CopyFrom(onnx.helper.make_sequence_type_proto(kind))
    with pytest.raises(spa_onnx.GraphError, match=r"input 'names'.*--no-verify"):
        half(model)
    assert half(model, verify=False).graph.node
