"""Masks by magnitude: the largest weights stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spa_onnx.sparse.selection import BoolArray, MaskProblem, Need


@dataclass(frozen=True, slots=True)
class MagnitudeMask:
    """Keep the weights, or blocks, with the largest sum of squares."""

    needs: ClassVar[frozenset[Need]] = frozenset()

    def select(self, problem: MaskProblem) -> BoolArray:
        """Return the mask that keeps most of ``sum w^2``."""
        return problem.best(np.square(problem.optimum))
