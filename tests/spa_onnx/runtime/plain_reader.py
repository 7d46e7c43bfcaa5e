"""Packed weights for tensor cores back to matrices, one number after the other.

The loops follow the order in which docs/lowering.md tells what is where, and check nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import numpy.typing as npt

TYPES = {1: np.float32, 2: np.float16, 3: ml_dtypes.bfloat16}


@dataclass(frozen=True, slots=True)
class Fields:
    """The header, number after number."""

    magic: bytes
    version: int
    kind: int
    rows: int
    columns: int
    block_rows: int
    block_columns: int
    value_type: int
    index_bytes: int
    zero: int
    chunk: int
    zeros: int
    blocks: int
    starts: int
    indices: int
    values: int
    total: int


def fields_of(packed: bytes) -> Fields:
    return Fields(*struct.unpack_from("<4sHHIIHHBBHIIQQQQQ", packed))


def values_of(packed: bytes) -> npt.NDArray[np.float32]:
    """Return all numbers from the first value to the tail."""
    head = fields_of(packed)
    dtype = np.dtype(TYPES[head.value_type])
    return np.frombuffer(packed[head.values : -64], dtype).astype(np.float32)


def place_in_fragment(lane: int, value: int) -> tuple[int, int]:
    """Return row and column of a lane's value."""
    g, t = lane // 4, lane % 4
    return [
        (g, 2 * t),
        (g, 2 * t + 1),
        (g + 8, 2 * t),
        (g + 8, 2 * t + 1),
        (g, 2 * t + 8),
        (g, 2 * t + 9),
        (g + 8, 2 * t + 8),
        (g + 8, 2 * t + 9),
    ][value]


def read_tiles(packed: bytes) -> npt.NDArray[np.float32]:
    """Return a matrix of kind 4, to whole blocks."""
    head = fields_of(packed)
    high, wide = head.block_rows, head.block_columns
    below, beside = -(-head.rows // high), -(-head.columns // wide)
    weight = np.zeros((below * high, beside * wide), np.float32)
    values = iter(values_of(packed).tolist())
    index = "<H" if head.index_bytes == 2 else "<I"
    for b in range(below):
        first, last = struct.unpack_from("<2I", packed, head.starts + 4 * b)
        for block in range(first, last):
            (place,) = struct.unpack_from(index, packed, head.indices + head.index_bytes * block)
            for k in range(wide // 16):
                for r in range(high // 16):
                    for lane in range(32):
                        for value in range(8):
                            row, column = place_in_fragment(lane, value)
                            at = b * high + 16 * r + row, place * wide + 16 * k + column
                            weight[at] = next(values)
    assert next(values, None) is None
    return weight


def read_two_of_four(packed: bytes) -> npt.NDArray[np.float32]:
    """Return a matrix of kind 5, to whole blocks."""
    head = fields_of(packed)
    tiles, steps = -(-head.rows // 16), -(-head.columns // 32)
    pairs = -(-steps // 2)
    weight = np.zeros((tiles * 16, steps * 32), np.float32)
    values = iter(values_of(packed).tolist())
    for tile in range(tiles):
        for step in range(steps):
            for lane in range(32):
                for value in range(8):
                    row, stored = place_in_fragment(lane, value)
                    group, second = divmod(stored, 2)
                    reader = 4 * (row % 8) + 2 * (step % 2) + group // 4
                    word_at = ((tile * pairs + step // 2) * 32 + reader) * 4
                    (word,) = struct.unpack_from("<I", packed, head.indices + word_at)
                    bit = 16 * (row // 8) + 4 * (group % 4) + 2 * second
                    column = 32 * step + 4 * group + (word >> bit) % 4
                    weight[16 * tile + row, column] += next(values)
    assert next(values, None) is None
    return weight


def metadata_of(packed: bytes) -> npt.NDArray[np.uint32]:
    """Return the words of kind 5 ``(tiles, pairs, 32)``."""
    head = fields_of(packed)
    tiles, pairs = -(-head.rows // 16), -(-head.columns // 64)
    words = np.frombuffer(packed, "<u4", tiles * pairs * 32, head.indices)
    return words.reshape(tiles, pairs, 32)
