"""A proof in pieces comes to the verdict of a proof of the whole, with the same numbers."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import spa_onnx
from spa_onnx.execute.piecewise import type_of
from spa_onnx.execute.runtime import open_session
from spa_onnx.execute.session import NotLoadedError, RefusedError
from spa_onnx.load.model import load
from tests.builders import GraphBuilder
from tests.onnx_runs import random_feeds
from tests.random_graphs import models, random_model
from tests.spa_onnx.pruned_models import half_result

WHOLE, SINGLE_NODES = 10**12, 1
EXACT, HALVES = 1e-6, 2e-3
"""Allowed change of a difference: none, and the rounding of float16 between two pieces."""


def pieces_and_numbers(proof: Any) -> tuple[int, dict[str, tuple[float, float]]]:
    assert proof is not None
    numbers = {d.tensor: (d.relative, d.power) for d in (*proof.outputs, *proof.inner)}
    return proof.pieces, numbers


def assert_same_proof(
    model: onnx.ModelProto | Path, memory: int = SINGLE_NODES, rounding: float = EXACT
) -> int:
    """Prune, and prove whole and in pieces; return the number of pieces."""
    found = []
    for limit in (WHOLE, memory):
        config = spa_onnx.PruneConfig(importance="random", proof_memory=limit)
        found.append(pieces_and_numbers(spa_onnx.prune(model, config).report.proof))
    (one, whole), (pieces, cut) = found
    assert one == 1
    assert cut.keys() == whole.keys()
    for name, (relative, power) in whole.items():
        assert cut[name][0] == pytest.approx(relative, abs=rounding)
        assert cut[name][1] == pytest.approx(power, rel=rounding, abs=rounding)
    return pieces


@given(model=models(), memory=st.sampled_from([1, 2_000, 20_000]))
@settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
def test_any_graph_is_proved_in_pieces_as_it_is_whole(model: onnx.ModelProto, memory: int) -> None:
    try:
        assert_same_proof(model, memory)
    except spa_onnx.NothingToPruneError:
        return


# -- what crosses from piece to piece --------------------------------------------------------------


ZOO = (
    "if_captured_weights", "if_nested", "loop_captured_weights", "loop_collected",
    "scan_both_ways", "scan_in_loop", "tied_embedding", "inputs_and_outputs", "computed_weights",
    "constant_nodes", "bfloat_mlp", "sequences", "strings", "passed_outputs", "sampling",
    "qlinear_cnn", "matmul_four_bits", "zero_sizes", "local_functions", "old_opset",
)  # fmt: skip


def handwritten(monkeypatch: pytest.MonkeyPatch, name: str) -> onnx.ModelProto:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "models"))
    make = importlib.import_module("handwritten_zoo").BUILDERS[name]
    try:
        model: onnx.ModelProto = make().model
    except ModuleNotFoundError as error:  # ONNX Runtime's quantisation tools want more than it
        pytest.skip(f"needs {error.name}")
    return model


@pytest.mark.filterwarnings("ignore")  # of ONNX Runtime's quantisation tools
@pytest.mark.parametrize("name", ZOO)
def test_every_kind_of_value_crosses(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert assert_same_proof(handwritten(monkeypatch, name)) > 3


def test_half_precision_is_rounded_where_it_crosses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert assert_same_proof(handwritten(monkeypatch, "half_cnn"), rounding=HALVES) > 3


def test_dynamic_axes_are_run_at_two_sizes_in_pieces_too() -> None:
    g = GraphBuilder(opset=13)
    model = g.model(g.linear(g.relu(g.linear(g.input("x", ("N", "T", 4)), 8)), 3))
    proof = half_result(model, proof_memory=SINGLE_NODES).report.proof
    assert proof is not None
    assert proof.pieces == 5
    assert len({shapes["x"] for shapes in proof.shapes}) == 2


def test_weights_outside_the_file_are_read_where_they_lie(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save_model(
        random_model(7), str(path), save_as_external_data=True, location="w.bin", size_threshold=500
    )
    assert assert_same_proof(path) > 3


def test_an_output_may_be_an_input_a_weight_or_arithmetic_on_weights(tmp_path: Path) -> None:
    g = GraphBuilder(opset=13)
    x, weight = g.input("x", (2, 600)), g.weight(600, 600)
    y = g.relu(g.matmul(g.relu(x), weight))
    model = g.model(y, x, weight, g.transpose(weight, 1, 0))
    path = tmp_path / "model.onnx"
    onnx.save_model(model, str(path), save_as_external_data=True, location="w.bin")
    loaded, feeds = load(path), random_feeds(model)
    names = [v.name for v in model.graph.output]
    sessions = [open_session(loaded.skeleton, loaded.weights, names, memory=m) for m in (None, 1)]
    assert [s.pieces > 1 for s in sessions] == [False, True]
    for whole, cut in zip(*(s.run(names, feeds) for s in sessions), strict=True):
        np.testing.assert_array_equal(whole, cut)


# -- models that fail ------------------------------------------------------------------------------


def verdict(model: onnx.ModelProto, wrong: onnx.ModelProto, plan: Any, memory: int) -> str:
    try:
        spa_onnx.verify(model, wrong, plan, proof_memory=memory)
    except spa_onnx.ProofFailedError as failure:
        return str(failure).split(":")[0]
    return "holds"


def damaged(model: onnx.ModelProto, position: int) -> onnx.ModelProto:
    """Return the model with the largest number of one weight negated."""
    wrong = onnx.ModelProto()
    wrong.CopyFrom(model)
    tensor = [t for t in wrong.graph.initializer if t.data_type == TensorProto.FLOAT][position]
    array = numpy_helper.to_array(tensor).copy()
    if array.size:
        array.reshape(-1)[np.abs(array).argmax()] *= -1
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return wrong


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_weight_has_the_same_verdict(seed: int) -> None:
    model = random_model(seed)
    try:
        result = half_result(model, seed=seed)
    except spa_onnx.NothingToPruneError:
        pytest.skip("nothing to prune in this graph")
    pruned, failed = result.model, 0
    floats = sum(t.data_type == TensorProto.FLOAT for t in pruned.graph.initializer)
    for position in range(0, floats, -(-floats // 6)):
        wrong = damaged(pruned, position)
        whole = verdict(model, wrong, result.plan, WHOLE)
        assert verdict(model, wrong, result.plan, SINGLE_NODES) == whole
        failed += whole != "holds"
    assert failed, "no damage was noticed"


def chain() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.batch_norm(g.conv(g.input("x", (2, 3, 6, 6)), 8, 3))
    return g.model(g.gemm(g.flatten(g.global_average_pool(g.conv(g.relu(x), 8))), 3))


def rewire(model: onnx.ModelProto) -> None:
    convs = [n for n in model.graph.node if n.op_type == "Conv"]
    convs[0].input[1] = convs[1].input[1]


def misname(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type = "Nonsense"


@pytest.mark.parametrize("break_it", [rewire, misname])
def test_a_pruned_model_that_does_not_run_is_refused(
    break_it: Callable[[onnx.ModelProto], None],
) -> None:
    result = half_result(chain())
    wrong = result.model
    break_it(wrong)
    for memory in (WHOLE, SINGLE_NODES):
        with pytest.raises(spa_onnx.ProofFailedError, match="refuses the pruned model"):
            spa_onnx.verify(chain(), wrong, result.plan, proof_memory=memory)


def test_rounding_is_measured_in_pieces_too() -> None:
    """Huge numbers in front of a sine: more than the tolerance, and no more than its noise."""
    g = GraphBuilder(opset=13)
    x = g.linear(g.relu(g.linear(g.input("x", (2, 64)), 999)), 64)
    x = g.node("Sin", [g.mul(x, g.constant(np.float32(3e3)))])
    model = g.model(g.linear(x, 4))
    for memory in (WHOLE, SINGLE_NODES):
        proof = half_result(model, proof_memory=memory).report.proof
        assert proof is not None
        assert proof.largest > 1e-4


# -- sessions --------------------------------------------------------------------------------------


def test_a_later_piece_that_does_not_load_is_told_from_one_that_does_not_run() -> None:
    model = chain()
    feeds = random_feeds(model)
    name = model.graph.output[0].name
    misname(model)
    loaded = load(model)
    with pytest.raises(NotLoadedError):
        open_session(loaded.skeleton, loaded.weights, [name], memory=1).run([name], feeds)
    loaded = load(chain())
    feeds = {"x": np.ones((2, 5, 6, 6), np.float32)}
    with pytest.raises(RefusedError) as refusal:
        open_session(loaded.skeleton, loaded.weights, [name], memory=1).run([name], feeds)
    assert not isinstance(refusal.value, NotLoadedError)


def test_sequences_and_absent_values_cross_and_come_out() -> None:
    floats = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    given = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    weight = numpy_helper.from_array(np.full((3, 2), 0.5, np.float32), "w")
    nodes = [
        helper.make_node("SequenceAt", ["s", "one"], ["x"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("SequenceInsert", ["s", "y"], ["t"]),
        helper.make_node("Optional", [], ["none"], type=floats),
        helper.make_node("If", ["always"], ["o"], then_branch=choice("y"), else_branch=choice("x")),
        helper.make_node("OptionalHasElement", ["o"], ["has"]),
    ]
    outputs = [onnx.ValueInfoProto(name=n) for n in ("t", "y", "none", "o", "has")]
    constants = [weight, numpy_helper.from_array(np.array(1), "one")]
    constants.append(numpy_helper.from_array(np.array(True), "always"))
    graph = helper.make_graph(nodes, "g", [given], outputs, constants)
    versions = [helper.make_opsetid("", 18)]
    loaded = load(helper.make_model(graph, opset_imports=versions, ir_version=8))
    names = [v.name for v in outputs]
    feeds = {"s": [np.eye(3, dtype=np.float32), np.ones((4, 3), np.float32)]}
    sessions = [open_session(loaded.skeleton, loaded.weights, names, memory=m) for m in (None, 1)]
    assert [s.pieces > 1 for s in sessions] == [False, True]
    for whole, cut in zip(*(s.run(names, feeds) for s in sessions), strict=True):
        np.testing.assert_array_equal(whole, cut)


def choice(name: str) -> onnx.GraphProto:
    """A branch that gives a tensor of the graph around it as an optional value."""
    floats = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    output = onnx.ValueInfoProto(name=f"o_{name}", type=helper.make_optional_type_proto(floats))
    node = helper.make_node("Optional", [name], [output.name])
    return helper.make_graph([node], name, [], [output])


def test_a_kind_of_value_that_cannot_cross_is_named() -> None:
    value = ort.OrtValue.ortvalue_from_numpy(np.zeros((2, 3), np.float32))
    assert type_of("seq(tensor(float))", value).sequence_type.elem_type.tensor_type.elem_type == 1
    with pytest.raises(NotLoadedError, match=r"map\(int64,tensor\(float\)\) cannot be handed"):
        type_of("map(int64,tensor(float))", value)
