"""How far two tensors are from each other, in units of their scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMBERS = "biuf"
"""Kinds of numpy types that are compared as numbers; strings are equal or not."""


def magnitude(x: NDArray[Any]) -> float:
    """Return the largest finite absolute value of a tensor."""
    if not _is_number(x):
        return 1.0
    wide = _wide(x)
    top = float(np.abs(wide).max(initial=0))
    if np.isfinite(top):  # a maximum is NaN or infinite as soon as one value is
        return top
    return float(np.abs(wide[np.isfinite(wide)]).max(initial=0))


def distance(a: NDArray[Any], b: NDArray[Any], scale: float) -> float:
    """Return ``max |a - b| / scale``; infinite for other shapes, and where only one is finite.

    The scale is that of the tensor in the reference or the original, whichever is larger: a
    normalisation over a single lane that stays leaves nothing but rounding.
    """
    if a.shape != b.shape:
        return float("inf")
    if not _is_number(b):
        return 0.0 if np.array_equal(a, b) else float("inf")
    gap = _gap(_wide(a), _wide(b))
    return gap / scale if scale > 0 else (0.0 if gap == 0 else float("inf"))


def _is_number(x: NDArray[Any]) -> bool:
    return x.dtype.kind in NUMBERS or x.dtype.name == "bfloat16"


def _wide(x: NDArray[Any]) -> NDArray[Any]:
    """Return the tensor in a type whose differences are as exact as its values."""
    return x if x.dtype == np.float32 else x.astype(np.float64, copy=False)


def _gap(x: NDArray[Any], y: NDArray[Any]) -> float:
    with np.errstate(invalid="ignore", over="ignore"):
        gap = float(np.abs(x - y).max(initial=0))
    if np.isfinite(gap):  # so all values are
        return gap
    finite = np.isfinite(y)
    if (
        not np.array_equal(x[~finite], y[~finite], equal_nan=True)
        or not np.isfinite(x[finite]).all()
    ):
        return float("inf")
    near = x[finite].astype(np.float64) - y[finite]
    return float(np.abs(near).max(initial=0))
