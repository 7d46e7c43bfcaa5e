"""Rate-distortion allocation: take lanes where the outputs move least for the cost that goes.

Every dim has a curve of how far the network's outputs move as it alone shrinks. Distortions of
different dims are added, which holds to first order. Widths shrink step by step, each time where
the curve rises least for the cost saved at the widths reached so far; looking several steps ahead
gets over bumps in a curve.

Source: minimising the sum of measured distortions under a budget: layer-adaptive pruning by rate
and distortion, ICCV 2023 (there by dynamic programming over parameters of layers; the cost here is
a polynomial in which widths multiply, so it is taken at the present widths instead).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from spa_onnx.allocate.problem import AllocationProblem, check_reachable
from spa_onnx.allocate.slack import give_back
from spa_onnx.errors import UsageError
from spa_onnx.score.protocol import Need

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RateDistortion:
    """Spend the budget along measured curves.

    Attributes:
        floor: share of a dim's lanes that stays at least, unless the budget cannot be met so.
        steps: into how many steps a dim is divided.
    """

    floor: float = 0.05
    steps: int = 32

    needs: ClassVar[frozenset[Need]] = frozenset({"distortion"})

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= 1:
            raise UsageError(f"floor {self.floor} is not in [0, 1]")
        if self.steps < 1:
            raise UsageError(f"steps {self.steps} is below one")

    def allocate(self, problem: AllocationProblem) -> IntArray:
        """Return the kept width of every dim.

        Raises:
            BudgetError: the narrowest model is above the budget.
        """
        check_reachable(problem)
        for floor in (self.floor, self.floor / 4, 0.0):
            widths = self._descend(problem, floor)
            if problem.is_met(widths):
                return give_back(problem, widths)
        return problem.feasible(np.ones_like(problem.sizes))

    def _descend(self, problem: AllocationProblem, floor: float) -> IntArray:
        """Shrink dims until the budget is met or nothing is left to take."""
        widths = problem.widest
        least = np.maximum(1, np.ceil(problem.sizes * floor)).astype(np.int64)
        least = np.minimum(least, widths)
        curves = [problem.curve(k) for k in range(len(widths))]
        while not problem.is_met(widths):
            now = problem.cost_of(widths)
            best = min(
                (
                    option
                    for k in range(len(widths))
                    for option in self._options(problem, widths, now, curves[k], k, int(least[k]))
                ),
                default=None,
            )
            if best is None:
                break
            _, k, width = best
            widths[k] = width
        return widths

    def _options(
        self,
        problem: AllocationProblem,
        widths: IntArray,
        now: float,
        curve: NDArray[np.float64],
        k: int,
        least: int,
    ) -> list[tuple[float, int, int]]:
        """Return for a dim ``(distortion per cost saved, dim, width)`` one and more steps on.

        ``now`` is the cost of ``widths``.
        """
        step = max(1, int(problem.sizes[k]) // self.steps)
        found: dict[int, tuple[float, int, int]] = {}
        for ahead in (1, 2, 4, 8):
            fewer = widths.copy()
            fewer[k] -= step * ahead
            if fewer[k] < least:
                break
            fewer = problem.feasible(fewer)
            width = int(fewer[k])
            if width >= widths[k] or width < least or width in found:
                continue
            saved = now - problem.cost_of(fewer)
            if saved > 0:
                size = int(problem.sizes[k])
                rise = curve[size - width] - curve[size - int(widths[k])]
                found[width] = (float(rise / saved), k, width)
        return list(found.values())
