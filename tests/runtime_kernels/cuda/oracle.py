"""Layers on a GPU in float64, and how far they may be off.

Products of two 16-bit numbers are exact in float32. What rounds is

- every sum in float32. Tensor cores shift the numbers that they add to the exponent of the largest
  and cut what is below its last bit, so each loses less than ``2^-23`` of the largest, which is no
  more than ``sum |w x|``. Of n products each is such a number once, and so is, at most once for
  each product, the sum so far. Source: Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior of
  NVIDIA tensor cores", PeerJ Computer Science 7 (2021), section 3.
- the sums of warps or lanes, of which 32 or fewer are added, the bias and the residual, in float32;
- the activation, see the oracle of the CPU's. CUDA's erff and tanhf are off by 2 units of their
  result at most, and ``__expf(x)`` by ``2 + 1.173 |x|``, which times the derivative of ``1 / (1 +
  exp(-x))`` is below what that oracle grants. Source: CUDA C++ Programming Guide 13.0, section
  "Mathematical Functions".
- the output, to nearest: by half the distance of its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from tests.runtime_kernels.layers.direct import Epilogue
from tests.runtime_kernels.layers.oracle import ACTIVATION_ERROR, STEEPEST, TINY, activated

Float64Array = npt.NDArray[np.float64]

CUT = 2.0**-23
"""What a number loses at most where the largest of a sum is 1."""

PARTS = 32
"""Sums of parts that are added, and a bias and a residual at most."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What a layer's outputs are before the activation, outputs along axis 1.

    Attributes:
        exact: sums of products, bias and residual.
        sizes: the same of their magnitudes.
        counts: products of every output, ``(rows,)``.
    """

    exact: Float64Array
    sizes: Float64Array
    counts: npt.NDArray[np.int64]

    def expected(self, epilogue: Epilogue, dtype: np.dtype[Any]) -> tuple[Float64Array, Any]:
        """Return what the layer must compute, and the largest difference that rounding explains.

        Args:
            epilogue: with its activation; bias and residual are in the sums already.
            dtype: of the output.
        """
        along = (1, -1, *(1,) * (self.exact.ndim - 2))
        bound = self.sizes * (CUT * (2 * self.counts.reshape(along) + PARTS + 2))
        own = ACTIVATION_ERROR[epilogue.activation]
        if epilogue.activation != "none":
            bound = STEEPEST * bound + own * (np.abs(self.exact) + bound) + (TINY if own else 0)
        exact = activated(self.exact, epilogue)
        return exact, bound + half_a_step(np.abs(exact) + bound, dtype)


def half_a_step(magnitude: Float64Array, dtype: np.dtype[Any]) -> Float64Array:
    """Return half the distance of the numbers of a type around a magnitude, or some more."""
    about = ml_dtypes.finfo(dtype)
    step: Float64Array = magnitude * (float(about.eps) / 2)
    return np.maximum(step, float(about.smallest_subnormal) / 2)


def agrees(y: npt.NDArray[Any], expected: tuple[Float64Array, Any]) -> bool:
    """Say whether an output is within the bound."""
    exact, bound = expected
    return y.shape == exact.shape and bool((np.abs(y.astype(np.float64) - exact) <= bound).all())
