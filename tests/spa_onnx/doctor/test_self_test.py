"""The self-test's own oracle, against ONNX Runtime's dense operators; and that it can fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from spa_onnx.doctor.op_models import OpCase
from spa_onnx.doctor.self_test import cases, try_case
from spa_onnx.runtime.unpacking import unpack
from tests.runtime_kernels.kernel_library import needs_kernels

CASES = list(cases())


def dense(case: OpCase) -> Any:
    """Return what ONNX Runtime's own operators make of a case."""
    weight = unpack(case.weight).astype(np.float32)
    if case.op == "SparseLinear":
        nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["sum"], transB=1)]
    else:
        kernel = case.attributes["kernel_shape"]
        weight = weight.reshape(len(weight), -1, *kernel)
        window = {k: case.attributes[k] for k in ("kernel_shape", "strides", "pads", "dilations")}
        nodes = [helper.make_node("Conv", ["x", "w", "b"], ["sum"], **window)]
    last = "sum"
    if case.residual is not None:
        nodes.append(helper.make_node("Add", ["sum", "residual"], [last := "added"]))
    nodes.append(helper.make_node("Relu", [last], ["y"]))
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape)
        for n, a in case.feeds().items()
    ]
    graph = helper.make_graph(
        nodes,
        "dense",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(case.bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    opened = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return opened.run(None, case.feeds())[0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op}, {case.name}")
def test_what_is_expected_is_what_dense_operators_compute(case: OpCase) -> None:
    y = dense(case)
    assert case.error(y) <= 1.0
    assert (y > 0).any()
    wrong = y.copy()
    wrong.flat[np.argmax(case.expected)] *= 1.01
    assert case.error(wrong) > 1.0
    assert case.error(y[..., :1]) == np.inf
    assert case.error(np.full_like(y, np.nan)) == np.inf


@needs_kernels
def test_a_wrong_result_fails_the_check() -> None:
    case = CASES[0]
    check = try_case(replace(case, expected=case.expected + 1.0))
    assert not check.passed
    assert "differs from numpy" in check.found
    assert check.remedy


@needs_kernels
def test_a_case_that_the_runtime_refuses_fails_the_check() -> None:
    check = try_case(replace(CASES[0], weight=b"no packed weight"))
    assert not check.passed
    assert "bytes are too few" in check.found
