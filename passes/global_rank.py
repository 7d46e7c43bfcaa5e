"""Global ranking: the least worthy lanes of the whole model go first, down to a floor per dim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.allocate.problem import AllocationProblem, check_reachable
from spa_onnx.allocate.slack import give_back
from spa_onnx.errors import UsageError


@dataclass(frozen=True, slots=True)
class GlobalRank:
    """Remove every lane below one threshold of worth, the highest that the budget needs.

    Attributes:
        floor: share of a dim's lanes that a threshold alone never removes; keeps one weak dim from
            being emptied. Ignored where the budget cannot be met otherwise.
    """

    floor: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= 1:
            raise UsageError(f"floor {self.floor} is not in [0, 1]")

    def allocate(self, problem: AllocationProblem) -> NDArray[np.int64]:
        """Return the kept width of every dim.

        Source: the floor follows Gupta et al., "Is Complexity Required for Neural Network
        Pruning?", 2022.

        Raises:
            BudgetError: the narrowest model is above the budget.
        """
        check_reachable(problem)
        for floor in (self.floor, self.floor / 4, 0.0):
            widths = self._rank(problem, floor)
            if widths is not None:
                return give_back(problem, widths)
        return problem.feasible(np.ones_like(problem.sizes))

    def _rank(self, problem: AllocationProblem, floor: float) -> NDArray[np.int64] | None:
        """Search the fewest lanes, in order of worth, whose removal meets the budget."""
        least = np.maximum(1, np.ceil(problem.sizes * floor)).astype(np.int64)
        least = np.minimum(least, problem.widest)
        owners, worths = [], []
        for k, worth in enumerate(problem.worth):
            removable = problem.sizes[k] - least[k]
            owners.append(np.full(removable, k))
            worths.append(worth[:removable])
        order = np.argsort(np.concatenate(worths), kind="stable")
        owner = np.concatenate(owners)[order]

        def widths_after(count: int) -> NDArray[np.int64]:
            removed = np.bincount(owner[:count], minlength=len(problem.sizes))
            return problem.feasible(problem.sizes - removed)

        low, high = 0, len(owner)
        if not problem.is_met(widths_after(high)):
            return None
        while low < high:
            middle = (low + high) // 2
            if problem.is_met(widths_after(middle)):
                high = middle
            else:
                low = middle + 1
        return widths_after(high)
