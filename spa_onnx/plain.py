"""What the plainest way would keep: the largest weights at the same budget, to compare with."""

from __future__ import annotations

import numpy as np

from spa_onnx.algebra.expression import Dim, IntArray
from spa_onnx.allocate.budget import KeepFlops, MaxLatency
from spa_onnx.allocate.problem import keep_best, make_problem
from spa_onnx.analyse.dims import Analysis
from spa_onnx.config import PruneConfig
from spa_onnx.cost.polynomial import Costs
from spa_onnx.defaults import PLAIN
from spa_onnx.errors import BudgetError
from spa_onnx.plan.lanes import Kept
from spa_onnx.plan.settings import default_allocation
from spa_onnx.registry import find_pass
from spa_onnx.score.lift import score


def plain_choice(
    analysis: Analysis, cost: Costs, config: PruneConfig, widths: IntArray
) -> dict[Dim, Kept]:
    """Return the lanes that L2 keeps with the default allocation; none where it cannot.

    Where the budget is a latency they have no more operations than ``widths``.
    """
    scores = score(analysis, find_pass("importance", PLAIN), config.seed)
    worth = scores.worth
    budget = config.budget
    if isinstance(budget, MaxLatency):
        sizes = np.array([d.dim.size for d in analysis.dims], np.int64)
        budget = KeepFlops(cost.operations.at(widths) / max(1.0, cost.operations.at(sizes)))
    problem = make_problem(analysis, worth, cost, budget, config.align or 1, {}, scores.free)
    allocation = find_pass("allocation", default_allocation(config))
    try:
        plain = np.minimum(allocation.allocate(problem), problem.widest)
    except BudgetError:  # other lanes are coupled in other numbers: there is no such model
        return {}
    return keep_best(analysis, worth, plain)
