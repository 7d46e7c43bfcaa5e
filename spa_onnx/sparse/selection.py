"""Which weights of a layer stay: what a selection pass sees and returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import IntArray
from spa_onnx.sparse.pattern import Pattern

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

Need = Literal["moments"]
"""What a selection may need beside weights: second moments of what the layer sees."""


@dataclass(frozen=True, slots=True)
class MaskProblem:
    """One layer whose loss is ``tr((W - D) H (W - D)')``, and how many of its weights stay.

    Attributes:
        optimum: ``D``, the best weight without a mask, ``(groups, outputs, features)``.
        hessian: ``H``, ``(groups, features, features)``, positive definite; of layers with too many
            features its diagonal, ``(groups, features)``; ones where nothing is known.
        pattern: what stays or goes together.
        order: features in the order in which they are neighbours, ``(groups, places)``; see
            :func:`spa_onnx.sparse.pattern.neighbours`.
        sparsity: share of the weights that goes.
    """

    optimum: FloatArray
    hessian: FloatArray
    pattern: Pattern
    order: IntArray
    sparsity: float

    @property
    def curvature(self) -> FloatArray:
        """Return the diagonal of the hessian, ``(groups, 1, features)``."""
        diagonal = self.hessian
        if self.hessian.ndim == 3:
            diagonal = np.diagonal(self.hessian, axis1=1, axis2=2)
        return diagonal[:, None]

    def best(self, worth: NDArray[np.floating], sparsity: float | None = None) -> BoolArray:
        """Return the mask of the pattern that keeps most worth, ``(groups, outputs, features)``."""
        share = self.sparsity if sparsity is None else sparsity
        return self.pattern.mask(worth, self.order, share)


@runtime_checkable
class Selection(Protocol):
    """Chooses the weights that stay. Entry point group ``spa_onnx.sparsity``.

    Attributes:
        needs: what it needs beside weights.
    """

    needs: ClassVar[frozenset[Need]]

    def select(self, problem: MaskProblem) -> BoolArray:
        """Return what stays, ``(groups, outputs, features)``, in the problem's pattern."""
        ...
