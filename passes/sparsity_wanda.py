"""Masks by Wanda: weights times the size of what they multiply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spa_onnx.sparse.selection import BoolArray, MaskProblem, Need


@dataclass(frozen=True, slots=True)
class WandaMask:
    """Keep the weights, or blocks, whose own part of the layer's loss is largest."""

    needs: ClassVar[frozenset[Need]] = frozenset({"moments"})

    def select(self, problem: MaskProblem) -> BoolArray:
        """Return the mask that keeps most of ``sum w_j^2 H_jj``.

        Source: Sun et al., "A Simple and Effective Pruning Approach for Large Language Models",
        ICLR 2024, equation 1, squared so that blocks add up; ranked over the layer, not by output.
        """
        return problem.best(np.square(problem.optimum) * problem.curvature)
