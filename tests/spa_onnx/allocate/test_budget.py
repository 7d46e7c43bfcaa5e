import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx import BudgetError, KeepFlops, KeepParams, PruneConfig, Ratio, UsageError
from tests.builders import GraphBuilder
from tests.spa_onnx.analyse.test_dims import attention

Budget = KeepFlops | KeepParams
ALLOCATIONS = ("uniform", "global")


def network(width: int = 32) -> onnx.ModelProto:
    """Plain, grouped and depthwise layers with a residual, wide enough for fine budgets."""
    g = GraphBuilder(opset=13)
    x = g.relu(g.conv(g.input("x", (1, 3, 6, 6)), width, 3))
    x = g.add(x, g.conv(g.relu(g.conv(x, 2 * width, 3)), width))
    x = g.conv(g.relu(g.conv(x, width, 3, groups=2)), width, 3, groups=width)
    return g.model(g.gemm(g.flatten(g.global_average_pool(x)), 10))


def reach(model: onnx.ModelProto, budget: Budget, allocation: str, **facts: int) -> float:
    """Return the share of the budget's quantity that is left."""
    config = PruneConfig(budget, "random", allocation, verify=False, **facts)  # type: ignore[arg-type]
    report = spa_onnx.prune(model, config).report
    if isinstance(budget, KeepFlops):
        return report.after.operations / report.before.operations
    return report.after.parameters / report.before.parameters


@pytest.mark.parametrize("share", [0.9, 0.5, 0.25, 0.1])
@pytest.mark.parametrize("kind", [KeepFlops, KeepParams])
@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_a_budget_is_met_and_used(allocation: str, kind: type[Budget], share: float) -> None:
    left = reach(network(), kind(share), allocation)
    assert 0.75 * share <= left <= share


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_uneven_rows_meet_a_budget_too(allocation: str) -> None:
    assert 0.8 * 0.6 <= reach(attention(2, 16), KeepParams(0.6), allocation) <= 0.6


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_everything_may_stay(allocation: str) -> None:
    assert reach(network(), KeepFlops(1.0), allocation) == 1.0


@pytest.mark.parametrize("kind", [KeepFlops, KeepParams])
@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_a_budget_out_of_reach_says_what_can_be_reached(
    allocation: str, kind: type[Budget]
) -> None:
    with pytest.raises(
        BudgetError, match=r"cannot keep only 0\.001 of the .* remain; ask for"
    ) as error:
        reach(network(), kind(0.001), allocation)
    text = str(error.value)
    least = float(text.split("dim ")[1].split(" remain")[0])
    assert reach(network(), kind(least * 1.02), allocation) <= least * 1.02


@pytest.mark.parametrize("budget", [Ratio(0.5), Ratio(0.3), KeepFlops(0.4), KeepParams(0.4)])
@pytest.mark.parametrize("allocation", ALLOCATIONS)
@pytest.mark.parametrize("align", [4, 8])
def test_widths_are_multiples_of_the_alignment(
    align: int, allocation: str, budget: spa_onnx.Budget
) -> None:
    config = PruneConfig(budget, "random", allocation, align=align, verify=False)
    for dim in spa_onnx.prune(network(), config).report.dims:
        if dim.before >= 2 * align:
            assert dim.after % align == 0 or dim.after == dim.before
        assert dim.after >= 1


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_an_aligned_budget_is_still_met(allocation: str) -> None:
    assert reach(network(), KeepFlops(0.4), allocation, align=8) <= 0.4


@pytest.mark.parametrize("allocation", ALLOCATIONS)
@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.5, 0.9, 0.99])
def test_every_dim_keeps_a_lane(ratio: float, allocation: str) -> None:
    config = PruneConfig(Ratio(ratio), "random", allocation, verify=False)
    for dim in spa_onnx.prune(network(), config).report.dims:
        assert 1 <= dim.after <= dim.before
        if allocation == "uniform":
            assert abs(dim.after - dim.before * (1 - ratio)) <= 1


def test_coupled_lanes_go_in_whole_orbits() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 9, 3)
    y = g.add(x, g.slice(x, -1, None, step=-1))  # pairs, and one lane in the middle
    model = g.model(g.conv(g.relu(g.conv(y, 16)), 3))
    for share in (0.8, 0.5, 0.3):
        assert reach(model, KeepFlops(share), "uniform") <= share
        assert reach(model, KeepFlops(share), "global") <= share


# -- settings that contradict themselves -----------------------------------------------------------


@pytest.mark.parametrize("ratio", [-0.1, 1.0, 1.5, float("nan")])
def test_a_ratio_is_below_one(ratio: float) -> None:
    with pytest.raises(UsageError, match=r"ratio .* is not in \[0, 1\)"):
        Ratio(ratio)


@pytest.mark.parametrize("kind", [KeepFlops, KeepParams])
@pytest.mark.parametrize("share", [0.0, -1.0, 1.1, float("nan")])
def test_a_kept_share_is_above_zero(kind: type[Budget], share: float) -> None:
    with pytest.raises(UsageError, match=r"kept share .* is not in \(0, 1\]"):
        kind(share)


def test_lanes_of_most_worth_stay() -> None:
    model = network()
    config = PruneConfig(Ratio(0.5), "l1", verify=False)
    result = spa_onnx.prune(model, config)
    first = result.plan.cuts[0]
    dim = next(d for d in spa_onnx.analyze(model).dims if d.name == first.name)
    worth = np.zeros(first.size)
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for member in dim.members:
        if member.role != "follows" and len(first.keep) == 1:
            array = np.abs(weights[member.tensor])
            others = tuple(k for k in range(array.ndim) if k != member.axis)
            worth += array.sum(axis=others)
    best = np.sort(np.argsort(-worth)[: len(first.keep[0])])
    assert first.keep[0] == tuple(best.tolist())
