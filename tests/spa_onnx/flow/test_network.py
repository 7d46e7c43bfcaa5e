"""Flow through layers, against ONNX Runtime on absolute weights: what doubling a weight adds."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import spa_onnx
from spa_onnx.analyse.dims import Analysis, PrunableDim
from spa_onnx.flow.network import FlowNetwork
from spa_onnx.flow.units import UnitFlows
from spa_onnx.plan.lanes import Kept
from tests.builders import GraphBuilder
from tests.graph_writer import AnyArray
from tests.onnx_runs import run
from tests.spa_onnx.ops.cases.all_cases import CASES
from tests.spa_onnx.ops.lanewise import holders

IMAGE = (1, 3, 9, 9)


def residual(g: GraphBuilder, x: str) -> str:
    x = g.relu(g.conv(x, 6))
    return g.conv(g.add(x, g.relu(g.conv(g.conv(x, 5), 6))), 2)


def joined(g: GraphBuilder, x: str) -> str:
    return g.conv(g.concat(g.conv(x, 4), g.relu(g.conv(x, 3))), 2)


def grouped(g: GraphBuilder, x: str) -> str:
    return g.conv(g.conv(g.relu(g.conv(x, 8)), 6, groups=2), 2)


def depthwise(g: GraphBuilder, x: str) -> str:
    return g.conv(g.conv(g.conv(x, 6), 6, 3, groups=6, padding=0), 4)


def strided(g: GraphBuilder, x: str) -> str:
    x = g.max_pool(g.conv(x, 5, 3, padding=0, stride=2))
    return g.gemm(g.flatten(g.conv(x, 4)), 3)


def upwards(g: GraphBuilder, x: str) -> str:
    return g.conv(g.conv_transpose(g.conv(x, 5), 4), 3)


def pooled(g: GraphBuilder, x: str) -> str:
    x = g.global_average_pool(g.conv(g.average_pool(g.conv(x, 4)), 6))
    return g.gemm(g.reshape(x, (1, -1)), 3)


def tokens(g: GraphBuilder, x: str) -> str:
    x = g.transpose(g.reshape(g.conv(x, 6), (1, 6, 81)), 0, 2, 1)
    return g.linear(g.relu(g.linear(x, 7)), 3)


def moved(g: GraphBuilder, x: str) -> str:
    x = g.conv(x, 8)
    first, second = g.split(x, (3, 5))
    x = g.concat(g.slice(second, 1, 4), first, g.gather(x, [7, 0, 7]))
    return g.conv(g.mul(x, g.constant(np.linspace(-1, 1, 9, dtype=np.float32)[:, None, None])), 2)


def unshuffled(g: GraphBuilder, x: str) -> str:
    x = g.depth_to_space(g.conv(x, 8), 2, "CRD")
    return g.conv(g.depth_to_space(g.conv(x, 8), 2), 3)


def reduced(g: GraphBuilder, x: str) -> str:
    x = g.reduce("ReduceMean", g.conv(x, 6), 2, 3)
    x = g.add(g.expand(g.conv(x, 5), (1, 5, 9, 9)), g.conv(g.resize(x, 9), 5))
    return g.conv(g.pad(x, {1: (1, 2)}), 2)


NETWORKS: list[Callable[[GraphBuilder, str], str]] = [
    residual, joined, grouped, depthwise, strided, upwards, pooled, tokens, moved, unshuffled,
    reduced,
]  # fmt: skip


def absolute(build: Callable[[GraphBuilder, str], str]) -> onnx.ModelProto:
    """Return a network whose weights are not negative, and whose biases are zero."""
    g = GraphBuilder(opset=13)
    model = g.model(build(g, g.input("x", IMAGE)))
    layers = [n for n in model.graph.node if n.op_type in ("Conv", "ConvTranspose", "Gemm")]
    biases = {name for n in layers for name in n.input[2:]}
    added = {name for n in model.graph.node if n.op_type == "Add" for name in n.input}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            zero = tensor.name in biases | added
            made = np.zeros_like(array) if zero else np.abs(array)
            tensor.CopyFrom(numpy_helper.from_array(made, tensor.name))
    return model


def result(model: onnx.ModelProto) -> float:
    (y,) = run(model, {"x": np.ones(IMAGE, np.float32)})
    return float(y.astype(np.float64).sum())


def doubled(model: onnx.ModelProto, tensor: str, goes: AnyArray) -> onnx.ModelProto:
    other = onnx.ModelProto()
    other.CopyFrom(model)
    (stored,) = (t for t in other.graph.initializer if t.name == tensor)
    array = numpy_helper.to_array(stored)
    stored.CopyFrom(numpy_helper.from_array(np.where(goes, 2 * array, array), tensor))
    return other


def brute(model: onnx.ModelProto, analysis: Analysis, dim: PrunableDim) -> AnyArray:
    """Return the share of ``R`` by every unit: what it adds to double each weight of the unit."""
    state, whole = analysis.propagation, result(model)
    rows = 1 if dim.rows is None else dim.rows.size
    found = np.zeros((rows, dim.dim.size))
    for tensor in (m.tensor for m in dim.members if m.role != "follows"):
        axes = state.axes_of(tensor) or ()
        for row, lane in np.ndindex(*found.shape):
            goes = holders(state, axes, dim.dim, lane)
            if dim.rows is not None:
                goes = goes & holders(state, axes, dim.rows, row)
            found[row, lane] += result(doubled(model, tensor, goes)) / whole - 1
    return found.reshape(-1)


def shares(analysis: Analysis) -> dict[str, AnyArray]:
    made: dict[str, AnyArray] = {}
    names = {d.dim: d.name for d in analysis.dims}
    for dim, flow in UnitFlows(analysis).by_cut(FlowNetwork(analysis).cuts({})):
        made[names[dim]] = made.get(names[dim], np.zeros(())) + flow
    return made


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_flow_is_what_a_runtime_gives_for_weights_scaled(
    build: Callable[[GraphBuilder, str], str],
) -> None:
    model = absolute(build)
    analysis = spa_onnx.analyze(model)
    found = shares(analysis)
    assert analysis.dims
    for dim in analysis.dims:
        np.testing.assert_allclose(found[dim.name], brute(model, analysis, dim), atol=2e-5)


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_signs_and_biases_do_not_matter(build: Callable[[GraphBuilder, str], str]) -> None:
    g = GraphBuilder(opset=13)
    given = shares(spa_onnx.analyze(g.model(build(g, g.input("x", IMAGE)))))
    for name, flow in shares(spa_onnx.analyze(absolute(build))).items():
        np.testing.assert_allclose(given[name], flow)


def through(model: onnx.ModelProto) -> dict[str, float]:
    return {c.tensor: float(c.flow.sum()) for c in FlowNetwork(spa_onnx.analyze(model)).cuts({})}


def test_all_flow_runs_through_every_layer_of_a_chain() -> None:
    g = GraphBuilder(opset=17)
    x = g.relu(g.batch_norm(g.conv(g.input("x", IMAGE), 8, 3)))
    x = g.instance_norm(g.conv(g.average_pool(x), 6, 3, groups=2))
    x = g.layer_norm(g.linear(g.flatten(x), 5))
    cuts = through(g.model(g.linear(g.softmax(x), 3)))
    assert len(cuts) >= 7
    np.testing.assert_allclose(list(cuts.values()), 1.0)


def test_branches_share_the_flow() -> None:
    g = GraphBuilder(opset=13)
    x = g.relu(g.conv(g.input("x", IMAGE), 6))
    left, right = g.conv(x, 4), g.conv(x, 4)
    cuts = through(g.model(g.conv(g.add(left, right), 2)))
    assert cuts[left] + cuts[right] == pytest.approx(1)
    assert min(cuts[left], cuts[right]) > 0.1


def test_each_side_of_a_gate_carries_half() -> None:
    g = GraphBuilder(opset=13)
    x = g.relu(g.conv(g.input("x", IMAGE), 6))
    gate = g.conv(g.global_average_pool(x), 6)
    value = g.conv(x, 6)
    cuts = through(g.model(g.conv(g.mul(value, g.sigmoid(gate)), 2)))
    assert (cuts[value], cuts[gate]) == (pytest.approx(0.5), pytest.approx(0.5))


def test_attention_conserves_the_flow() -> None:
    g = GraphBuilder(opset=13)
    x = g.relu(g.linear(g.input("x", (1, 5, 4)), 6))
    q, k, v = (g.linear(x, 6, bias=False) for _ in range(3))
    mixed = g.matmul(g.softmax(g.matmul(q, g.transpose(k, 0, 2, 1))), v)
    cuts = through(g.model(g.linear(mixed, 2)))
    assert [cuts[name] for name in (q, k, v)] == pytest.approx([0.25, 0.25, 0.5])


def test_networks_too_deep_for_float64_have_a_flow() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 2, 2)), 4, bias=False)
    for _ in range(60):
        weight = g.constant(np.full((4, 4, 1, 1), 1e30, np.float32))
        x = g.add(x, g.relu(g.conv(x, 4, bias=False, weight=weight)))
    cuts = FlowNetwork(spa_onnx.analyze(g.model(g.conv(x, 2)))).cuts({})
    assert sum(c.flow.sum() for c in cuts if c.tensor == x) == pytest.approx(1)
    assert all(np.isfinite(c.flow).all() for c in cuts)


def test_lanes_that_are_gone_carry_nothing() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", IMAGE), 6)
    analysis = spa_onnx.analyze(g.model(g.conv(g.relu(x), 2)))
    mask = np.array([True, False, True, True, False, True])
    (dim,) = analysis.dims
    cuts = FlowNetwork(analysis).cuts({dim.dim: Kept(mask)})
    for _, flow in UnitFlows(analysis).by_cut(cuts):
        assert ((flow > 0) == mask).all()
        assert flow.sum() == pytest.approx(1)


def test_operators_that_stop_the_flow_are_named() -> None:
    g = GraphBuilder(opset=13)
    x = g.recurrent("LSTM", g.linear(g.input("x", (5, 1, 4)), 6), 3)
    network = FlowNetwork(spa_onnx.analyze(g.model(g.linear(g.linear(x, 4), 2))))
    assert network.cuts({}) == []
    assert network.blocked == {"LSTM"}


def test_no_operator_makes_more_flow_than_there_is() -> None:
    """Over the cases of all operators, most of which have no rule here."""
    followed = 0
    for case in CASES:
        analysis = spa_onnx.analyze(case.model)
        cuts = FlowNetwork(analysis).cuts({})
        followed += bool(cuts)
        assert all(c.flow.min() >= 0 and c.flow.sum() <= 1 + 1e-9 for c in cuts)
    assert followed > 100
