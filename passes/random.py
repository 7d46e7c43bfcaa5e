"""Random importance: the baseline that every criterion has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.score.weights import DimWeights

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Random:
    """Score units at random, reproducibly for a seed."""

    def score(self, weights: DimWeights, rng: np.random.Generator) -> FloatArray:
        """Return uniform numbers in ``[0, 1)``, shape ``(units,)``."""
        return rng.random(weights.units)
