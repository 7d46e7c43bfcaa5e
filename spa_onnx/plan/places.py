"""Entries of arrays at places of one axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import IntArray

Array = NDArray[np.generic]


def taken(array: Array, places: IntArray, axis: int) -> Array:
    """Return the entries at some places of an axis; the array itself where all stay in order."""
    if len(places) == array.shape[axis] and bool((np.diff(places) > 0).all()):
        return array
    return np.take(array, places, axis=axis)
