"""Affine ridge regression: the layer that makes the dense outputs of what the pruned network sees.

Targets and features are centred, so the bias takes what a mean is worth, and the ridge draws
towards the weights that are there: without removed lanes nothing changes.

Source: least-squares reconstruction, He et al., "Channel Pruning for Accelerating Very Deep Neural
Networks", ICCV 2017, section 3.2; affine form as in CORP, arXiv 2602.05243.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.compensate.pair import PairSamples, nearest
from spa_onnx.compensate.refit import LayerSamples, Refit, residual
from spa_onnx.compensate.ridge import solve_ridge
from spa_onnx.errors import UsageError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ridge:
    """Refit weight and bias.

    Attributes:
        damping: ridges to choose from by the error on inputs held out, as shares of the mean
            variance of the features.
    """

    damping: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)

    def __post_init__(self) -> None:
        if not self.damping or min(self.damping) <= 0:
            raise UsageError(f"damping {self.damping} is not a list of positive numbers")

    def refit(self, layer: LayerSamples) -> Refit:
        """Return the weight that fits best, and the offset that brings the means together."""
        best = layer.weight
        if layer.seen.count:
            fits = [_fit(layer, damping) for damping in self.damping]
            if layer.held_out.count:
                fits.append(layer.weight)
                best = min(fits, key=lambda w: residual(w, layer.held_out))
            else:
                best = fits[-1]
        offset = layer.seen.target_mean - np.einsum("gok,gk->go", best, layer.seen.mean)
        return Refit(best, offset)

    def refit_pair(self, pair: PairSamples) -> tuple[FloatArray, FloatArray]:
        """Return the sides of a product of activations that lost lanes, at their best rank."""
        return nearest(pair, self.damping[0])


def _fit(layer: LayerSamples, damping: float) -> FloatArray:
    gram, cross = layer.seen.covariance, layer.seen.cross
    fitted = layer.weight.copy()
    for g in range(len(fitted)):
        missing = cross[g] - layer.weight[g] @ gram[g]
        fitted[g] += solve_ridge(gram[g], missing, damping)
    return fitted
