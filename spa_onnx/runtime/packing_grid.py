"""Matrices packed as a grid of blocks of one size, of which those with nonzeros are stored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.dense_weight import (
    Weight,
    checked_count,
    converted,
    filled_up,
    slabs,
)
from spa_onnx.runtime.fragments import to_fragments
from spa_onnx.runtime.packed_header import PackedHeader, header_for
from spa_onnx.runtime.packed_kinds import Kind, ValueType
from spa_onnx.runtime.sections import index_type, sealed, section

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


def packed_grid(
    weight: Weight, kind: Kind, block: tuple[int, int], chunk: int, stored: ValueType
) -> bytes:
    """Return the blocks of a matrix that is a grid of them.

    Args:
        weight: ``(rows, columns)``.
        kind: BLOCKS, SEGMENTS or TILES.
        block: rows and columns of a block.
        chunk: columns that are stored together; of BLOCKS alone not all.
        stored: type of the values.
    """
    per_chunk = -(-chunk // block[1])
    counts = np.concatenate(
        [
            block_counts(has_nonzeros(blocks_of(weight[s], block)), per_chunk)
            for s in slabs(weight, block[0])
        ]
    )
    blocks = checked_count(int(counts.sum()))
    shape = weight.shape[0], weight.shape[1]
    header = header_for(kind, shape, stored, blocks, block, chunk)
    packed = bytearray(header.total_size)
    starts = filled_starts(header, packed, counts)
    indices = section(header, packed, "indices", index_type(header))
    values = section(header, packed, "values", stored.dtype)
    values = values.reshape(blocks, header.block_values)
    for rows in slabs(weight, block[0]):
        grid = blocks_of(weight[rows], block)
        first = rows.start // block[0]
        row, place = np.nonzero(has_nonzeros(grid))
        where = destinations(row, place // per_chunk, starts[:, first:], counts[first:])
        indices[where] = place
        kept = converted(grid[row, place], stored)
        kept = to_fragments(kept) if kind is Kind.TILES else kept
        values[where] = kept.reshape(row.size, header.block_values)
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


def blocks_of(weight: Weight, block: tuple[int, int]) -> Weight:
    """Return a matrix as ``(row blocks, places, block rows, block columns)``, filled with zeros."""
    whole = filled_up(weight, *block)
    grid = whole.reshape(whole.shape[0] // block[0], block[0], -1, block[1])
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
