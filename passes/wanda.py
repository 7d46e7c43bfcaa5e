"""Wanda for lanes: the weights that read a lane, times how large the lane is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from spa_onnx.score.protocol import Need
from spa_onnx.score.weights import DimWeights

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wanda:
    """Score a lane by the weights that read it times the root mean square of its values."""

    needs: ClassVar[frozenset[Need]] = frozenset({"moments"})

    def score(self, weights: DimWeights, rng: np.random.Generator) -> FloatArray:
        """Return ``sum_j rms(x_j) mean_i |W_ij|`` over a unit's features, shape ``(units,)``.

        Summed over all consumers; dims without one are scored by group L1. Source: Sun et al., "A
        Simple and Effective Pruning Approach for Large Language Models", ICLR 2024, equation 1,
        averaged over the rows of the consumer as in An et al., FLAP, AAAI 2024, for whole columns.
        """
        consumers = weights.consumers()
        if not consumers:
            weights.note("no stored weight sums over these lanes, so wanda ranks them by l1")
            return weights.total(np.abs, "produces", "consumes")
        total = np.zeros(weights.units)
        for consumer in consumers:
            size = np.sqrt(consumer.variance + np.square(consumer.mean))
            columns = np.abs(consumer.weight).mean(axis=1)
            total += consumer.by_unit(size * columns, weights.units)
        return total
