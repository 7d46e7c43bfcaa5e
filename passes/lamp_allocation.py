"""LAMP allocation: one threshold on every lane's share of what is worth no less in its dim.

The worthiest lane of each dim scores one, so no dim is emptied however small its numbers are, and
dims whose worth is spread evenly lose more than those where it is in a few lanes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spa_onnx.allocate.problem import AllocationProblem
from spa_onnx.errors import UsageError
from spa_onnx.passes.global_rank import GlobalRank

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LampAllocation:
    """Rank lanes of the whole model by LAMP of their worth.

    Attributes:
        power: what worth is raised to first: 2 for norms of weights, 1 for what is square already,
            such as losses.
        floor: share of a dim's lanes that stays at least, unless the budget cannot be met so.
        cap: largest share of a dim's lanes that goes, whatever the budget.
    """

    power: float = 2.0
    floor: float = 0.0
    cap: float = 1.0

    def __post_init__(self) -> None:
        if self.power <= 0:
            raise UsageError(f"power {self.power} is not positive")
        GlobalRank(self.floor, self.cap)  # checks them

    def allocate(self, problem: AllocationProblem) -> NDArray[np.int64]:
        """Return the kept width of every dim.

        Source: Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021,
        equation 1, with scores of lanes in place of weights.

        Raises:
            BudgetError: the narrowest model that the cap allows is above the budget.
        """
        worth = [self._lamp(w) for w in problem.worth]
        return GlobalRank(self.floor, self.cap).allocate(replace(problem, worth=worth))

    def _lamp(self, worth: FloatArray) -> FloatArray:
        """Return ``w_u / sum_{v >= u} w_v`` of worth in ascending order, which it stays in."""
        highest = max(float(worth.max(initial=0.0)), np.finfo(np.float64).tiny)
        energy = (worth / highest) ** self.power  # shares do not depend on the scale
        above = np.cumsum(energy[::-1])[::-1]
        return energy / np.maximum(above, np.finfo(np.float64).tiny)
