"""BatchNormalization scale, the criterion of network slimming."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.score.weights import DimWeights

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BnScale:
    """Score a lane by the scale of its batch normalisations; dims without one by group L2."""

    def score(self, weights: DimWeights, rng: np.random.Generator) -> FloatArray:
        """Return ``sum |gamma|``, shape ``(units,)``.

        Means most where training drew scales to zero. Source: Liu et al., "Learning Efficient
        Convolutional Networks through Network Slimming", ICCV 2017, section 3.
        """
        scales = weights.norm_scales()
        if scales is None:
            weights.note("no BatchNormalization scales these lanes, so bn-scale ranks them by l2")
            return np.sqrt(weights.total(np.square, "produces", "consumes"))
        return scales
