"""Dead lanes: what is called free changes no output, and goes before everything else."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

import spa_onnx
from spa_onnx.score.dead import DeadLanes
from tests.builders import GraphBuilder
from tests.onnx_runs import random_feeds, run
from tests.random_graphs import random_model
from tests.spa_onnx.analyse.test_dims import attention

AnyArray = Any


def free(model: onnx.ModelProto) -> list[list[int]]:
    """Return the free lanes of every dim."""
    analysis = spa_onnx.analyze(model)
    dead = DeadLanes(analysis)
    return [np.flatnonzero(dead.of(d).all(axis=0)).tolist() for d in analysis.dims]


def convolutions(
    between: Callable[[GraphBuilder, str], str],
    *,
    written: tuple[int, ...] = (),
    read: tuple[int, ...] = (),
    biased: bool = False,
    width: int = 6,
) -> onnx.ModelProto:
    """Return two convolutions, the first with zero rows, the second with zero columns."""
    g = GraphBuilder(opset=17)
    first = g.weight_values(width, 3, 3, 3)
    bias = np.zeros(width, np.float32)
    bias[[k for k in range(width) if biased or k not in written]] = 0.5
    first[list(written)] = 0
    x = g.input("x", ("N", 3, 8, 8))
    x = g.conv(x, width, 3, weight=g.constant(first, "first"), bias=g.constant(bias, "bias"))
    x = between(g, x)
    second = g.weight_values(4, g.shape(x)[1], 3, 3)
    second[:, list(read)] = 0
    return g.model(g.conv(x, 4, 3, weight=g.constant(second, "second")))


def relu(g: GraphBuilder, x: str) -> str:
    return g.relu(x)


def _norm(g: GraphBuilder, x: str, bias: float) -> str:
    values = {"scale": 2.0, "shift": bias, "mean": 0.0, "var": 0.7}
    given = [g.constant(np.full(6, v, np.float32), name) for name, v in values.items()]
    return g.node("BatchNormalization", [x, *given])


ZERO_STAYS: dict[str, Callable[[GraphBuilder, str], str]] = {
    "Relu": relu,
    "pooling": lambda g, x: g.node(
        "MaxPool", [g.relu(x)], kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1]
    ),
    "Silu": lambda g, x: g.node("Mul", [x, g.node("Sigmoid", [x])]),
    "normalisation": lambda g, x: _norm(g, x, 0.0),
    "clip": lambda g, x: g.node("Clip", [x, g.constant(0.0), g.constant(6.0)]),
    "residual": lambda g, x: g.add(x, g.node("Tanh", [x])),
    "joined": lambda g, x: g.node("Concat", [g.relu(x), g.node("Erf", ["x"])], axis=1),
    "depthwise": lambda g, x: g.relu(g.conv(x, 6, 3, groups=6, bias=False)),
}
ZERO_GOES: dict[str, Callable[[GraphBuilder, str], str]] = {
    "Sigmoid": lambda g, x: g.node("Sigmoid", [x]),
    "constant": lambda g, x: g.add(x, g.constant(1.0)),
    "normalisation": lambda g, x: _norm(g, x, 0.1),
    "clip": lambda g, x: g.node("Clip", [x, g.constant(0.5), g.constant(6.0)]),
    "biased depthwise": lambda g, x: g.conv(x, 6, 3, groups=6),
    "another branch": lambda g, x: g.add(x, g.conv("x", 6, 1)),
}


@pytest.mark.parametrize("name", ZERO_STAYS)
def test_lanes_that_stay_zero_are_free(name: str) -> None:
    assert free(convolutions(ZERO_STAYS[name], written=(1, 4))) == [[1, 4]]


@pytest.mark.parametrize("name", ZERO_GOES)
def test_lanes_that_become_something_are_not(name: str) -> None:
    assert free(convolutions(ZERO_GOES[name], written=(1, 4))) == [[]]


def test_a_biased_lane_of_zero_weights_is_not_free() -> None:
    assert free(convolutions(relu, written=(1, 4), biased=True)) == [[]]


@pytest.mark.parametrize("name", {**ZERO_STAYS, **ZERO_GOES})
def test_lanes_that_nobody_reads_are_free_whatever_they_are(name: str) -> None:
    between = {**ZERO_STAYS, **ZERO_GOES}[name]
    assert free(convolutions(between, read=(0, 2))) == [[0, 2]]


def test_lanes_are_followed_through_pieces() -> None:
    def swapped(g: GraphBuilder, x: str) -> str:
        return g.node("Concat", [g.slice(x, 3, 6), g.slice(x, 0, 3)], axis=1)

    assert free(convolutions(swapped, written=(1, 4))) == [[1], [1]]
    assert free(convolutions(swapped, read=(0, 2))) == [[], [0, 2]]  # columns of lanes 3 and 5


def test_every_reader_counts() -> None:
    g = GraphBuilder(opset=17)
    a = g.relu(g.conv(g.input("x", ("N", 3, 8, 8)), 6, 3))
    weights = [g.weight_values(4, 6, 1, 1) for _ in range(2)]
    weights[0][:, [0, 1, 2]] = 0
    weights[1][:, [1, 2, 3]] = 0
    made = [g.conv(a, 4, weight=g.constant(w, f"w{k}")) for k, w in enumerate(weights)]
    assert free(g.model(*made)) == [[1, 2]]


def test_a_layer_norm_reads_its_lanes() -> None:
    g = GraphBuilder(opset=17)
    second = g.weight_values(6, 4)
    second[[0, 2]] = 0
    x = g.layer_norm(g.linear(g.input("x", ("N", 5, 3)), 6))
    assert free(g.model(g.linear(x, 4, weight=g.constant(second, "second")))) == [[]]


def test_rows_with_lanes_of_their_own_are_told_apart() -> None:
    model = attention(2, 4)
    analysis = spa_onnx.analyze(model)
    uneven = [d for d in analysis.dims if d.rows is not None]
    assert uneven
    for tensor in model.graph.initializer:
        if tensor.name in {m.tensor for d in uneven for m in d.members if m.role == "consumes"}:
            weight = numpy_helper.to_array(tensor).copy()
            weight[[1, 6]] = 0  # lane 1 of the first head, lane 2 of the second
            tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    analysis = spa_onnx.analyze(model)
    found = [DeadLanes(analysis).of(d) for d in analysis.dims]
    shown = [np.argwhere(f).tolist() for f in found if f.any()]
    assert shown == [[[0, 1], [1, 2]]]


@pytest.mark.parametrize("seed", range(25))
def test_removing_free_lanes_of_any_graph_changes_nothing(seed: int) -> None:
    """Weights are zeroed in blocks of rows and columns; a budget of everything cuts dead lanes."""
    model = random_model(seed)
    rng = np.random.default_rng(seed)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) >= 1:
            array = numpy_helper.to_array(tensor).copy()
            for axis in range(array.ndim):
                gone = rng.random(array.shape[axis]) < 0.35
                if rng.random() < 0.7 and not gone.all():
                    np.moveaxis(array, axis, 0)[gone] = 0
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    try:
        result = spa_onnx.prune(model, spa_onnx.PruneConfig(spa_onnx.KeepParams(1.0), "random"))
    except spa_onnx.SpaError as failure:
        pytest.skip(str(failure))
    feeds = random_feeds(model, seed)
    for a, b in zip(run(model, feeds), run(result.model, feeds), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("importance", ["l1", "l2", "random", "fpgm", "lamp", "global-magnitude"])
@pytest.mark.parametrize("allocation", ["uniform", "global", "rate-distortion"])
def test_free_lanes_go_first_whatever_pass_and_below_any_floor(
    importance: str, allocation: str
) -> None:
    model = convolutions(relu, written=(1, 4), read=(0, 8, 9, 10, 11), width=12)
    for budget in (spa_onnx.Ratio(0.0), spa_onnx.KeepFlops(1.0), spa_onnx.Ratio(0.25)):
        result = spa_onnx.prune(model, spa_onnx.PruneConfig(budget, importance, allocation))
        assert result.report.dims[0].after == 5
        feeds = random_feeds(model, 0, {"N": 3})
        for a, b in zip(run(model, feeds), run(result.model, feeds), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        assert any("7 dead or constant lanes" in note for note in result.report.notes)


def test_dead_lanes_count_towards_a_ratio() -> None:
    model = convolutions(relu, written=(1, 4), width=12)
    left = spa_onnx.prune(model, spa_onnx.PruneConfig(spa_onnx.Ratio(0.5), "l2")).report.dims[0]
    assert left.after == 6


def test_alignment_keeps_lanes_rather_than_taking_live_ones() -> None:
    model = convolutions(relu, written=(1, 4), read=(0,), width=16)
    config = spa_onnx.PruneConfig(spa_onnx.KeepFlops(1.0), "l2", align=8)
    assert spa_onnx.prune(model, config).report.dims[0].after == 16
    model = convolutions(relu, written=(1, 4, 5, 6), read=range(7, 12), width=16)  # type: ignore[arg-type]
    assert spa_onnx.prune(model, config).report.dims[0].after == 8


def test_a_dim_of_dead_lanes_keeps_one() -> None:
    model = convolutions(relu, read=tuple(range(6)))
    result = spa_onnx.prune(model, spa_onnx.PruneConfig(spa_onnx.KeepFlops(1.0), "l2"))
    assert result.report.dims[0].after == 1


def constant_lanes() -> tuple[onnx.ModelProto, AnyArray]:
    """Lanes 1 and 4 are constant, 2 is always zero; the reader is pointwise, so without borders."""
    g = GraphBuilder(opset=17)
    first = g.weight_values(8, 3, 1, 1)
    bias = np.full(8, 0.3, np.float32)
    first[[1, 4]] = 0
    bias[2] = -1e3
    x = g.input("x", ("N", 3, 6, 6))
    x = g.relu(g.conv(x, 8, weight=g.constant(first, "first"), bias=g.constant(bias, "bias")))
    inputs = np.random.default_rng(0).standard_normal((160, 3, 6, 6)).astype(np.float32)
    return g.model(g.conv(x, 4)), inputs


@pytest.mark.parametrize(
    ("importance", "compensation", "left"),
    [("obspa", None, 7), ("obspa", "ridge", 5), ("l2", "mean-to-bias", 5), ("flap", "affine", 5)],
)
def test_constants_go_first_where_a_bias_takes_them(
    importance: str, compensation: str | None, left: int
) -> None:
    model, inputs = constant_lanes()
    config = spa_onnx.PruneConfig(
        spa_onnx.KeepFlops(left / 8), importance, calibration=inputs, compensation=compensation
    )
    result = spa_onnx.prune(model, config)
    assert result.report.dims[0].after == left
    assert any(f"{8 - left} dead or constant lanes" in note for note in result.report.notes)
    (a,), (b,) = (run(m, {"x": inputs}) for m in (model, result.model))
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_constants_of_inputs_that_are_made_up_prove_nothing() -> None:
    model, _ = constant_lanes()
    config = spa_onnx.PruneConfig(spa_onnx.KeepFlops(0.6), "obspa", compensation="ridge")
    assert not any(
        "dead or constant" in note for note in spa_onnx.prune(model, config).report.notes
    )


def test_lanes_that_inputs_never_move_stay_where_the_budget_leaves_room() -> None:
    model, inputs = constant_lanes()
    config = spa_onnx.PruneConfig(
        spa_onnx.KeepFlops(1.0), "obspa", compensation="ridge", calibration=inputs
    )
    assert spa_onnx.prune(model, config).report.dims[0].after == 8


def test_a_few_inputs_do_not_make_a_lane_dead() -> None:
    model, inputs = constant_lanes()
    config = spa_onnx.PruneConfig(spa_onnx.KeepFlops(0.6), "obspa", calibration=inputs[:100])
    assert not any(
        "dead or constant" in note for note in spa_onnx.prune(model, config).report.notes
    )
