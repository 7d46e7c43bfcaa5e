"""Affine correction: every output channel gets its mean and variance back.

Where a BatchNormalization follows, its input has the stored statistics again, which is what
estimating them anew does for it; graphs without one are repaired in the same way.

Source: the statistics correction of Frantar and Alistarh, "Optimal Brain Compression", NeurIPS
2022, section 6, for networks without BatchNormalization.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spa_onnx.compensate.refit import LayerSamples, Refit
from spa_onnx.errors import UsageError


@dataclass(frozen=True, slots=True)
class Affine:
    """Scale and shift every output; proportions of the weights that make it stay.

    Attributes:
        limit: most that an output is scaled by, up or down. A channel that the pruned network
            hardly moves would be nothing but magnified noise.
    """

    limit: float = 4.0

    def __post_init__(self) -> None:
        if not self.limit >= 1:
            raise UsageError(f"limit {self.limit} is below one")

    def refit(self, layer: LayerSamples) -> Refit:
        """Return ``s W`` and the offset with which outputs have the dense mean and variance."""
        seen = layer.seen
        made = np.einsum("gok,gok->go", layer.weight @ seen.covariance, layer.weight)
        wanted = seen.target_variance
        alive = (made > 0) & (wanted > 0)
        ratio = np.divide(wanted, made, out=np.ones_like(made), where=alive)
        scale = np.clip(np.sqrt(ratio), 1 / self.limit, self.limit)
        weight = layer.weight * scale[:, :, None]
        return Refit(weight, seen.target_mean - np.einsum("gok,gk->go", weight, seen.mean))
