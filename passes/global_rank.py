"""Global ranking: the least worthy lanes of the whole model go first, down to a floor per dim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.allocate.problem import AllocationProblem, check_reachable
from spa_onnx.allocate.slack import give_back
from spa_onnx.errors import BudgetError, UsageError


@dataclass(frozen=True, slots=True)
class GlobalRank:
    """Remove every lane below one threshold of worth, the highest that the budget needs.

    Attributes:
        floor: share of a dim's lanes that a threshold alone never removes; keeps one weak dim from
            being emptied. Ignored where the budget cannot be met otherwise.
        cap: largest share of a dim's lanes that goes, whatever the budget; lanes that can go for
            nothing do not count.
    """

    floor: float = 0.1
    cap: float = 1.0

    def __post_init__(self) -> None:
        for name, share in (("floor", self.floor), ("cap", self.cap)):
            if not 0 <= share <= 1:
                raise UsageError(f"{name} {share} is not in [0, 1]")

    def allocate(self, problem: AllocationProblem) -> NDArray[np.int64]:
        """Return the kept width of every dim.

        Source: the floor follows Gupta et al., "Is Complexity Required for Neural Network
        Pruning?", 2022.

        Raises:
            BudgetError: the narrowest model that the cap allows is above the budget.
        """
        hard = self._hard(problem)
        for floor in (self.floor, self.floor / 4, 0.0):
            least = np.maximum(1, np.ceil(problem.sizes * floor)).astype(np.int64)
            widths = self._rank(problem, np.minimum(np.maximum(least, hard), problem.widest))
            if widths is not None:
                return give_back(problem, widths)
        return problem.feasible(hard)

    def _hard(self, problem: AllocationProblem) -> NDArray[np.int64]:
        """Return the widths that the cap leaves at least.

        Raises:
            BudgetError: they do not meet the budget.
        """
        if self.cap == 1:
            check_reachable(problem)
            return np.ones_like(problem.sizes)
        exact = np.round(problem.sizes * (1 - self.cap), 9)  # 1 - 0.9 is a little more than 0.1
        widths = problem.above(np.maximum(1, np.ceil(exact)).astype(np.int64))
        widths = np.minimum(widths, problem.widest)
        if not problem.is_met(widths):
            text = f"{1 - self.cap:.3g} of the lanes of every dim, which the cap keeps,"
            raise BudgetError(*problem.reach(widths), text)
        return widths

    def _rank(
        self, problem: AllocationProblem, least: NDArray[np.int64]
    ) -> NDArray[np.int64] | None:
        """Search the fewest lanes, in order of worth, whose removal meets the budget."""
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
