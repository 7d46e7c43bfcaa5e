"""Layers in float64, and how far float32 may be off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.runtime_kernels.layers.direct import Epilogue, Float32Array, Sweep

Float64Array = npt.NDArray[np.float64]

UNIT = 2.0**-24
"""Half the distance of 1 to the next float32."""

TINY = 1e-36
"""What exp may lose where its result or its inverse leaves the normal numbers."""

STEEPEST = 1.5
"""No activation is steeper: hard_swish at 3 is 1.5, the others are below 1.13."""

ERF_ERROR = 2e-7
"""Absolute error of erf, as support/functions.h promises."""

# How far an activation may be off at an exact x, as a multiple of |x|. exp is off by 4 units of
# its result: 1 of the reduced argument, 3 of the polynomial's last steps.
ACTIVATION_ERROR = {
    "none": 0.0,
    "relu": 0.0,
    "clip": 0.0,
    # x / 2 times: erf, its argument (2 units, times erf'(t) t <= 0.5), sum with 1 (at most 2).
    "gelu": 0.5 * (ERF_ERROR + 3 * UNIT) + 2 * UNIT,
    # x / 2 times: 2 / (exp + 1) is off by 4 units and 2 of exp's, the argument is by 5 (times
    # tanh'(t) t <= 0.45), two more sums with 1.
    "gelu_tanh": 0.5 * (6 + 3 + 3) * UNIT + 2 * UNIT,
    "silu": (4 + 3) * UNIT,  # exp, sum, quotient, product; sigmoid is at most 1
    "hard_swish": 3 * UNIT,  # a third, a sum of at most 1, a product
}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a layer must compute.

    Attributes:
        exact: without any rounding.
        bound: largest difference that rounding in any order of summation explains.
    """

    exact: Float64Array
    bound: Float64Array

    def agrees(self, y: Float32Array) -> bool:
        """Return whether an output is within the bound."""
        return y.shape == self.exact.shape and bool((np.abs(y - self.exact) <= self.bound).all())


def erf(x: Float64Array) -> Float64Array:
    """Return the error function."""
    result: Float64Array = np.vectorize(math.erf, otypes=[np.float64])(x)
    return result


def activated(x: Float64Array, epilogue: Epilogue) -> Float64Array:
    """Return an activation by its definition."""
    low, high = epilogue.clip
    with np.errstate(over="ignore"):
        made: dict[str, Any] = {
            "none": lambda: x,
            "relu": lambda: np.maximum(x, 0),
            "clip": lambda: np.clip(x, low, high),
            "gelu": lambda: 0.5 * x * (1 + erf(x / math.sqrt(2))),
            "gelu_tanh": lambda: (
                0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
            ),
            "silu": lambda: x / (1 + np.exp(-x)),
            "hard_swish": lambda: x * np.clip(x / 6 + 0.5, 0, 1),
        }
        result: Float64Array = made[epilogue.activation]()
    return result


def expected(
    sums: Float64Array, sizes: Float64Array, counts: npt.NDArray[np.int64], epilogue: Epilogue
) -> Expected:
    """Return a layer's result from its exact sums, outputs along axis 1.

    n products, a bias and a residual take at most n + 2 roundings each:
    ``gamma(n + 2) * (sum |w x| + |b| + |r|)`` with ``gamma(k) = k u / (1 - k u)``.
    Source: Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1.

    Args:
        sums: of products.
        sizes: sums of their magnitudes.
        counts: how many products each output has.
        epilogue: what is added and done.
    """
    along = (1, -1, *(1,) * (sums.ndim - 2))
    if epilogue.bias is not None:
        sums, sizes = sums + epilogue.bias.reshape(along), sizes + abs(epilogue.bias).reshape(along)
    if epilogue.residual is not None:
        sums, sizes = sums + epilogue.residual, sizes + np.abs(epilogue.residual)
    roundings = UNIT * (counts.reshape(along) + 2)
    bound = sizes * (roundings / (1 - roundings))
    own = ACTIVATION_ERROR[epilogue.activation]
    if epilogue.activation != "none":
        bound = STEEPEST * bound + own * (np.abs(sums) + bound) + (TINY if own else 0)
    return Expected(activated(sums, epilogue), bound)


def linear(weight: Float32Array, x: Float32Array, epilogue: Epilogue) -> Expected:
    """Return ``act(x W' + bias + residual)``."""
    wide, products = weight.astype(np.float64), x.astype(np.float64)
    counts = np.count_nonzero(weight, axis=1)
    return expected(products @ wide.T, np.abs(products) @ np.abs(wide).T, counts, epilogue)


def convolution(
    weight: Float32Array, x: Float32Array, sweep: Sweep, epilogue: Epilogue
) -> Expected:
    """Return the convolution of x ``(N, C, H, W)`` with a weight ``(O, C, kh, kw)``."""
    top, left, bottom, right = sweep.pads
    wide = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    high, broad = sweep.output(*x.shape[2:])
    sums = np.zeros((len(x), len(weight), high, broad))
    sizes = np.zeros_like(sums)
    for i in range(sweep.kernel[0]):
        for j in range(sweep.kernel[1]):
            down, across = i * sweep.dilations[0], j * sweep.dilations[1]
            seen = wide[:, :, down :: sweep.strides[0], across :: sweep.strides[1]]
            seen = seen[:, :, :high, :broad]
            tap = weight[:, :, i, j].astype(np.float64)
            sums += np.einsum("oc,nchw->nohw", tap, seen)
            sizes += np.einsum("oc,nchw->nohw", np.abs(tap), np.abs(seen))
    counts = np.count_nonzero(weight.reshape(len(weight), -1), axis=1)
    return expected(sums, sizes, counts, epilogue)
