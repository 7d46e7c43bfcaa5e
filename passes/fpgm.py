"""FPGM: lanes near the geometric median can be replaced by the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.score.weights import DimWeights

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fpgm:
    """Score a lane by the distance of its weights to those of the dim's other lanes."""

    def score(self, weights: DimWeights, rng: np.random.Generator) -> FloatArray:
        """Return ``sum_c' ||w_c - w_c'||``, the mean over members, shape ``(units,)``.

        Source: He et al., "Filter Pruning via Geometric Median", CVPR 2019, equation 6, on the raw
        weights of every matrix that makes or sums over the lanes; each relative to its mean.
        """
        total = np.zeros(weights.units)
        for matrix in weights.matrices("produces", "consumes"):
            distances = distance_sums(matrix)
            mean = distances.mean()
            if mean > 0:
                total += distances / mean
        return total


def distance_sums(rows: NDArray[np.floating]) -> FloatArray:
    """Return for every row the sum of its distances to all rows, a block of rows at a time."""
    squares = np.einsum("uk,uk->u", rows, rows)
    sums = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        products = rows[part] @ rows.T
        gaps = squares[part, None] + squares - 2 * products
        sums[part] = np.sqrt(np.maximum(gaps, 0.0)).sum(axis=1)
    return sums


BLOCK = 1024
"""Rows whose distances are in memory at once."""
