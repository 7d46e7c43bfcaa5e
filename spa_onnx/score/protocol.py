"""What a pass of each kind looks like; ours and yours are found through the same entry points."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spa_onnx.score.weights import DimWeights

FloatArray = NDArray[np.float64]


@runtime_checkable
class Importance(Protocol):
    """Says how much a unit of a dim is worth; higher means keep.

    Entry point group ``spa_onnx.importance``; a frozen dataclass, its fields are its options.
    """

    def score(self, weights: DimWeights, rng: np.random.Generator) -> FloatArray:
        """Return the worth of every unit, shape ``(units,)``, finite and non-negative.

        ``rng`` is seeded by the user's ``--seed`` and the dim's name.
        """
        ...
