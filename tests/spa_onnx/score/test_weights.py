"""What a pass sees of a dim, against sums over the elements that a plan would remove."""

import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx.analyse.dims import Analysis, PrunableDim
from spa_onnx.analyse.members import Role
from spa_onnx.score.weights import WeightReader
from tests.builders import GraphBuilder
from tests.graph_writer import AnyArray
from tests.spa_onnx.analyse.test_dims import attention
from tests.spa_onnx.ops.cases.all_cases import CASES
from tests.spa_onnx.ops.lanewise import holders


def removed(analysis: Analysis, dim: PrunableDim, unit: int, tensor: str) -> AnyArray:
    """Return the elements of a tensor that go with one unit of a dim."""
    state = analysis.propagation
    axes = state.axes_of(tensor) or ()
    row, lane = divmod(unit, dim.dim.size)
    goes = holders(state, axes, dim.dim, lane)
    if dim.rows is not None:
        goes = goes & holders(state, axes, dim.rows, row)
    array: AnyArray = state.graph.array(tensor)
    gone: AnyArray = array[np.broadcast_to(goes, array.shape)]
    return gone


def grouped() -> onnx.ModelProto:
    g = GraphBuilder(opset=13)
    x = g.batch_norm(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3))
    return g.model(g.conv(g.conv(g.concat(x, g.relu(x)), 8, 3, groups=2), 3))


ROLES: tuple[tuple[Role, ...], ...] = (("produces", "consumes"), ())
MODELS = {
    "attention": attention(),
    "groups": grouped(),
    **{str(c): c.model for c in CASES if c.op in ("LSTM", "Einsum", "ConvTranspose", "Gather")},
}


@pytest.mark.parametrize("name", MODELS)
def test_a_unit_is_worth_what_goes_with_it(name: str) -> None:
    analysis = spa_onnx.analyze(MODELS[name])
    reader = WeightReader(analysis)
    floats = {n for n, t in analysis.propagation.graph.tensors.items() if t.data_type == 1}
    for dim in analysis.dims:
        weights = reader.weights(dim)
        for roles in ROLES:
            members = {m.tensor for m in dim.members if not roles or m.role in roles} & floats
            expected = [
                sum(float(np.abs(removed(analysis, dim, unit, t)).sum()) for t in members)
                for unit in range(weights.units)
            ]
            axes = [m.tensor for m in dim.members if m.tensor in members]
            if len(axes) == len(set(axes)):  # on two axes of one tensor a lane counts twice
                found = weights.total(np.abs, *roles)
                np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_matrices_have_one_row_for_every_unit() -> None:
    analysis = spa_onnx.analyze(attention())
    for dim in analysis.dims:
        weights = WeightReader(analysis).weights(dim)
        matrices = list(weights.matrices("produces"))
        assert matrices
        for matrix in matrices:
            assert matrix.shape[0] == weights.units


def test_quantised_weights_are_scored_by_their_numbers() -> None:
    """A lane of large integers is worth more than one of small ones."""
    g = GraphBuilder(opset=13)
    values = np.arange(1, 9, dtype=np.int8).reshape(8, 1, 1, 1) * np.ones((1, 3, 3, 3), np.int8)
    weight = g.node("DequantizeLinear", [g.constant(values), g.constant(0.01)])
    x = g.node("Conv", [g.input("x", (1, 3, 6, 6)), weight])
    analysis = spa_onnx.analyze(g.model(g.conv(x, 3)))
    total = WeightReader(analysis).weights(analysis.dims[0]).total(np.abs, "produces")
    np.testing.assert_allclose(total / total[0], np.arange(1, 9))
