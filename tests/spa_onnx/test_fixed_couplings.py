"""The smallest graphs whose lanes were once fixed without need."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import prune_at_random, widths
from tests.spa_onnx.untracked import append, shaped


# analyse/propagate.py: integers computed from constants counted as shape arithmetic, never as
# weights, so whatever moved a quantised weight before it was dequantised fixed both sides.
@pytest.mark.parametrize(
    ("element", "move"),
    [("INT8", "Gather"), ("UINT8", "Gather"), ("INT8", ""), ("UINT8", ""), ("INT4", "")],
)
def test_a_quantised_weight_may_be_moved_before_it_is_dequantised(element: str, move: str) -> None:
    g = GraphBuilder(opset=21)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    name = g.constant(g.random.integers(0, 8, (6, 8)).astype(np.int8))
    kind = getattr(onnx.TensorProto, element)
    moved = g.transpose(name, 1, 0)
    if move == "Gather":
        moved = g.gather(moved, [4, 5, 6, 7, 0, 1, 2, 3], axis=0)
    weight = shaped(g, g.node("DequantizeLinear", [moved, g.constant(0.1)]), (8, 6))
    model = g.model(g.linear(g.relu(g.matmul(x, weight)), 3), check=False)
    stored = next(t for t in model.graph.initializer if t.name == name)
    values = numpy_helper.to_array(stored).astype(helper.tensor_dtype_to_np_dtype(kind))
    stored.CopyFrom(numpy_helper.from_array(values, name))
    onnx.checker.check_model(model, full_check=True)
    assert sum(widths(model)) == 6 + 8
    small = prune_at_random(model).model
    assert [list(t.dims) for t in small.graph.initializer if t.name == name] == [[3, 4]]


# rewrite/writer.py: ONNX Runtime does not read weights of a body from a file named ``..name``.
def test_a_hidden_file_may_be_written(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        weight = numpy_helper.from_array(g.random.normal(size=(64, 64)).astype(np.float32), name)
        product = helper.make_node("MatMul", ["x8", name], [f"{name}y"])
        result = helper.make_tensor_value_info(f"{name}y", onnx.TensorProto.FLOAT, (2, 64))
        return helper.make_graph([product], name, [], [result], [weight])

    g = GraphBuilder(opset=13)
    x8 = g.node("Identity", [g.gemm(g.input("x", (2, 4)), 64)])
    flag = g.input("flag", (), np.bool_)
    append(g, helper.make_node("Identity", [x8], ["x8"]))
    append(
        g, helper.make_node("If", [flag], ["y"], then_branch=branch("a"), else_branch=branch("b"))
    )
    model = g.model(g.gemm(shaped(g, "y", (2, 64)), 3))
    assert prune_at_random(model, output=tmp_path / ".hidden.onnx").report.proof


# ops/reshaping.py: two names for one run-time length made the shapes look different.
def test_an_unknown_length_behind_a_reshape_is_the_one_in_front_of_it() -> None:
    g = GraphBuilder(opset=13)
    table = g.linear(g.input("x", (6, 4)), 8)
    mask, other = g.input("mask", (6,), np.int64), g.input("other", (6,), np.int64)
    rows = g.squeeze(g.node("NonZero", [mask]), 0)
    count = g.node("Shape", [g.squeeze(g.node("NonZero", [other]), 0)])
    chosen = g.node("Gather", [table, rows], axis=0)
    target = g.node("Concat", [count, g.constant(np.array([8, 1]))], axis=0)
    flat = g.squeeze(g.node("Reshape", [chosen, target]), 2)
    out = g.node("MatMul", [g.relu(flat), g.weight(8, 3)])
    model = g.model(g.reduce("ReduceMax", out, 0), check=False)
    assert widths(model) == [8]
    prune_at_random(model)
