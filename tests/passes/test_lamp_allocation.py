"""LAMP allocation against its formula and one sorted list."""

import numpy as np
import pytest

import spa_onnx
from spa_onnx.allocate.problem import AllocationProblem
from spa_onnx.cost.polynomial import CostPolynomial, Costs
from spa_onnx.errors import UsageError
from spa_onnx.passes.lamp_allocation import LampAllocation
from tests.passes.test_global_rank import uneven_network

WORTH = (np.array([0.1, 0.2, 0.5, 3.0]), np.array([1.0, 1.0, 1.0, 1.0, 1.0]), np.array([2.0, 9.0]))


def problem_of(
    worth: tuple[np.ndarray, ...],  # type: ignore[type-arg]
    budget: spa_onnx.Ratio,
) -> AllocationProblem:
    nothing = CostPolynomial(np.zeros(0), np.zeros((0, 0), np.int64))
    sizes = np.array([len(w) for w in worth])
    return AllocationProblem(sizes, worth, Costs(nothing, nothing, nothing), budget, 1)


def shares(worth: np.ndarray, power: float) -> list[float]:  # type: ignore[type-arg]
    """Return LAMP scores in plain loops."""
    energy = [w**power for w in worth]
    return [e / sum(other for other in energy if other >= e and e > 0) for e in energy]


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("removed", [2, 4, 6])
def test_the_smallest_shares_go(power: float, removed: int) -> None:
    ranked = sorted(
        (score, k)
        for k, worth in enumerate(WORTH)
        # equal lanes: the later ones have fewer above them in the sorted order of the formula
        for score in (
            [1 / n for n in range(len(worth), 0, -1)]
            if np.ptp(worth) == 0
            else shares(worth, power)
        )
    )
    left = [len(w) for w in WORTH]
    for _, k in ranked[:removed]:
        left[k] -= 1
    problem = problem_of(WORTH, spa_onnx.Ratio(removed / 11))
    assert LampAllocation(power).allocate(problem).tolist() == left


def test_the_worthiest_lane_of_every_dim_stays() -> None:
    problem = problem_of(WORTH, spa_onnx.Ratio(8 / 11))
    assert LampAllocation().allocate(problem).tolist() == [1, 1, 1]


def test_scales_of_dims_do_not_matter() -> None:
    problem = problem_of(WORTH, spa_onnx.Ratio(0.5))
    scaled = problem_of(
        tuple(w * 10.0 ** (90 * k) for k, w in enumerate(WORTH)), spa_onnx.Ratio(0.5)
    )
    ours, theirs = (LampAllocation().allocate(p).tolist() for p in (problem, scaled))
    assert ours == theirs


def test_it_is_found_by_name_and_meets_a_budget() -> None:
    config = spa_onnx.PruneConfig(spa_onnx.KeepFlops(0.4), "l2", "lamp", verify=False)
    report = spa_onnx.prune(uneven_network(), config).report
    assert 0.36 <= report.after.operations / report.before.operations <= 0.4


@pytest.mark.parametrize(
    ("options", "text"),
    [({"power": 0.0}, "power 0.0"), ({"floor": 2.0}, "floor 2.0"), ({"cap": -1.0}, "cap -1.0")],
)
def test_senseless_options_are_refused(options: dict[str, float], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        LampAllocation(**options)
