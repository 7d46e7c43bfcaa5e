"""Profiles: names that carry numbers, and what the profiler makes of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from spa_onnx.latency.profile import read_profile, tag_nodes
from tests.builders import GraphBuilder


def network() -> onnx.ModelProto:
    g = GraphBuilder()
    x = g.relu(g.conv(g.input("x", (1, 3, 8, 8)), 16, 3))
    y = g.relu(g.conv(x, 16, 3))
    return g.model(g.gemm(g.flatten(g.global_average_pool(g.add(x, y))), 10))


def outputs_of(model: onnx.ModelProto) -> list[Any]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {v.name: np.ones([d.dim_value for d in v.type.tensor_type.shape.dim], np.float32)
             for v in model.graph.input}  # fmt: skip
    return list(session.run(None, feeds))


def numbers_of(model: onnx.ModelProto) -> dict[str, int]:
    return {name: k for k, node in enumerate(model.graph.node) for name in node.output}


def test_a_tagged_model_computes_the_same() -> None:
    model, tagged = network(), network()
    tag_nodes(tagged, numbers_of(model))
    assert [v.name for v in tagged.graph.output] == [v.name for v in model.graph.output]
    for one, other in zip(outputs_of(model), outputs_of(tagged), strict=True):
        np.testing.assert_array_equal(one, other)


def test_bodies_still_read_what_they_read() -> None:
    def branch(name: str, op: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])
        return helper.make_graph([helper.make_node(op, ["y"], [name])], name, [], [out])

    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("ReduceSum", ["y"], ["s"], keepdims=0),
        helper.make_node("Cast", ["s"], ["c"], to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["z"], then_branch=branch("t", "Neg"),
                         else_branch=branch("e", "Abs")),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, [2])], [value("z", TensorProto.FLOAT, [2])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    before = outputs_of(model)
    tag_nodes(model, numbers_of(model))
    np.testing.assert_array_equal(outputs_of(model)[0], before[0])


def test_the_runtime_keeps_the_numbers_when_it_fuses(tmp_path: Path) -> None:
    model = network()
    numbers = numbers_of(model)
    convolutions = [k for k, n in enumerate(model.graph.node) if n.op_type in ("Conv", "Gemm")]
    tag_nodes(model, numbers)
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "p")
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    for _ in range(7):
        session.run(None, {"x": np.ones((1, 3, 8, 8), np.float32)})
    found = read_profile(Path(session.end_profiling()), 5, 2)
    assert found.keys() <= set(numbers.values())
    for number in convolutions:  # each ran, under its own number or under that of its activation
        assert {number, number + 1} & found.keys()
    assert all(time >= 0 for time in found.values())


def event(name: str, duration: int, kind: str = "Node") -> dict[str, Any]:
    return {"cat": kind, "name": name, "dur": duration}


def test_times_are_added_up_by_number(tmp_path: Path) -> None:
    run = [
        event("ReorderInput", 1),
        event("spa#4#_kernel_time", 10),
        event("ReorderOutput", 2),
        event("spa-inside#0#_kernel_time", 50),
        event("spa#7#0_nchwc_kernel_time", 20),
        event("model_run", 99, "Session"),
    ]
    warm_up = [e | {"dur": 1000} for e in run]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(warm_up + run + run))
    assert read_profile(path, 2, 1) == pytest.approx({4: 13, 7: 20})


def test_a_node_that_runs_several_times_counts_as_often(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps([event("spa#0#", 3)] * 4))
    assert read_profile(path, 2, 0) == {0: 6}
