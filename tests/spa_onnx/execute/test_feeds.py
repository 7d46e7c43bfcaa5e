import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx.execute.feeds import make_feeds, symbol_choices
from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import half, half_result, widths
from tests.spa_onnx.untracked import shaped, type_of, typed


def test_inputs_have_their_types_and_legal_values() -> None:
    g = GraphBuilder(opset=13)
    x = g.embedding(g.input("ids", ("N", "T"), np.int64), 20, 8)
    mask = g.input("mask", ("N", "T"), np.bool_)
    masked = g.node("Where", [g.unsqueeze(mask, 2), x, g.constant(0.0)])
    half_input = g.node("Cast", [g.input("h", ("N", "T", 8), np.float16)], to=1)
    state = spa_onnx.analyze(g.model(g.linear(g.add(masked, half_input), 3))).propagation
    made = make_feeds(state, {"N": 3, "T": 50}, seed=0)
    feeds = {name: np.asarray(x) for name, x in made.items()}
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
    model.graph.input[0].type.CopyFrom(
        onnx.helper.make_map_type_proto(onnx.TensorProto.INT64, kind)
    )
    with pytest.raises(spa_onnx.GraphError, match=r"input 'names'.*--no-verify"):
        half(model)
    assert half(model, verify=False).graph.node


def with_container(kind: str) -> onnx.ModelProto:
    """Two layers that add an element of a sequence, or an optional value, from the user."""
    g = GraphBuilder(opset=18)
    tensor = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, (2, 8))
    given = g.input("given", (2, 8))
    if kind == "sequence":
        typed(g, given, onnx.helper.make_sequence_type_proto(tensor))
        element = g.node("SequenceAt", [given, g.constant(np.array(1))])
    else:
        typed(g, given, onnx.helper.make_optional_type_proto(tensor))
        element = g.node("OptionalGetElement", [given])
    y = g.relu(g.add(g.gemm(g.gemm(g.input("x", (2, 4)), 6), 8), shaped(g, element, (2, 8))))
    out = g.gemm(g.gemm(y, 16), 3)
    last = g.node("SequenceConstruct", [out, g.relu(out)])
    model = g.model(last, check=False)
    model.graph.input[0].type.CopyFrom(type_of(g, given))
    out_type = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, (2, 3))
    model.graph.output[0].type.CopyFrom(onnx.helper.make_sequence_type_proto(out_type))
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize("kind", ["sequence", "optional"])
def test_sequences_and_optional_values_are_fed_and_compared(kind: str) -> None:
    model = with_container(kind)
    result = half_result(model)
    assert widths(model) == [6, 16]
    proof = result.report.proof
    assert proof is not None
    assert [d.tensor for d in proof.outputs] == [model.graph.output[0].name]
    assert proof.outputs[0].power > 0.01
    assert list(result.model.graph.output) == list(model.graph.output)
