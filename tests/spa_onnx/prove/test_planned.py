"""Repaired models are proved with the weights of their plans."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import spa_onnx
from spa_onnx.errors import OtherWeightsError, ProofFailedError
from spa_onnx.pipeline import verify
from tests.builders import GraphBuilder


def network() -> onnx.ModelProto:
    """A layer with a bias, products without, two layers that share a bias, a single number."""
    g = GraphBuilder(opset=17)
    x = g.relu(g.gemm(g.input("x", ("N", 6)), 16))
    y = g.relu(g.matmul(x, g.constant(g.random.standard_normal((16, 16)).astype(np.float32))))
    w, v = (g.constant(g.random.standard_normal((16, 8)).astype(np.float32)) for _ in range(2))
    shared = g.constant(g.random.standard_normal(8).astype(np.float32))
    sides = [g.node("Gemm", [y, z, shared]) for z in (w, v)]
    one = g.constant(np.array([0.5], np.float32))
    tail = g.constant(g.random.standard_normal((8, 4)).astype(np.float32))
    scaled = g.node("Mul", [g.relu(g.add(*sides)), g.constant(np.array(0.5, np.float32))])
    return g.model(g.node("Gemm", [scaled, tail, one]))


def repaired(model: onnx.ModelProto) -> spa_onnx.PruneResult:
    inputs = np.random.default_rng(1).standard_normal((256, 6)).astype(np.float32)
    config = spa_onnx.PruneConfig(compensation="ridge", calibration=inputs)
    result = spa_onnx.prune(model, config)
    assert result.report.repair is not None
    assert result.report.repair.layers == 4
    return result


def test_with_the_weights_of_its_plan_a_repaired_model_is_what_was_proved() -> None:
    model = network()
    result = repaired(model)
    proof = verify(model, result.model, result.plan)
    assert proof.largest < 1e-5
    assert proof.power > 1e-3
    assert proof.repaired == 8  # four weights and their biases
    assert "not proved" in proof.limits[0]


def test_weights_that_lie_outside_are_replaced_file_by_file(tmp_path: Path) -> None:
    model = network()
    result = repaired(model)
    onnx.save(result.model, tmp_path / "pruned.onnx", save_as_external_data=True, size_threshold=0)
    proof = verify(model, tmp_path / "pruned.onnx", result.plan)
    assert proof.repaired == verify(model, result.model, result.plan).repaired


def test_no_repair_makes_numbers_that_are_not_finite() -> None:
    model = network()
    result = repaired(model)
    other = result.model
    weight = next(t for t in other.graph.initializer if len(t.dims) == 2)
    broken = numpy_helper.to_array(weight).copy()
    broken[0, 0] = np.nan
    weight.CopyFrom(numpy_helper.from_array(broken, weight.name))
    with pytest.raises(OtherWeightsError, match="not finite"):
        verify(model, other, result.plan)


def test_another_network_is_no_result_of_the_plan() -> None:
    model = network()
    result = repaired(model)
    other = result.model
    for node in other.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Neg"
    with pytest.raises(ProofFailedError):
        verify(model, other, result.plan)


def test_weights_of_another_shape_are_told_by_name() -> None:
    model = network()
    result = repaired(model)
    other = result.model
    weight = next(t for t in other.graph.initializer if len(t.dims) == 2)
    wider = np.zeros((weight.dims[0], weight.dims[1] + 1), np.float32)
    weight.CopyFrom(numpy_helper.from_array(wider, weight.name))
    with pytest.raises(OtherWeightsError, match="as the plan makes it"):
        verify(model, other, result.plan)
