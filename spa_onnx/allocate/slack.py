"""What a budget leaves over: lanes that the last step took too many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spa_onnx.allocate.problem import AllocationProblem

IntArray = NDArray[np.int64]


def give_back(problem: AllocationProblem, widths: IntArray) -> IntArray:
    """Return widths with lanes given back while the budget is met, the best buys first."""
    curves = [problem.curve(k) for k in range(len(widths))]
    while True:
        best: tuple[float, IntArray] | None = None
        for k, size in enumerate(problem.sizes.tolist()):
            wider = _wider(problem, widths, k)
            if wider is None or not problem.is_met(wider):
                continue
            fall = curves[k][size - widths[k]] - curves[k][size - wider[k]]
            gain = float(fall / max(problem.cost_of(wider) - problem.cost_of(widths), 1e-9))
            if best is None or gain > best[0]:
                best = gain, wider
        if best is None:
            return widths
        widths = best[1]


def _wider(problem: AllocationProblem, widths: IntArray, k: int) -> IntArray | None:
    """Return the widths with one dim at the next width that it can have, if there is one."""
    for width in range(int(widths[k]) + 1, int(problem.sizes[k]) + 1):
        wider = widths.copy()
        wider[k] = width
        wider = problem.feasible(wider)
        if wider[k] > widths[k]:
            return wider
    return None
