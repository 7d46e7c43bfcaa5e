"""What kinds of packed matrices there are: their blocks, and the types of their values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from spa_onnx.errors import SpaError

BLOCK_ROWS = (1, 2, 4, 8, 16, 32)
SEGMENT = 16
TILE_SIDES = (16, 32, 64)
FRAGMENT = 16
"""Rows and columns of what a tensor core multiplies at once."""

PAIR_WORDS = 32
"""Words of metadata of two neighbouring blocks of kind TWO_OF_FOUR: one a lane."""

MOST_OF_TWO_BYTES = 2**16


class PackedWeightError(SpaError):
    """A matrix that cannot be packed, or bytes that are no packed matrix."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"packed weight: {problem}")


class Kind(IntEnum):
    """How the kept values of a matrix are told."""

    BLOCKS = 1
    BITMASK = 2
    SEGMENTS = 3
    TILES = 4
    TWO_OF_FOUR = 5


class ValueType(IntEnum):
    """Type of the stored values."""

    FLOAT32 = 1
    FLOAT16 = 2
    BFLOAT16 = 3

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Return the type of the array of values."""
        found: np.dtype[Any]
        match self:
            case ValueType.FLOAT32:
                found = np.dtype("<f4")
            case ValueType.FLOAT16:
                found = np.dtype("<f2")
            case ValueType.BFLOAT16:
                found = np.dtype(ml_dtypes.bfloat16)
        return found

    @staticmethod
    def of(dtype: npt.DTypeLike) -> ValueType:
        """Return the type of that name.

        Raises:
            PackedWeightError: if there is none.
        """
        for found in ValueType:
            if found.dtype == np.dtype(dtype):
                return found
        raise PackedWeightError(
            f"values of type {np.dtype(dtype)}, not float32, float16 or bfloat16"
        )


BLOCK_SHAPES: Mapping[int, tuple[tuple[int, ...], tuple[int, ...]]] = {
    Kind.BLOCKS: (BLOCK_ROWS, (1,)),
    Kind.BITMASK: ((1,), (1,)),
    Kind.SEGMENTS: ((1,), (SEGMENT,)),
    Kind.TILES: (TILE_SIDES, TILE_SIDES),
    Kind.TWO_OF_FOUR: ((FRAGMENT,), (2 * FRAGMENT,)),
}
"""Rows and columns that a block of each kind may have."""

HALVES = (ValueType.FLOAT16, ValueType.BFLOAT16)
VALUE_TYPES: Mapping[int, tuple[ValueType, ...]] = {
    Kind.BLOCKS: (ValueType.FLOAT32, ValueType.FLOAT16),
    Kind.BITMASK: tuple(ValueType),
    Kind.SEGMENTS: (ValueType.FLOAT32, ValueType.FLOAT16),
    Kind.TILES: HALVES,
    Kind.TWO_OF_FOUR: HALVES,
}
"""Types that stored values of each kind may have."""


def check_values(kind: int, value_type: ValueType) -> None:
    """Refuse values that a kind does not store."""
    if value_type not in VALUE_TYPES[kind]:
        raise PackedWeightError(f"kind {kind:d} stores no {value_type.dtype} values")


def index_bytes(kind: int, places: int) -> int:
    """Return the size of an index that tells so many places apart."""
    if kind == Kind.BITMASK:
        return 0
    if kind == Kind.TWO_OF_FOUR:
        return 4
    return 2 if places <= MOST_OF_TWO_BYTES else 4
