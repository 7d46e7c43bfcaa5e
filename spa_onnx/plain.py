"""What the plainest way would keep: the largest weights at the same budget, to compare with."""

from __future__ import annotations

import numpy as np

from spa_onnx.algebra.expression import Dim
from spa_onnx.allocate.problem import keep_best, make_problem
from spa_onnx.analyse.dims import Analysis
from spa_onnx.config import PruneConfig
from spa_onnx.cost.polynomial import Costs
from spa_onnx.defaults import PLAIN
from spa_onnx.plan.lanes import Kept
from spa_onnx.plan.settings import default_allocation
from spa_onnx.registry import find_pass
from spa_onnx.score.lift import score


def plain_choice(analysis: Analysis, cost: Costs, config: PruneConfig) -> dict[Dim, Kept]:
    """Return the lanes that L2 keeps with the default allocation.

    Raises:
        BudgetError: the narrowest model is above the budget.
    """
    scores = score(analysis, find_pass("importance", PLAIN), config.seed)
    worth = scores.worth
    problem = make_problem(analysis, worth, cost, config.budget, config.align, {}, scores.free)
    allocation = find_pass("allocation", default_allocation(config))
    widths = np.minimum(allocation.allocate(problem), problem.widest)
    return keep_best(analysis, worth, widths)
