"""Magnitude importance: small weights matter least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from spa_onnx.score.weights import DimWeights

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class L1:
    """Score a unit by the sum of the absolute values of every matrix entry removed with it."""

    def score(self, weights: DimWeights, rng: np.random.Generator) -> FloatArray:
        """Return ``sum |w|``, shape ``(units,)``, in weight units.

        Source: Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, section 3.1, summed
        over all coupled matrices.
        """
        return weights.total(np.abs, "produces", "consumes")


@dataclass(frozen=True, slots=True)
class L2:
    """Score a unit by the Euclidean norm of every matrix entry removed with it."""

    def score(self, weights: DimWeights, rng: np.random.Generator) -> FloatArray:
        """Return ``sqrt(sum w^2)``, shape ``(units,)``, in weight units.

        Source: as :class:`L1`, with the norm that Torch-Pruning calls group L2.
        """
        return np.sqrt(weights.total(np.square, "produces", "consumes"))


@dataclass(frozen=True, slots=True)
class GlobalMagnitude:
    """Score a unit as L2 does, compared over the whole model as it is."""

    comparable: ClassVar[bool] = True

    def score(self, weights: DimWeights, rng: np.random.Generator) -> FloatArray:
        """Return ``sqrt(sum w^2)``, shape ``(units,)``, in weight units.

        The allocation's floor keeps dims of small weights alive. Source: Gupta et al., "Is
        Complexity Required for Neural Network Pruning?", 2022, with lanes in place of weights.
        """
        return np.sqrt(weights.total(np.square, "produces", "consumes")) / weights.rows
