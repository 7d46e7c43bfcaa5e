"""Masks by optimal brain surgeon, one feature after another.

Features are passed in order. What goes of one is made up for by the features behind it, so later
choices see weights that have moved. The mask alone is used; the weights under it are found by
least squares afterwards.

Source: Frantar and Alistarh, "SparseGPT", ICML 2023, algorithm 1, with blocks of outputs as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from spa_onnx.errors import UsageError
from spa_onnx.sparse.selection import BoolArray, FloatArray, MaskProblem, Need


@dataclass(frozen=True, slots=True)
class SurgeonMask:
    """Keep the weights whose removal costs most after the others have made up for it.

    Attributes:
        width: features among which a mask is chosen at once; N:M and wide blocks choose in blocks.
    """

    width: int = 128

    needs: ClassVar[frozenset[Need]] = frozenset({"moments"})

    def __post_init__(self) -> None:
        if self.width < 1:
            raise UsageError(f"width {self.width} is not a positive number of features")

    def select(self, problem: MaskProblem) -> BoolArray:
        """Return the mask, group by group."""
        if problem.hessian.ndim < 3:
            return problem.best(np.square(problem.optimum) * problem.curvature)
        groups = range(len(problem.optimum))
        return np.concatenate([self._sweep(_part(problem, g)) for g in groups])

    def _sweep(self, problem: MaskProblem) -> BoolArray:
        """Return the mask of a problem of one group, ``(1, outputs, features)``."""
        places = problem.order[0]
        taken = places[places >= 0]
        inverse = np.linalg.inv(problem.hessian[0][np.ix_(taken, taken)])
        factor = np.linalg.cholesky(inverse).T
        moved = problem.optimum[0][:, taken].copy()
        mask = np.zeros(problem.optimum.shape, bool)
        done = 0
        for start in range(0, len(places), self._step(problem)):
            inside = places[start : start + self._step(problem)]
            count = int((inside >= 0).sum())
            now = slice(done, done + count)
            worth = np.zeros(problem.optimum.shape)
            worth[0][:, taken[now]] = np.square(moved[:, now] / np.diagonal(factor)[now])
            stays = replace(problem, order=inside[None]).best(worth)[0][:, taken[now]]
            mask[0][:, taken[now]] = stays
            for k in range(count):
                at = done + k
                error = np.where(stays[:, k], 0.0, moved[:, at]) / factor[at, at]
                moved[:, at:] -= np.outer(error, factor[at, at:])
            done += count
        return mask

    def _step(self, problem: MaskProblem) -> int:
        """Return how many places are chosen among at once: whole blocks."""
        width = problem.pattern.inputs
        return width if problem.pattern.kept else -(-self.width // width) * width


def _part(problem: MaskProblem, group: int) -> MaskProblem:
    """Return the problem of one group."""
    one = slice(group, group + 1)
    optimum: FloatArray = problem.optimum[one]
    return replace(problem, optimum=optimum, hessian=problem.hessian[one], order=problem.order[one])
