"""Packed bytes back to a matrix, with every rule of the layout checked.

The bytes may come from anyone: nothing is allocated that they or the caller do not bound.
"""

from __future__ import annotations

import zlib
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.packed_header import (
    CHECKED_AGAIN,
    CHECKED_SIZE,
    Bytes,
    Kind,
    PackedHeader,
    PackedWeightError,
    ValueType,
    expect,
    read_header,
)

MOST_ELEMENTS = 2**30
"""Elements of a matrix at most, where the caller expects none in particular: 4 GiB."""

PART = 2**20
"""Blocks or bits that are handled at once."""

Weight = npt.NDArray[np.floating[Any]]
Array = npt.NDArray[Any]


def unpack(packed: Bytes, most_elements: int = MOST_ELEMENTS) -> Weight:
    """Return the dense matrix ``(rows, columns)`` of a packed one, in the type of its values.

    Raises:
        PackedWeightError: if the bytes break any rule of the layout, or the matrix has more
            elements than allowed.
    """
    header = read_header(packed)
    elements = header.rows * header.columns
    if elements > most_elements:
        raise PackedWeightError(
            f"a matrix of shape ({header.rows}, {header.columns}), at most {most_elements} "
            "elements are expected"
        )
    expect("CRC-32", header.crc, checksum(packed))
    starts = section(header, packed, "starts", np.dtype("<u4"))
    check_starts(header, starts.reshape(header.chunks, -1))
    weight = np.zeros((header.rows, header.columns), ValueType(header.value_type).dtype)
    fill = fill_masked if header.kind == Kind.BITMASK else fill_blocks
    fill(header, packed, starts, weight)
    return weight


def fill_blocks(header: PackedHeader, packed: Bytes, starts: Array, weight: Weight) -> None:
    """Write the blocks to their places."""
    indices = section(header, packed, "indices", index_type(header))
    shape = header.blocks, header.block_rows, header.block_columns
    values = section(header, packed, "values", weight.dtype).reshape(shape)
    before = (-1, -1)
    for first in range(0, header.blocks, PART):
        part = slice(first, min(first + PART, header.blocks))
        # the last start that is not behind a block; starts repeat at the end of a chunk
        home = (
            np.searchsorted(starts, np.arange(part.start, part.stop, dtype=np.uint32), "right") - 1
        )
        chunk, row = np.divmod(home, header.row_blocks + 1)
        place = indices[part].astype(np.int64)
        check_places(header, chunk, row, place)
        if home[0] == before[0] and place[0] <= before[1]:
            raise not_rising(int(row[0]), int(place[0]))
        before = int(home[-1]), int(place[-1])
        for r in range(header.block_rows):
            for c in range(header.block_columns):
                put(weight, row * header.block_rows + r, place * header.block_columns + c,
                    values[part, r, c])  # fmt: skip


def put(weight: Weight, rows: Array, columns: Array, values: Array) -> None:
    """Write values to elements; those beside the matrix must be 0, and those below do not count."""
    below = rows >= weight.shape[0]
    beside = columns >= weight.shape[1]
    if values[beside].any():
        raise PackedWeightError(f"a value beyond the {weight.shape[1]} columns is not 0")
    inside = ~(below | beside)
    weight[rows[inside], columns[inside]] = values[inside]


def fill_masked(header: PackedHeader, packed: Bytes, starts: Array, weight: Weight) -> None:
    """Write values to where bits of the mask are set."""
    masks = section(header, packed, "indices", np.dtype("u1")).reshape(header.rows, -1)
    values = section(header, packed, "values", weight.dtype)
    step = max(1, PART // (masks.shape[1] * 8))
    for first in range(0, header.rows, step):
        last = min(first + step, header.rows)
        kept = np.unpackbits(masks[first:last], axis=1, bitorder="little").astype(bool)
        if kept[:, header.columns :].any():
            raise PackedWeightError(f"a bit beyond the {header.columns} columns is set")
        counts = kept.sum(axis=1)
        wrong = np.flatnonzero(counts != np.diff(starts[first : last + 1].astype(np.int64)))
        if wrong.size:
            raise PackedWeightError(
                f"row {first + wrong[0]} has {counts[wrong[0]]} bits set, which its start and "
                "the next contradict"
            )
        part = values[starts[first] : starts[last]]
        weight[first:last][kept[:, : header.columns]] = part


def section(
    header: PackedHeader,
    packed: Bytes,
    name: Literal["starts", "indices", "values"],
    dtype: np.dtype[Any],
) -> Array:
    """Return a section as a view of the packed bytes."""
    size = {
        "starts": header.starts_size,
        "indices": header.indices_size,
        "values": header.values_size,
    }[name]
    return np.frombuffer(packed, dtype, size // dtype.itemsize, getattr(header, name))


def index_type(header: PackedHeader) -> np.dtype[Any]:
    """Return the type of the indices of blocks."""
    return np.dtype(f"<u{header.index_bytes}")


def check_starts(header: PackedHeader, starts: Array) -> None:
    """Refuse starts that do not rise from 0 to the number of blocks, chunk after chunk."""
    expect("first start", int(starts[0, 0]), 0)
    expect("last start", int(starts[-1, -1]), header.blocks)
    apart = np.flatnonzero(starts[1:, 0] != starts[:-1, -1])
    if apart.size:
        raise PackedWeightError(f"chunk {apart[0] + 1} does not start where the one before ends")
    falling = np.argwhere(starts[:, 1:] < starts[:, :-1])
    if falling.size:
        raise PackedWeightError(f"row block {falling[0][1]} ends before it starts")


def check_places(header: PackedHeader, chunk: Array, row: Array, place: Array) -> None:
    """Refuse indices outside their chunk, and such that do not rise within a row block."""
    per_chunk = header.block_places
    if header.kind == Kind.BLOCKS:
        per_chunk = header.chunk_columns
    ends = np.minimum((chunk + 1) * per_chunk, header.block_places)
    outside = np.flatnonzero((place < chunk * per_chunk) | (place >= ends))
    if outside.size:
        j = outside[0]
        raise PackedWeightError(
            f"index {place[j]} in row block {row[j]}, outside chunk {chunk[j]} "
            f"({chunk[j] * per_chunk} to {ends[j] - 1})"
        )
    same = (row[1:] == row[:-1]) & (chunk[1:] == chunk[:-1])
    falling = np.flatnonzero(same & (place[1:] <= place[:-1]))
    if falling.size:
        raise not_rising(int(row[falling[0] + 1]), int(place[falling[0] + 1]))


def not_rising(row: int, place: int) -> PackedWeightError:
    """Return the error of an index that is not greater than the one before."""
    return PackedWeightError(f"indices of row block {row} do not rise at {place}")


def checksum(packed: Bytes) -> int:
    """Return the CRC-32 of everything but the checksum's own field and the one behind it."""
    view = memoryview(packed)
    return zlib.crc32(view[CHECKED_AGAIN:], zlib.crc32(view[:CHECKED_SIZE]))
