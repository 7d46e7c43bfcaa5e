"""LAMP: a magnitude measured against everything in its dim that is not smaller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from spa_onnx.score.weights import DimWeights

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lamp:
    """Score a lane by its share of the energy of all lanes that are at least as strong.

    The strongest lane of a dim scores one, so a threshold over the whole model empties no dim.
    """

    comparable: ClassVar[bool] = True

    def score(self, weights: DimWeights, rng: np.random.Generator) -> FloatArray:
        """Return ``q_c / sum_{v: q_v >= q_c} q_v`` with ``q = sum w^2``, shape ``(units,)``.

        Source: Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021,
        equation 1, with lanes in place of single weights; rows are ranked each by itself.
        """
        energy = weights.total(np.square, "produces", "consumes")
        energy = energy.reshape(weights.rows, weights.lanes)
        order = np.argsort(-energy, axis=1, kind="stable")
        ranked = np.take_along_axis(energy, order, axis=1)
        stronger = np.maximum(np.cumsum(ranked, axis=1), np.finfo(np.float64).tiny)
        scores = np.empty_like(energy)
        np.put_along_axis(scores, order, ranked / stronger, axis=1)
        flat: FloatArray = scores.reshape(-1) / weights.rows
        return flat
