"""Uniform allocation: every dim loses the same share of its lanes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.allocate.budget import Ratio
from spa_onnx.allocate.problem import AllocationProblem, check_reachable


@dataclass(frozen=True, slots=True)
class Uniform:
    """Give every dim the same ratio; for cost budgets the smallest ratio that meets them."""

    def allocate(self, problem: AllocationProblem) -> NDArray[np.int64]:
        """Return the kept width of every dim.

        Raises:
            BudgetError: the narrowest model is above the budget.
        """
        if isinstance(problem.budget, Ratio):
            return _widths(problem, problem.budget.removed)
        check_reachable(problem)
        _, cost, share = problem.quantity()
        target = share * cost.at(problem.sizes)
        low, high = 0.0, 1.0
        for _ in range(40):  # bisection to below one lane of any dim
            middle = (low + high) / 2
            met = cost.at(_widths(problem, middle)) <= target
            low, high = (low, middle) if met else (middle, high)
        return _widths(problem, high)


def _widths(problem: AllocationProblem, removed: float) -> NDArray[np.int64]:
    """Return the widths nearest to the ratio; a tie removes the lane."""
    exact = problem.sizes * (1 - removed)
    plain = np.clip(np.ceil(exact - 0.5).astype(np.int64), 1, problem.sizes)
    nearest = (np.ceil(exact / problem.align - 0.5) * problem.align).astype(np.int64)
    short = problem.sizes < 2 * problem.align  # alignment would leave these whole, or nearly so
    aligned = np.minimum(np.maximum(nearest, problem.align), problem.sizes)
    widths: NDArray[np.int64] = np.where(short, plain, aligned)
    for k, reachable in problem.reachable.items():
        widths[k] = reachable[max(0, int(np.searchsorted(reachable, plain[k], "right")) - 1)]
    return problem.enough(np.minimum(widths, problem.widest))
