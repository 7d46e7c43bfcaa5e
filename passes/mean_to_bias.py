"""Mean to bias: what removed lanes were on average goes to the biases behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spa_onnx.compensate.refit import LayerSamples, Refit


@dataclass(frozen=True, slots=True)
class MeanToBias:
    """Correct the bias of every layer alone; weights stay as they are."""

    def refit(self, layer: LayerSamples) -> Refit:
        """Return the offset that brings the mean of the outputs back.

        Of a layer whose input is repaired as well as can be this is ``W_P mean(x_P)`` of the
        removed lanes ``P``. Source: An et al., FLAP, arXiv 2312.11983, section 3.3.
        """
        seen = layer.seen
        offset = seen.target_mean - np.einsum("gok,gk->go", layer.weight, seen.mean)
        return Refit(layer.weight, offset)
