"""Least squares for weights of which only some may differ from zero.

The loss of a layer is ``tr((W - D) H (W - D)')`` about the dense optimum ``D``. With a mask for
every output of its own there is no one matrix to invert, so all outputs are solved together by
conjugate gradients, whose steps are products with ``H``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

STEPS = 100
"""Conjugate gradient steps at most."""

TOLERANCE = 1e-4
"""Norm of an output's gradient, in shares of its first, at which it is solved."""


def solve_masked(
    optimum: FloatArray,
    hessian: NDArray[np.floating],
    mask: BoolArray,
    start: FloatArray | None = None,
    *,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> FloatArray:
    """Return the weight under the mask with the least loss, or near it after so many ``steps``.

    Shapes: ``optimum``, ``mask`` and ``start`` ``(outputs, features)``, ``hessian`` ``(features,
    features)``, symmetric and positive definite. Products are computed in the hessian's precision.

    Source: Hestenes and Stiefel, Journal of Research of the NBS 49 (1952), restricted to the free
    weights, with the diagonal as preconditioner.
    """
    weight = np.where(mask, optimum if start is None else start, 0.0)
    scale = 1.0 / np.maximum(np.diagonal(hessian), np.finfo(np.float64).tiny)
    rest = np.where(mask, _product(optimum - weight, hessian), 0.0)
    towards = rest * scale
    size = _dot(rest, towards)
    enough = tolerance**2 * size
    for _ in range(steps):
        open_rows = size > enough
        if not open_rows.any():
            break
        curved = np.where(mask[open_rows], _product(towards[open_rows], hessian), 0.0)
        step = size[open_rows] / _dot(towards[open_rows], curved)
        weight[open_rows] += step[:, None] * towards[open_rows]
        rest[open_rows] -= step[:, None] * curved
        fresh = rest[open_rows] * scale
        now = _dot(rest[open_rows], fresh)
        towards[open_rows] = fresh + (now / size[open_rows])[:, None] * towards[open_rows]
        size[open_rows] = now
    return weight


def _product(weight: FloatArray, hessian: NDArray[np.floating]) -> FloatArray:
    """Return ``W H`` in the precision of ``H``, rows scaled so that none leaves its range."""
    if hessian.dtype == np.float64:
        return np.asarray(weight @ hessian, np.float64)
    scale = np.maximum(np.abs(weight).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    narrow = (weight / scale).astype(hessian.dtype)
    made: FloatArray = np.asarray(narrow @ hessian, np.float64) * scale
    return made


def _dot(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the product of every row with its peer."""
    product: FloatArray = np.einsum("of,of->o", a, b)
    return product
