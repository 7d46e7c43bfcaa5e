import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.builders import GraphBuilder
from tests.onnx_runs import random_feeds, run
from tests.spa_onnx.pruned_models import half, half_result, node, operand, shape


def declared(model: onnx.ModelProto) -> dict[str, list[int | str]]:
    """Return the shapes of inner tensors that the model declares."""
    return {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in model.graph.value_info
    }


def chain(**facts: object) -> onnx.ModelProto:
    g = GraphBuilder(opset=13, **facts)  # type: ignore[arg-type]
    x = g.conv(g.input("x", ("N", 3, 6, 6)), 8, 3)
    return g.model(g.conv(g.relu(x), 3), origin="tests", licence="none")


def test_kept_weights_are_the_original_ones() -> None:
    model = chain()
    result = half_result(model)
    kept = list(result.plan.cuts[0].keep[0])
    for position, axis in ((1, 0), (2, 0)):
        whole, small = (operand(m, "Conv", position) for m in (model, result.model))
        np.testing.assert_array_equal(small, np.take(whole, kept, axis))
    whole, small = (operand(m, "Conv", 1, 1) for m in (model, result.model))
    np.testing.assert_array_equal(small, whole[:, kept])


def test_everything_else_stays_as_it_was() -> None:
    model = chain(ir_version=8)
    model.doc_string, model.graph.doc_string, model.domain = "a model", "a graph", "example.org"
    model.model_version, model.producer_version = 7, "1.2"
    model.graph.node[0].doc_string = "first"
    model.graph.initializer[0].doc_string = "weights"
    small = half(model)
    del model.graph.initializer[:], small.graph.initializer[:]
    assert small == model


def test_declared_shapes_of_inner_tensors_are_updated() -> None:
    model = onnx.shape_inference.infer_shapes(chain())
    before, after = declared(model), declared(half(model))
    assert before["conv_3"] == ["N", 8, 6, 6]
    assert after["conv_3"] == ["N", 4, 6, 6]
    assert after["relu_4"] == ["N", 4, 6, 6]


def test_declared_shapes_of_another_rank_do_not_disturb() -> None:
    model = chain()
    model.graph.value_info.append(onnx.ValueInfoProto(name="relu_4"))
    assert shape(half(model), "Conv") == (4, 3, 3, 3)


@pytest.mark.parametrize("sizes", [{"N": 1, "T": 1}, {"N": 2, "T": 5}, {"N": 4, "T": 9}])
def test_dynamic_axes_stay_dynamic(sizes: dict[str, int]) -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", ("N", "T", 6))
    lengths = g.node("Shape", [x])
    n, t = (g.gather(lengths, [k], axis=0) for k in (0, 1))

    def heads() -> str:
        target = g.concat(n, t, g.constant([2, 6]), axis=0)
        return g.transpose(g.node("Reshape", [g.linear(x, 12), target]), 0, 2, 1, 3)

    q, k, v = heads(), heads(), heads()
    scores = g.softmax(g.matmul(q, g.transpose(k, 0, 1, 3, 2)))
    mixed = g.transpose(g.matmul(scores, v), 0, 2, 1, 3)
    joined = g.node("Reshape", [mixed, g.concat(n, t, g.constant([12]), axis=0)])
    model = g.model(g.linear(joined, 3))
    small = half(model)
    assert [d.dim_param for d in small.graph.output[0].type.tensor_type.shape.dim][:2] == ["N", "T"]
    feeds = random_feeds(model, sizes=sizes)
    before, after = run(model, feeds)[0], run(small, feeds)[0]
    assert after.shape == before.shape == (sizes["N"], sizes["T"], 3)


def test_a_run_time_product_with_the_width_is_corrected() -> None:
    """``reshape(x, (N, T * 8))`` from Shape: the width is 4 afterwards."""
    g = GraphBuilder(opset=13)
    x = g.relu(g.linear(g.input("x", ("N", "T", 4)), 8))
    lengths = g.node("Shape", [x])
    n, t, c = (g.gather(lengths, [k], axis=0) for k in range(3))
    flat = g.node("Reshape", [x, g.concat(n, g.mul(t, c), axis=0)])
    back = g.node("Reshape", [flat, g.concat(n, t, c, axis=0)])
    model = g.model(g.linear(back, 3))
    small = half(model)
    for sizes in ({"N": 1, "T": 3}, {"N": 2, "T": 6}):
        feeds = random_feeds(model, sizes=sizes)
        assert run(small, feeds)[0].shape == (sizes["N"], sizes["T"], 3)


def test_shape_arithmetic_without_use_is_dropped_if_we_made_it_useless() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    n = g.gather(g.node("Shape", [g.input("y", (1, 7))]), [0], axis=0)
    target = g.concat(n, g.constant([8 * 36]), axis=0)
    model = g.model(g.gemm(g.node("Reshape", [x, target]), 3))
    result = half_result(model)
    left = {n.op_type for n in result.model.graph.node}
    assert left == {"Conv", "Reshape", "Gemm"}
    assert any("computed old shapes were dropped" in note for note in result.report.notes)


def test_what_was_unused_before_stays() -> None:
    model = chain()
    model.graph.node.append(helper.make_node("Exp", ["conv_3"], ["unused"], "Unused"))
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "spare"))
    small = half(model)
    assert node(small, "Exp").output[0] == "unused"
    assert "spare" in {t.name for t in small.graph.initializer}


def test_a_constant_that_two_nodes_read_is_written_for_each() -> None:
    """One row of channels is expanded to eight, the other to four of them."""
    g = GraphBuilder(opset=13)
    x, row = g.input("x", (1, 3, 6, 6)), g.constant([[[[0.3]]]])
    target = g.constant([1, 8, 1, 1], "target")
    free, whole = (g.add(g.conv(x, 8, 3), g.node("Expand", [row, target])) for _ in range(2))
    small = half(g.model(g.conv(free, 3), whole))
    assert [operand(small, "Expand", 1, k).tolist()[1] for k in (0, 1)] == [4, 8]


def test_metadata_of_a_tensor_survives_slicing() -> None:
    model = chain()
    tensor = model.graph.initializer[0]
    tensor.doc_string = "learnt"
    entry = tensor.metadata_props.add()
    entry.key, entry.value = "origin", "here"
    small = half(model).graph.initializer[0]
    assert (small.doc_string, small.metadata_props[0].value) == ("learnt", "here")
    assert small.dims[0] == 4


def test_the_argument_and_the_analysis_stay_as_they_are() -> None:
    model = chain()
    before = model.SerializeToString()
    assert half(model) == half(model)
    assert model.SerializeToString() == before
