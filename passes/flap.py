"""FLAP: lanes that hardly fluctuate are worth little, for a bias replaces their mean.

A lane's score is what its consumers' outputs would vary by it alone. Dims are made comparable by
standardising the scores of each.

Source: An et al., "Fluctuation-based Adaptive Structured Pruning for Large Language Models", AAAI
2024, arXiv 2312.11983, sections 3.1 (weighted input feature variance) and 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from spa_onnx.score.protocol import Need
from spa_onnx.score.weights import DimWeights

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Flap:
    """Score a lane by the variance of its values and the weights that read them.

    What it removes leaves a mean behind, so use it with a compensation.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"moments"})
    comparable: ClassVar[bool] = True

    def score(self, weights: DimWeights, rng: np.random.Generator) -> FloatArray:
        """Return ``sum_j var(x_j) ||W_j||^2``, standardised in every row, shape ``(units,)``.

        Of several consumers each counts relative to the variance of its output. Dims without one
        are scored by the squares of their weights.
        """
        consumers = [c for c in weights.consumers() if c.energy > 0]
        if consumers:
            total = np.zeros(weights.units)
            for consumer in consumers:
                columns = np.square(consumer.weight).sum(axis=1)
                varied = consumer.by_unit(consumer.variance * columns, weights.units)
                total += varied / consumer.energy
        else:
            weights.note("nothing that varies sums over these lanes, so flap ranks them by l2")
            total = weights.total(np.square, "produces", "consumes")
        rows = total.reshape(weights.rows, weights.lanes)
        spread = rows.std(axis=1, keepdims=True)
        centred = rows - rows.mean(axis=1, keepdims=True)
        z = np.divide(centred, spread, out=np.zeros_like(rows), where=spread > 0)
        return _positive(z).reshape(-1) / weights.rows


def _positive(z: FloatArray) -> FloatArray:
    """Map numbers to positive ones in the same order, the same way for all dims."""
    return np.where(z < 0, 1 / (1 - np.minimum(z, 0)), 1 + z)
