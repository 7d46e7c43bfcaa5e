"""Sparse matrices as bytes: the weight input of the ``ai.spa`` operators.

``docs/lowering.md`` specifies the layout. In short, little-endian, sections 64-byte aligned::

    header (128 bytes) | starts uint32 | indices | values | 64 zeros

What is stored is decided by the zeros of the matrix alone: a block is kept if any of its values is
not 0. NaN counts as nonzero; a negative zero does not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.dense_weight import (
    Weight,
    checked_count,
    checked_shape,
    converted,
    slabs,
    stored_type,
)
from spa_onnx.runtime.packed_header import check_shape, header_for
from spa_onnx.runtime.packed_kinds import (
    BLOCK_ROWS,
    SEGMENT,
    TILE_SIDES,
    Kind,
    PackedWeightError,
)
from spa_onnx.runtime.packing_grid import packed_grid
from spa_onnx.runtime.packing_two_of_four import pack_two_of_four
from spa_onnx.runtime.sections import checksum, index_type, sealed, section
from spa_onnx.runtime.unpacking import unpack

__all__ = [
    "checksum",
    "pack_bitmask",
    "pack_blocks",
    "pack_diagonal",
    "pack_segments",
    "pack_tiles",
    "pack_two_of_four",
    "unpack",
]


def pack_blocks(
    weight: Weight,
    block_rows: int,
    chunk_columns: int | None = None,
    value_type: npt.DTypeLike = np.float32,
) -> bytes:
    """Return the blocks of ``block_rows x 1`` of ``weight`` ``(rows, columns)`` with nonzeros.

    Args:
        weight: of type float16, bfloat16 or float32.
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
    stored = stored_type(Kind.BLOCKS, value_type)
    return packed_grid(weight, Kind.BLOCKS, (block_rows, 1), chunk, stored)


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
    stored = stored_type(Kind.BLOCKS, value_type)
    header = header_for(Kind.BLOCKS, (rows, inner * groups), stored, checked_count(rows * inner))
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
    stored = stored_type(Kind.SEGMENTS, value_type)
    return packed_grid(weight, Kind.SEGMENTS, (1, SEGMENT), columns, stored)


def pack_tiles(
    weight: Weight,
    block_rows: int,
    block_columns: int,
    value_type: npt.DTypeLike = np.float16,
) -> bytes:
    """Return the blocks of ``weight`` ``(rows, columns)`` with nonzeros, as tensor cores read them.

    Args:
        weight: of type float16, bfloat16 or float32.
        block_rows: 16, 32 or 64.
        block_columns: 16, 32 or 64.
        value_type: float16 or bfloat16 of the stored values, to which values are rounded.

    Raises:
        PackedWeightError: as :func:`pack_blocks`.
    """
    _, columns = checked_shape(weight)
    block = block_rows, block_columns
    if not {*block} <= {*TILE_SIDES}:
        raise PackedWeightError(
            f"tiles of {block_rows} x {block_columns}, not of two of {TILE_SIDES}"
        )
    stored = stored_type(Kind.TILES, value_type)
    return packed_grid(weight, Kind.TILES, block, columns, stored)


def pack_bitmask(weight: Weight, value_type: npt.DTypeLike = np.float32) -> bytes:
    """Return the nonzeros of ``weight`` ``(rows, columns)`` behind a mask of one bit each.

    Args:
        weight: of type float16, bfloat16 or float32.
        value_type: float32, float16 or bfloat16 of the stored values.

    Raises:
        PackedWeightError: as :func:`pack_blocks`.
    """
    shape = checked_shape(weight)
    stored = stored_type(Kind.BITMASK, value_type)
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
