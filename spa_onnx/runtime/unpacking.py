"""Packed bytes back to a matrix, with every rule of the layout checked.

The bytes may come from anyone: nothing is allocated that they or the caller do not bound.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.fragments import LANE_VALUES, LANES, from_fragments
from spa_onnx.runtime.packed_header import (
    Bytes,
    Kind,
    PackedHeader,
    PackedWeightError,
    ValueType,
    expect,
    read_header,
)
from spa_onnx.runtime.packed_kinds import FRAGMENT, PAIR_WORDS
from spa_onnx.runtime.sections import checksum, index_type, section
from spa_onnx.runtime.two_of_four import (
    BLOCK_GROUPS,
    GROUP,
    IS_SOUND,
    NO_CODES,
    from_words,
    positions,
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
    weight = np.zeros((header.rows, header.columns), ValueType(header.value_type).dtype)
    if header.kind == Kind.TWO_OF_FOUR:
        fill_two_of_four(header, packed, weight)
        return weight
    starts = section(header, packed, "starts", np.dtype("<u4"))
    check_starts(header, starts.reshape(header.chunks, -1))
    fill = fill_masked if header.kind == Kind.BITMASK else fill_blocks
    fill(header, packed, starts, weight)
    return weight


def fill_blocks(header: PackedHeader, packed: Bytes, starts: Array, weight: Weight) -> None:
    """Write the blocks to their places."""
    indices = section(header, packed, "indices", index_type(header))
    values = section(header, packed, "values", weight.dtype)
    values = values.reshape(header.blocks, header.block_values)
    step = max(1, PART // header.block_values)
    before = (-1, -1)
    for first in range(0, header.blocks, step):
        part = slice(first, min(first + step, header.blocks))
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
        put(
            weight,
            (row * header.block_rows)[:, None, None] + np.arange(header.block_rows)[:, None],
            (place * header.block_columns)[:, None, None] + np.arange(header.block_columns),
            as_blocks(header, values[part]),
        )


def as_blocks(header: PackedHeader, values: Weight) -> Weight:
    """Return stored values ``(n, values of a block)`` as ``(n, block rows, block columns)``."""
    if header.kind != Kind.TILES:
        return values.reshape(-1, header.block_rows, header.block_columns)
    squares = header.block_columns // FRAGMENT, header.block_rows // FRAGMENT
    return from_fragments(values.reshape(-1, *squares, LANES, LANE_VALUES))


def fill_two_of_four(header: PackedHeader, packed: Bytes, weight: Weight) -> None:
    """Write the values to those of their group's columns that the metadata names."""
    words = section(header, packed, "indices", index_type(header)).reshape(-1, PAIR_WORDS)
    values = section(header, packed, "values", weight.dtype)
    values = values.reshape(header.blocks, 1, 1, LANES, LANE_VALUES)
    part = max(1, PART // (2 * header.block_values))
    for first in range(0, len(words), part):
        codes = from_words(words[first : first + part])
        row, pair = np.divmod(np.arange(first, first + len(codes)), header.pairs)
        step = 2 * pair[:, None] + np.arange(2)
        stored = step < header.block_places
        check_codes(codes, stored)
        row, step, codes = row[np.nonzero(stored)[0]], step[stored], codes[stored]
        groups = GROUP * (BLOCK_GROUPS * step[:, None] + np.arange(BLOCK_GROUPS))
        columns = groups[:, None, :, None] + positions(codes)
        put(
            weight,
            (row * FRAGMENT)[:, None, None] + np.arange(FRAGMENT)[:, None],
            columns.reshape(-1, FRAGMENT, FRAGMENT),
            from_fragments(values[row * header.block_places + step]),
        )


def check_codes(codes: Array, stored: Array) -> None:
    """Refuse groups that do not keep two columns in order, and metadata where no block is."""
    if not IS_SOUND[codes].all():
        raise PackedWeightError("metadata names no two columns of four in rising order")
    if (codes[~stored] != NO_CODES).any():
        raise PackedWeightError("metadata beyond the last block is not 0x44444444")


def put(weight: Weight, rows: Array, columns: Array, values: Weight) -> None:
    """Write values to elements; those beside the matrix must be 0, and those below do not count.

    Args:
        weight: ``(rows, columns)``.
        rows: of each value, or of those beside it too.
        columns: of each value, or of those below it too.
        values: ``(n, rows, columns)``.
    """
    rows, columns = np.broadcast_to(rows, values.shape), np.broadcast_to(columns, values.shape)
    beside = columns >= weight.shape[1]
    if (values[beside] != 0).any():
        raise PackedWeightError(f"a value beyond the {weight.shape[1]} columns is not 0")
    inside = ~beside & (rows < weight.shape[0])
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
