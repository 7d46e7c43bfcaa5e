"""Costs at any widths against counts of the rewritten model, from shapes in ONNX Runtime."""

from math import prod

import onnx
import pytest
from onnx import numpy_helper

from tests.builders import GraphBuilder
from tests.graph_writer import AnyArray
from tests.spa_onnx.ops.cases.case import Case
from tests.spa_onnx.ops.cases.layers import CASES
from tests.spa_onnx.ops.lanewise import every_value
from tests.spa_onnx.pruned_models import half_result

Shape = tuple[int, ...]
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
COUNTED = [c for c in CASES if c.op != "Einsum"]


def counted_operations(model: onnx.ModelProto) -> int:
    """Return the multiply-accumulate operations of one run."""
    values = every_value(model)
    return sum(_of_node(node, values) for node in model.graph.node)


def _of_node(node: onnx.NodeProto, values: dict[str, AnyArray]) -> int:
    shapes = [_shape(values, name) for name in node.input]
    result = _shape(values, next(filter(None, node.output), ""))
    match node.op_type:
        case "Conv":
            return prod(shapes[1]) * result[0] * prod(result[2:])
        case "ConvTranspose":
            return prod(shapes[1]) * shapes[0][0] * prod(shapes[0][2:])
        case "Gemm":
            return prod(shapes[0]) * result[1]
        case "MatMul":
            left, right = shapes
            columns = right[-1] if len(right) > 1 else 1
            batch = prod(result) // (columns * (left[-2] if len(left) > 1 else 1))
            return batch * prod(left[-2:]) * columns
        case "LSTM" | "GRU" | "RNN":
            steps, batch, width = shapes[0]
            ways, _, hidden = shapes[2]
            return steps * batch * ways * GATES[node.op_type] * hidden * (width + hidden)
        case _:
            return 0


def _shape(values: dict[str, AnyArray], name: str) -> Shape:
    return values[name].shape if name else ()


def stored(model: onnx.ModelProto) -> tuple[int, int]:
    """Return float elements and bytes of all initializers."""
    arrays = [numpy_helper.to_array(t) for t in model.graph.initializer]
    return sum(a.size for a in arrays if a.dtype.kind == "f"), sum(a.nbytes for a in arrays)


@pytest.mark.parametrize("case", COUNTED, ids=str)
def test_reported_costs_are_those_of_the_files(case: Case) -> None:
    model = case.model
    for ratio, seed in ((0.5, 0), (0.75, 1)):
        result = half_result(model, ratio, seed)
        for sizes, made in ((result.report.before, model), (result.report.after, result.model)):
            assert sizes.operations == counted_operations(made)
            assert (sizes.parameters, sizes.bytes) == stored(made)


@pytest.mark.parametrize(
    ("equation", "weight", "operations"),
    [("bnd,de->bne", (8, 6), 2 * 5 * 8 * 6), ("bnd,bmd->bnm", None, 2 * 5 * 5 * 8)],
)
def test_an_einsum_costs_the_product_of_its_letters(
    equation: str, weight: tuple[int, ...] | None, operations: int
) -> None:
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    y = g.einsum(equation, x, g.weight(*weight, fan_in=8) if weight else x)
    model = g.model(g.linear(y, 3))
    found = half_result(model, ratio=0.0).report.before.operations
    width = g.shape(y)[-1]
    assert found == 2 * 5 * 4 * 8 + operations + 2 * 5 * width * 3


def test_dynamic_axes_count_as_one() -> None:
    g = GraphBuilder(opset=13)
    model = g.model(g.linear(g.relu(g.linear(g.input("x", ("N", "T", 4)), 8)), 3))
    assert half_result(model, ratio=0.0).report.before.operations == 4 * 8 + 8 * 3


def test_integers_are_bytes_but_no_parameters() -> None:
    g = GraphBuilder(opset=13)
    x = g.reshape(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3, bias=False), (1, -1))
    before = half_result(g.model(g.gemm(x, 3, bias=False)), ratio=0.0).report.before
    assert before.parameters == 8 * 27 + 3 * 288
    assert before.bytes == 4 * before.parameters + 2 * 8
