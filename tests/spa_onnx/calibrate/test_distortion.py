"""Curves of distortion, against networks whose weights were cut by hand."""

import numpy as np
import pytest

import spa_onnx
from spa_onnx.allocate.problem import keep_best
from spa_onnx.calibrate.collect import LayerMoments
from spa_onnx.calibrate.distance import output_distance
from spa_onnx.calibrate.distortion import DistortionMeter, curve_through, marks_of
from spa_onnx.inputs.batches import ArrayBatches
from spa_onnx.layers.find import layers_of
from spa_onnx.passes.obspa import GroupObs
from spa_onnx.score.consumers import ConsumerReader
from spa_onnx.score.lift import score
from tests.builders import GraphBuilder
from tests.onnx_runs import run
from tests.spa_onnx.layers.some_layers import graph_of


def test_curves_start_at_nothing_rise_and_meet_what_was_measured() -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", ("N", 6))
    model = g.model(g.linear(g.relu(g.gemm(x, 16)), 4))
    analysis = spa_onnx.analyze(model)
    graph = analysis.propagation.graph
    inputs = np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32)
    batches = ArrayBatches({"x": inputs}, 64)
    layers = list(layers_of(graph))
    moments = LayerMoments(graph.model, graph.weights, layers, batches, 10**9, 0, 10**9)
    reader = ConsumerReader(analysis, moments)
    scores = score(analysis, GroupObs(), 0, reader).worth
    (dim,) = analysis.dims
    curve = DistortionMeter(analysis, reader, batches, 1e-9).curves(scores)[0]
    assert curve[0] == 0
    assert (np.diff(curve) >= 0).all()
    ((layer, _),) = reader.layers(dim)
    hidden = np.maximum(0, run(_exposed(model), {"x": inputs})[1])
    weight = graph.array(layer.weight.name).astype(np.float64)
    (y,) = run(model, {"x": inputs})
    for removed in marks_of(dim):
        kept = keep_best(analysis, scores, np.array([16 - removed]))[dim.dim].mask
        a = np.hstack([hidden[:, kept], np.ones((200, 1))]).astype(np.float64)
        target = hidden.astype(np.float64) @ weight
        error = target - a @ np.linalg.lstsq(a, target, rcond=None)[0]
        wanted = output_distance([[y]], [[y - error]])
        assert curve[removed] >= wanted * 0.98
        assert curve[removed] <= max(wanted * 1.02, curve[removed - 1])


def _exposed(model):  # type: ignore[no-untyped-def]
    import onnx

    copy = onnx.ModelProto.FromString(model.SerializeToString())
    gemm = next(n for n in copy.graph.node if n.op_type == "Gemm")
    copy.graph.output.append(onnx.ValueInfoProto(name=gemm.output[0]))
    return copy


@pytest.mark.parametrize("points", [{2: 0.5, 5: 3.0}, {1: 1e-15, 3: 0.1, 7: 40.0}])
def test_a_scaled_curve_goes_through_points_in_order(points: dict[int, float]) -> None:
    curve = curve_through(np.linspace(0, 1, 8), points)
    assert curve[0] == 0
    assert (np.diff(curve) >= 0).all()
    for removed, distance in points.items():
        assert np.isclose(curve[removed], distance, atol=1e-11)


def test_a_flattened_map_gives_every_lane_its_positions_and_groups_their_rows() -> None:
    g = GraphBuilder(opset=17)
    a = g.relu(g.conv(g.input("x", ("N", 3, 4, 4)), 6, 3))
    b = g.relu(g.conv(a, 8, 3, groups=2))
    model = g.model(g.gemm(g.node("Flatten", [b]), 5))
    analysis = spa_onnx.analyze(model)
    graph = graph_of(model)
    x = np.random.default_rng(0).standard_normal((9, 3, 4, 4)).astype(np.float32)
    moments = LayerMoments(
        graph.model, graph.weights, list(layers_of(graph)), ArrayBatches({"x": x}, 4), 10**9, 0,
        10**9,
    )  # fmt: skip
    reader = ConsumerReader(analysis, moments)
    for dim in analysis.dims:
        rows = 1 if dim.rows is None else dim.rows.size
        for consumer in reader.consumers(dim):
            owned = np.bincount(consumer.units[consumer.units >= 0])
            assert len(owned) == rows * dim.dim.size
            assert len(set(owned.tolist())) == 1
            assert consumer.weight.shape[::2] == consumer.units.shape
            assert owned[0] == (16 if consumer.units.shape == (1, 128) else 9)
    assert sum(len(reader.layers(d)) for d in analysis.dims) == 2
