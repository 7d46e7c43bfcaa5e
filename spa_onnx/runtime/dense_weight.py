"""The matrix that is to be packed: what it may be, its rows in parts, and its values as stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.packed_header import MOST_BLOCKS, check_shape
from spa_onnx.runtime.packed_kinds import Kind, PackedWeightError, ValueType, check_values

Weight = npt.NDArray[np.floating[Any]]

SLAB = 2**20
"""Elements of the matrix that are handled at once, which bounds what is needed beside it."""


def checked_shape(weight: Weight) -> tuple[int, int]:
    """Return rows and columns of a matrix that can be packed."""
    if weight.ndim != 2:
        raise PackedWeightError(f"shape {weight.shape} is not that of a matrix")
    check_shape(*weight.shape)
    if not np.can_cast(weight.dtype, np.float32):
        raise PackedWeightError(f"type {weight.dtype} does not fit float32; convert it first")
    return weight.shape[0], weight.shape[1]


def stored_type(kind: Kind, dtype: npt.DTypeLike) -> ValueType:
    """Return the type of the values of a kind by its name."""
    found = ValueType.of(dtype)
    check_values(kind, found)
    return found


def checked_count(blocks: int) -> int:
    """Return a number of blocks that 32 bits can count."""
    if blocks > MOST_BLOCKS:
        raise PackedWeightError(f"{blocks} blocks, at most {MOST_BLOCKS} fit")
    return blocks


def slabs(weight: Weight, block_rows: int) -> Iterator[slice]:
    """Yield the rows of a matrix in parts of whole blocks."""
    rows, columns = weight.shape
    step = max(1, SLAB // (columns * block_rows)) * block_rows
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))


def filled_up(weight: Weight, block_rows: int, block_columns: int) -> Weight:
    """Return a matrix with zeros below and beside it, to whole blocks."""
    below, beside = -weight.shape[0] % block_rows, -weight.shape[1] % block_columns
    return np.pad(weight, ((0, below), (0, beside))) if below or beside else weight


def converted(values: Weight, stored: ValueType) -> Weight:
    """Return values in the type in which they are stored.

    Raises:
        PackedWeightError: if a finite value becomes infinite.
    """
    with np.errstate(over="ignore"):
        result: Weight = values.astype(stored.dtype)
    lost = np.isinf(result) & np.isfinite(values) if stored.dtype.itemsize == 2 else None
    if lost is not None and lost.any():
        raise PackedWeightError(
            f"a value of {np.abs(values[lost]).max()} is too large for {stored.dtype}"
        )
    return result
