"""SynFlow in rounds, against a loop that takes one lane after another out of the model."""

from typing import cast

import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx.errors import InternalError, NonFiniteWeightsError, UsageError
from spa_onnx.flow.network import FlowNetwork
from spa_onnx.flow.units import UnitFlows
from spa_onnx.passes.synflow import SynFlow
from spa_onnx.plan.lanes import Kept
from spa_onnx.score.lift import score
from spa_onnx.score.weights import DimWeights
from tests.builders import GraphBuilder
from tests.graph_writer import AnyArray

DIGITS = "models/digits/digits.onnx"


def network(seed: int = 0) -> onnx.ModelProto:
    g = GraphBuilder(opset=13, seed=seed)
    x = g.relu(g.conv(g.input("x", (1, 3, 6, 6)), 6, 3))
    x = g.add(x, g.conv(g.relu(g.conv(x, 9, 3)), 6, 3))
    return g.model(g.gemm(g.flatten(g.global_average_pool(g.conv(x, 4))), 3))


def by_lane(model: onnx.ModelProto, importance: SynFlow) -> list[AnyArray]:
    return [s[0] for s in score(spa_onnx.analyze(model), importance, 0).worth.values()]


def test_one_round_scores_lanes_by_their_share_of_the_flow() -> None:
    analysis = spa_onnx.analyze(network())
    total = {d.dim: np.zeros(d.dim.size) for d in analysis.dims}
    for dim, flow in UnitFlows(analysis).by_cut(FlowNetwork(analysis).cuts({})):
        total[dim] += flow
    for found, expected in zip(by_lane(network(), SynFlow(1)), total.values(), strict=True):
        np.testing.assert_allclose(found, expected)


def test_rounds_take_lanes_in_the_order_of_flows_computed_anew() -> None:
    """One lane a round: the order of all lanes, when each goes that has least flow then."""
    analysis = spa_onnx.analyze(network())
    alive = {d.dim: np.ones(d.dim.size, bool) for d in analysis.dims}
    order = []
    while any(a.sum() > 1 for a in alive.values()):
        flows = {dim: np.zeros(dim.size) for dim in alive}
        cuts = FlowNetwork(analysis).cuts({dim: Kept(a) for dim, a in alive.items()})
        for dim, flow in UnitFlows(analysis).by_cut(cuts):
            flows[dim] += flow
        open_lanes = [(d, k) for d, a in alive.items() if a.sum() > 1 for k in np.flatnonzero(a)]
        dim, lane = min(open_lanes, key=lambda entry: flows[entry[0]][entry[1]])
        alive[dim][lane] = False
        order.append((dim, int(lane)))
    worth = score(analysis, SynFlow(rounds=1000, density=0.05), 0).worth
    found = sorted(
        ((dim, k) for dim, a in alive.items() for k in np.flatnonzero(~a)),
        key=lambda entry: worth[entry[0]][0, entry[1]],
    )
    assert found == order


def test_rounds_change_what_goes() -> None:
    once, often = (np.concatenate(by_lane(network(), SynFlow(n))) for n in (1, 100))
    assert (np.argsort(once) != np.argsort(often)).any()


def zeroed(model: onnx.ModelProto, lanes: list[int]) -> onnx.ModelProto:
    """Return a network in which nothing makes some lanes of the middle layer."""
    (weight,) = (t for t in model.graph.initializer if list(t.dims) == [9, 6, 3, 3])
    array = onnx.numpy_helper.to_array(weight).copy()
    array[lanes] = 0
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    return model


@pytest.mark.parametrize("rounds", [1, 100])
def test_lanes_without_weights_are_worth_nothing(rounds: int) -> None:
    scores = by_lane(zeroed(network(), [2, 5]), SynFlow(rounds))
    (middle,) = (s for s in scores if len(s) == 9)
    assert list(np.flatnonzero(middle < 1e-300)) == [2, 5]


def test_rows_with_lanes_of_their_own_lose_equally_many() -> None:
    analysis = spa_onnx.analyze(DIGITS)
    worth = score(analysis, SynFlow(), 0).worth
    found = [worth[d.dim] for d in analysis.dims if d.rows is not None]
    assert [scores.shape for scores in found] == [(4, 16), (4, 16)]
    for scores in found:
        assert (np.sort(scores, axis=1) == np.sort(scores[0])).all()
        assert (np.argsort(scores, axis=1) != np.argsort(scores[0])).any()


def test_digits_are_pruned_and_proved() -> None:
    config = spa_onnx.PruneConfig(
        importance="synflow", allocation="global", budget=spa_onnx.KeepFlops(0.5)
    )
    result = spa_onnx.prune(DIGITS, config)
    assert result.report.proof is not None
    assert not [note for note in result.report.notes if "synflow" in note]
    onnx.checker.check_model(result.model, full_check=True)


def test_lanes_out_of_reach_are_told() -> None:
    g = GraphBuilder(opset=13)
    x = g.recurrent("LSTM", g.linear(g.input("x", (5, 1, 4)), 6), 3)
    model = g.model(g.linear(g.linear(x, 4), 2))
    report = spa_onnx.prune(model, spa_onnx.PruneConfig(importance="synflow")).report
    (note,) = (n for n in report.notes if "synflow" in n)
    assert note.startswith(
        "the flow does not reach these lanes (not followed: LSTM), so synflow ranks them by l2"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("op", ["Conv", "BatchNormalization"])
def test_weights_that_are_no_numbers_are_refused(value: float, op: str) -> None:
    g = GraphBuilder(opset=13)
    x = g.add(g.batch_norm(g.relu(g.conv(g.input("x", (1, 3, 6, 6)), 6))), g.constant(1.0))
    model = g.model(g.conv(g.relu(x), 2))
    name = next(n.input[1] for n in model.graph.node if n.op_type == op)
    (weight,) = (t for t in model.graph.initializer if t.name == name)
    array = onnx.numpy_helper.to_array(weight).copy()
    array.flat[0] = value
    weight.CopyFrom(onnx.numpy_helper.from_array(array, name))
    with pytest.raises(NonFiniteWeightsError):
        score(spa_onnx.analyze(model), SynFlow(), 0)


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="rounds 0 is below one"):
        SynFlow(rounds=0)
    with pytest.raises(UsageError, match="density 1 is not between zero and one"):
        SynFlow(density=1)


def test_a_dim_alone_cannot_be_scored() -> None:
    with pytest.raises(InternalError, match="prepare"):
        SynFlow().score(cast(DimWeights, None), np.random.default_rng(0))
