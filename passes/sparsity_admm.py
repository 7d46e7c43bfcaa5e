"""Masks by alternating directions: weights move towards a mask while the loss holds them.

    W = argmin loss(W) + rho/2 |W - Z + U/rho|^2      Z = W + U/rho under the best mask
    U = U + rho (W - Z)                               rho rises until the mask stays

A mask that is chosen weight by weight does not know that others make up for a weight that goes.
Here they have moved already when the next mask is chosen, and weights that went may come back.

Source: Meng et al., "ALPS: Improved Optimization for Highly Sparse One-Shot Pruning for Large
Language Models", NeurIPS 2024, section 3; with blocks and N:M in place of single weights, and
features scaled to a curvature of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from spa_onnx.errors import UsageError
from spa_onnx.sparse.selection import BoolArray, FloatArray, MaskProblem, Need

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AlternatingMask:
    """Find mask and weights in turns.

    Attributes:
        penalty: first weight of the distance to the mask, in units of the curvature.
        growth: what it is multiplied with from step to step.
        steps: most steps.
    """

    penalty: float = 0.03
    growth: float = 1.1
    steps: int = 60

    needs: ClassVar[frozenset[Need]] = frozenset({"moments"})

    def __post_init__(self) -> None:
        if self.penalty <= 0 or self.growth <= 1 or self.steps < 1:
            text = f"penalty {self.penalty}, growth {self.growth} and steps {self.steps}"
            raise UsageError(f"{text} are not above 0, 1 and 0")

    def select(self, problem: MaskProblem) -> BoolArray:
        """Return the mask at which the weights came to rest.

        Where only a diagonal of curvatures is known, weights cannot make up for each other, and
        the mask is that of ``wanda``.
        """
        scale = np.sqrt(problem.curvature)
        weight = problem.optimum * scale
        if problem.hessian.ndim < 3:
            return problem.best(np.square(weight))
        hessian = problem.hessian / (scale * scale.transpose(0, 2, 1))
        values, vectors = np.linalg.eigh(_single(hessian))
        return _rest(self, problem, _single(weight), _single(weight @ hessian), values, vectors)


def _single(values: FloatArray) -> Floats:
    """Return numbers in float32: a mask needs no more, and products take half the time."""
    return values.astype(np.float32)


def _rest(
    options: AlternatingMask,
    problem: MaskProblem,
    weight: Floats,
    pull: Floats,
    values: Floats,
    vectors: Floats,
) -> BoolArray:
    """Take steps until the mask stays as it is.

    Args:
        options: the pass.
        problem: whose pattern the mask follows.
        weight: the scaled optimum.
        pull: the same times the scaled hessian.
        values: eigenvalues of this hessian, ``(groups, features)``.
        vectors: its eigenvectors, in columns.
    """
    penalty = options.penalty
    mask = problem.best(np.square(weight))
    under = np.where(mask, weight, 0)
    dual = np.zeros_like(weight)
    back = vectors.transpose(0, 2, 1)
    for step in range(options.steps):
        right = (pull - dual + penalty * under) @ vectors
        free = (right / (values[:, None] + penalty)) @ back
        moved = free + dual / penalty
        before, mask = mask, problem.best(np.square(moved))
        under = np.where(mask, moved, 0)
        dual += penalty * (free - under)
        penalty *= options.growth
        if step >= SETTLING and bool((mask == before).all()):
            break
    return mask


SETTLING = 5
"""Steps after which a mask that stays is taken for the last one."""
