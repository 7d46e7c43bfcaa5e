"""Sparse matrices as bytes: the weight input of the ``ai.spa`` operators.

``docs/lowering.md`` specifies the layout. In short, little-endian, sections 64-byte aligned::

    header (128 bytes) | starts uint32 | indices | values | 64 zeros

What is stored is decided by the zeros of the matrix alone: a block is kept if any of its values is
not 0. NaN counts as nonzero; a negative zero does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.packed_header import (
    BLOCK_ROWS,
    MOST_BLOCKS,
    SEGMENT,
    SIZE,
    Kind,
    PackedHeader,
    PackedWeightError,
    ValueType,
    check_shape,
    header_for,
)
from spa_onnx.runtime.unpacking import checksum, index_type, section, unpack

__all__ = [
    "checksum",
    "pack_bitmask",
    "pack_blocks",
    "pack_diagonal",
    "pack_segments",
    "unpack",
]

Weight = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

SLAB = 2**20
"""Elements of the matrix that are handled at once, which bounds what is needed beside it."""


def pack_blocks(
    weight: Weight,
    block_rows: int,
    chunk_columns: int | None = None,
    value_type: npt.DTypeLike = np.float32,
) -> bytes:
    """Return the blocks of ``block_rows x 1`` of ``weight`` ``(rows, columns)`` with nonzeros.

    Args:
        weight: of type float16 or float32.
        block_rows: 1, 2, 4, 8, 16 or 32.
        chunk_columns: columns whose blocks are stored together, row block after row block; all
            unless given.
        value_type: float32 or float16 of the stored values, to which values are rounded.

    Raises:
        PackedWeightError: if the matrix is not two-dimensional or is empty, has too many blocks or
            a type that float32 does not hold exactly, or no block or chunk is so large.
    """
    checked_shape(weight)
    if block_rows not in BLOCK_ROWS:
        raise PackedWeightError(f"blocks of {block_rows} rows, not of one of {BLOCK_ROWS}")
    chunk = weight.shape[1] if chunk_columns is None else chunk_columns
    if not 1 <= chunk <= weight.shape[1]:
        raise PackedWeightError(f"chunks of {chunk} columns in {weight.shape[1]} columns")
    return packed_grid(weight, Kind.BLOCKS, block_rows, chunk, ValueType.of(value_type))


def pack_diagonal(weight: Weight, groups: int, value_type: npt.DTypeLike = np.float32) -> bytes:
    """Return a matrix of blocks along the diagonal, all of whose values are stored, zeros too.

    Args:
        weight: the blocks below each other, ``(rows, columns of a block)``.
        groups: blocks; each has as many rows.
        value_type: as for :func:`pack_blocks`.

    Raises:
        PackedWeightError: as :func:`pack_blocks`, or the rows are no multiple of the groups.
    """
    rows, inner = checked_shape(weight)
    if groups < 1 or rows % groups:
        raise PackedWeightError(f"{rows} rows are not {groups} groups of equal size")
    check_shape(rows, inner * groups)
    stored = ValueType.of(value_type)
    header = header_for(Kind.BLOCKS, (rows, inner * groups), stored, checked_count(rows * inner), 1)
    packed = bytearray(header.total_size)
    section(header, packed, "starts", np.dtype("<u4"))[:] = np.arange(rows + 1) * inner
    indices = section(header, packed, "indices", index_type(header)).reshape(rows, inner)
    first = np.arange(rows) // (rows // groups) * inner
    indices[:] = first[:, None] + np.arange(inner)
    section(header, packed, "values", stored.dtype)[:] = converted(weight, stored).reshape(-1)
    return sealed(header, packed)


def pack_segments(weight: Weight, value_type: npt.DTypeLike = np.float32) -> bytes:
    """Return the segments of 1 x 16 of ``weight`` ``(rows, columns)`` with nonzeros.

    Raises:
        PackedWeightError: as :func:`pack_blocks`.
    """
    _, columns = checked_shape(weight)
    return packed_grid(weight, Kind.SEGMENTS, 1, columns, ValueType.of(value_type))


def pack_bitmask(weight: Weight, value_type: npt.DTypeLike = np.float32) -> bytes:
    """Return the nonzeros of ``weight`` ``(rows, columns)`` behind a mask of one bit each.

    Raises:
        PackedWeightError: as :func:`pack_blocks`.
    """
    shape = checked_shape(weight)
    stored = ValueType.of(value_type)
    counts = np.concatenate([np.count_nonzero(weight[s], axis=1) for s in slabs(weight, 1)])
    header = header_for(Kind.BITMASK, shape, stored, checked_count(int(counts.sum())))
    packed = bytearray(header.total_size)
    starts = section(header, packed, "starts", np.dtype("<u4"))
    starts[1:] = np.cumsum(counts)
    masks = section(header, packed, "indices", np.dtype("u1")).reshape(shape[0], -1)
    values = section(header, packed, "values", stored.dtype)
    for rows in slabs(weight, 1):
        kept = weight[rows] != 0
        bits = np.packbits(kept, axis=1, bitorder="little")
        masks[rows, : bits.shape[1]] = bits
        values[starts[rows.start] : starts[rows.stop]] = converted(weight[rows][kept], stored)
    return sealed(header, packed)


def packed_grid(
    weight: Weight, kind: Kind, block_rows: int, chunk: int, stored: ValueType
) -> bytes:
    """Return the blocks of a matrix that is a grid of them."""
    across = SEGMENT if kind is Kind.SEGMENTS else 1
    per_chunk = chunk if kind is Kind.BLOCKS else -(-chunk // across)
    counts = np.concatenate(
        [
            block_counts(has_nonzeros(blocks_of(weight[s], block_rows, across)), per_chunk)
            for s in slabs(weight, block_rows)
        ]
    )
    blocks = checked_count(int(counts.sum()))
    shape = weight.shape[0], weight.shape[1]
    header = header_for(kind, shape, stored, blocks, block_rows, chunk)
    packed = bytearray(header.total_size)
    starts = filled_starts(header, packed, counts)
    indices = section(header, packed, "indices", index_type(header))
    values = section(header, packed, "values", stored.dtype)
    values = values.reshape(blocks, block_rows * across)
    for rows in slabs(weight, block_rows):
        grid = blocks_of(weight[rows], block_rows, across)
        first = rows.start // block_rows
        row, place = np.nonzero(has_nonzeros(grid))
        where = destinations(row, place // per_chunk, starts[:, first:], counts[first:])
        indices[where] = place
        values[where] = converted(grid[row, place].reshape(row.size, block_rows * across), stored)
    return sealed(header, packed)


def filled_starts(
    header: PackedHeader, packed: bytearray, counts: IntArray
) -> npt.NDArray[np.uint32]:
    """Write and return where the blocks of each chunk and row block begin.

    Args:
        header: of the bytes.
        packed: the bytes.
        counts: ``(row blocks, chunks)``, how many blocks each has.
    """
    starts = section(header, packed, "starts", np.dtype("<u4"))
    starts = starts.reshape(header.chunks, header.row_blocks + 1)
    ends = np.cumsum(counts.T, dtype=np.int64).reshape(counts.shape[::-1])
    starts[:, 1:] = ends
    starts[1:, 0] = ends[:-1, -1]
    return starts


def destinations(
    row: IntArray, chunk: IntArray, starts: npt.NDArray[np.uint32], counts: IntArray
) -> IntArray:
    """Return where blocks go that are listed row block after row block.

    Args:
        row: row block of each, rising.
        chunk: of each, rising within the row block.
        starts: ``(chunks, row blocks + 1)``, where the blocks of each begin.
        counts: ``(row blocks, chunks)``, how many each has.
    """
    listed = np.cumsum(counts[: int(row[-1]) + 1 if row.size else 0])
    before = np.concatenate([np.zeros(1, np.int64), listed])[row * counts.shape[1] + chunk]
    places: IntArray = starts[chunk, row] + (np.arange(row.size) - before)
    return places


def blocks_of(weight: Weight, block_rows: int, across: int) -> Weight:
    """Return a matrix as ``(row blocks, places, block rows, block columns)``, filled with zeros."""
    below, beside = -weight.shape[0] % block_rows, -weight.shape[1] % across
    if below or beside:
        weight = np.pad(weight, ((0, below), (0, beside)))
    grid = weight.reshape(weight.shape[0] // block_rows, block_rows, -1, across)
    return grid.swapaxes(1, 2)


def has_nonzeros(grid: Weight) -> BoolArray:
    """Return which blocks are stored, ``(row blocks, places)``."""
    kept: BoolArray = (grid != 0).any(axis=(2, 3))
    return kept


def block_counts(kept: BoolArray, per_chunk: int) -> IntArray:
    """Return how many blocks of each row block lie in each chunk, ``(row blocks, chunks)``."""
    first = np.arange(0, kept.shape[1], per_chunk)
    counts: IntArray = np.add.reduceat(kept, first, axis=1, dtype=np.int64)
    return counts


def slabs(weight: Weight, block_rows: int) -> Iterator[slice]:
    """Yield the rows of a matrix in parts of whole blocks."""
    rows, columns = weight.shape
    step = max(1, SLAB // (columns * block_rows)) * block_rows
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))


def converted(values: Weight, stored: ValueType) -> Weight:
    """Return values in the type in which they are stored.

    Raises:
        PackedWeightError: if a finite value becomes infinite.
    """
    with np.errstate(over="ignore"):
        result: Weight = values.astype(stored.dtype)
    if stored is ValueType.FLOAT16 and (np.isinf(result) & np.isfinite(values)).any():
        raise PackedWeightError(f"a value of {np.abs(values).max()} is too large for float16")
    return result


def checked_shape(weight: Weight) -> tuple[int, int]:
    """Return rows and columns of a matrix that can be packed."""
    if weight.ndim != 2:
        raise PackedWeightError(f"shape {weight.shape} is not that of a matrix")
    check_shape(*weight.shape)
    if not np.can_cast(weight.dtype, np.float32):
        raise PackedWeightError(f"type {weight.dtype} does not fit float32; convert it first")
    return weight.shape[0], weight.shape[1]


def checked_count(blocks: int) -> int:
    """Return a number of blocks that 32 bits can count."""
    if blocks > MOST_BLOCKS:
        raise PackedWeightError(f"{blocks} blocks, at most {MOST_BLOCKS} fit")
    return blocks


def sealed(header: PackedHeader, packed: bytearray) -> bytes:
    """Return the bytes with header and checksum."""
    packed[:SIZE] = header.to_bytes(crc=0)
    packed[:SIZE] = header.to_bytes(checksum(packed))
    return bytes(packed)
