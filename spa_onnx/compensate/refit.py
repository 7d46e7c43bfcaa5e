"""One layer fitted anew: what it sees in the pruned network against what the dense one makes of it.

A pass of this kind gets the moments of both and returns a weight and a bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spa_onnx.layers.moments import Moments

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LayerSamples:
    """What is known of one layer of the pruned network, whose prefix is repaired already.

    Attributes:
        weight: as pruned, ``(groups, outputs, features)``.
        seen: moments of its features in the pruned network and of the dense outputs that it should
            make of them.
        held_out: the same of other inputs, to choose by.
    """

    weight: FloatArray
    seen: Moments
    held_out: Moments


@dataclass(frozen=True, slots=True)
class Refit:
    """A repaired layer.

    Attributes:
        weight: ``(groups, outputs, features)``.
        offset: what is added to ``W X``, ``(groups, outputs)``.
    """

    weight: FloatArray
    offset: FloatArray


@runtime_checkable
class Compensation(Protocol):
    """Repairs one layer after another. Entry point group ``spa_onnx.compensation``."""

    def refit(self, layer: LayerSamples) -> Refit:
        """Return weight and offset; shapes stay as they are."""
        ...


def residual(weight: FloatArray, of: Moments) -> float:
    """Return the variance that ``W X`` leaves of the targets, but for what no weight changes."""
    inner = np.einsum("gok,gok->", weight @ of.covariance, weight)
    return float(inner - 2 * np.einsum("gok,gok->", weight, of.cross))
