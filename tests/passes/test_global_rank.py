import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import spa_onnx
from spa_onnx import PruneConfig, Ratio, UsageError
from spa_onnx.passes.global_rank import GlobalRank
from tests.builders import GraphBuilder


def uneven_network() -> onnx.ModelProto:
    """A layer of which a few channels matter, and one of which all matter alike."""
    g = GraphBuilder(opset=13)
    first = g.weight_values(40, 3, 3, 3)
    first[4:] *= 0.01
    x = g.conv(g.input("x", (1, 3, 6, 6)), 40, 3, weight=g.constant(first, "first"))
    x = g.conv(g.relu(x), 40, 3, weight=g.constant(np.full((40, 40, 3, 3), 0.01), "second"))
    return g.model(g.conv(g.relu(x), 3))


def widths(budget: spa_onnx.Budget, allocation: object) -> dict[str, int]:
    config = PruneConfig(budget, "l1", allocation, verify=False)
    dims = spa_onnx.prune(uneven_network(), config).report.dims
    return {d.name.partition(":")[0]: d.after for d in dims}


def test_the_least_worthy_lanes_of_the_whole_model_go_first() -> None:
    left = widths(Ratio(0.3), GlobalRank())
    assert left["first"] < left["second"]


def test_a_dim_keeps_its_floor() -> None:
    for floor in (0.1, 0.25):
        left = widths(Ratio(0.45), GlobalRank(floor=floor))
        assert left["first"] >= 40 * floor


def test_the_floor_gives_way_to_a_budget_that_needs_it() -> None:
    left = widths(spa_onnx.KeepFlops(0.01), GlobalRank(floor=0.5))
    assert min(left.values()) < 20


@pytest.mark.parametrize("cap", [0.5, 0.9])
@pytest.mark.parametrize("align", [1, 8])
def test_a_dim_loses_no_more_than_the_cap(cap: float, align: int) -> None:
    config = PruneConfig(
        spa_onnx.KeepFlops(0.6), "l1", GlobalRank(floor=0.0, cap=cap), align=align, verify=False
    )
    report = spa_onnx.prune(uneven_network(), config).report
    assert all(d.after >= round(d.before * (1 - cap), 6) for d in report.dims)
    assert report.after.operations <= 0.6 * report.before.operations


@pytest.mark.parametrize("budget", [spa_onnx.KeepFlops(0.2), Ratio(0.6)])
def test_a_budget_beyond_the_cap_is_refused(budget: spa_onnx.Budget) -> None:
    text = r"with 0\.5 of the lanes of every dim, which the cap keeps, 0\.\d+ remain"
    with pytest.raises(spa_onnx.BudgetError, match=text):
        widths(budget, GlobalRank(cap=0.5))


def test_a_cap_is_a_share() -> None:
    with pytest.raises(UsageError, match=r"cap 1\.2 is not in \[0, 1\]"):
        GlobalRank(cap=1.2)


@pytest.mark.parametrize("floor", [-0.1, 1.5])
def test_a_floor_is_a_share(floor: float) -> None:
    with pytest.raises(UsageError, match=r"floor .* is not in \[0, 1\]"):
        GlobalRank(floor=floor)


def test_weights_of_both_layers_are_as_the_test_says() -> None:
    weights = {t.name: numpy_helper.to_array(t) for t in uneven_network().graph.initializer}
    assert np.abs(weights["first"][:4]).mean() > 50 * np.abs(weights["first"][4:]).mean()
    assert np.ptp(weights["second"]) == 0
