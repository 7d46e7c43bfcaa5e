"""Ways to pack a matrix, and which of them suit its zeros."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from spa_onnx.runtime.packed_kinds import BLOCK_ROWS, SEGMENT, Kind, ValueType
from spa_onnx.runtime.packing import pack_bitmask, pack_blocks, pack_segments, pack_tiles
from spa_onnx.runtime.packing_two_of_four import pack_two_of_four

Floats = NDArray[np.float32]

ONE_TOKEN = 1
"""Tokens up to which the formats for one token at a time are tried."""

FEW_TOKENS = 8
"""Tokens below which blocks of fewer than 16 rows have no lanes to fill but with rows."""

SPEED: Mapping[int, float] = {1: 0.55, 2: 0.68, 4: 0.86, 8: 0.84, 16: 0.85, 32: 0.87}
"""Share of the peak that blocks of so many rows reach, roughly: orders what is measured."""

MOST_PATTERNS = 4
"""Kinds of blocks that are measured for one layer."""

PANEL_BYTES = (64 << 10, 32 << 10, 16 << 10)
"""Of the columns of a chunk in a tile, so that they stay in the first cache while rows pass."""

PLANE_BYTES = (32 << 10, 16 << 10, 8 << 10)
"""The same, where a column is a channel's plane, of which a tile's taps read more than a tile."""

VECTOR_BYTES = 64

PANEL_TILES: Mapping[int, tuple[int, ...]] = {1: (8, 6, 4), 2: (6, 4), 4: (6, 5, 4), 8: (3, 2)}
"""Vectors of a tile by rows of a block: as many as sums fit the registers, and fewer."""

FEW_TILES = (3, 2)
"""The same for blocks of more rows, eight of which are multiplied at a time."""

LANE_TILES = (12, 8)
"""Tokens of a tile where outputs lie in lanes, as with blocks of 16 rows and more."""


@dataclass(frozen=True, slots=True, order=True)
class Packing:
    """A way to store a matrix.

    Attributes:
        kind: of :class:`Kind`, by its number.
        block_rows: rows of a block.
        chunk: columns that are stored together; 0 for all.
        tile: vectors or tokens that the kernel does at once; 0 leaves it to the kernel.
        block_columns: columns of a tile for tensor cores.
        engine: library that multiplies with it in place of our kernels; "" for none.
    """

    kind: int
    block_rows: int = 1
    chunk: int = 0
    tile: int = 0
    block_columns: int = 1
    engine: str = ""

    def __str__(self) -> str:
        match Kind(self.kind):
            case Kind.BITMASK:
                return "bitmask"
            case Kind.SEGMENTS:
                return "1x16"
            case Kind.BLOCKS:
                chunk = f"/{self.chunk}" if self.chunk else ""
                return f"{self.block_rows}x1{chunk}" + (f" by {self.tile}" if self.tile else "")
            case Kind.TILES:
                return f"tiles {self.block_rows}x{self.block_columns}"
            case Kind.TWO_OF_FOUR:
                return f"2:4 by {self.engine}" if self.engine else "2:4"

    @property
    def stored(self) -> Packing:
        """Return what tells the bytes from those of other packings."""
        return replace(self, tile=0, engine="")

    def pack(self, matrix: Floats, values: ValueType = ValueType.FLOAT32) -> bytes:
        """Return the bytes of a matrix, its values stored in a type."""
        stored = values.dtype
        match Kind(self.kind):
            case Kind.BITMASK:
                return pack_bitmask(matrix, stored)
            case Kind.SEGMENTS:
                return pack_segments(matrix, stored)
            case Kind.BLOCKS:
                return pack_blocks(matrix, self.block_rows, self.chunk or None, stored)
            case Kind.TILES:
                return pack_tiles(matrix, self.block_rows, self.block_columns, stored)
            case Kind.TWO_OF_FOUR:
                return pack_two_of_four(matrix, stored)


@dataclass(frozen=True, slots=True)
class Zeros:
    """Where the zeros of a matrix are.

    Attributes:
        density: share of numbers that are not zero.
        stored: share of numbers that blocks of so many rows store.
        segments: share of numbers that segments store.
        tiles: share of numbers that tiles of so many rows and columns store.
        two_of_four: at most two of four neighbouring columns have numbers.
    """

    density: float
    stored: Mapping[int, float]
    segments: float
    tiles: Mapping[tuple[int, int], float] = field(default_factory=dict)
    two_of_four: bool = False

    def of(self, packing: Packing) -> float:
        """Return the share of numbers that a packing stores."""
        match Kind(packing.kind):
            case Kind.BITMASK:
                return self.density
            case Kind.SEGMENTS:
                return self.segments
            case Kind.BLOCKS:
                return self.stored[packing.block_rows]
            case Kind.TILES:
                return self.tiles[packing.block_rows, packing.block_columns]
            case Kind.TWO_OF_FOUR:
                return 0.5


def count_zeros(matrix: Floats) -> Zeros:
    """Return where the zeros of a matrix are."""
    kept = matrix != 0
    size = max(1, kept.size)
    stored: dict[int, float] = {}
    rows = kept
    for block_rows in BLOCK_ROWS:
        if block_rows > 1:  # twice as many rows as the blocks before
            if len(rows) % 2:
                rows = np.concatenate([rows, np.zeros_like(rows[:1])])
            rows = rows[::2] | rows[1::2]
        stored[block_rows] = int(np.count_nonzero(rows)) * block_rows / size
    segments = _segments(kept) * SEGMENT / size
    return Zeros(int(np.count_nonzero(kept)) / size, stored, segments)


def _segments(kept: NDArray[np.bool_]) -> int:
    """Return how many groups of 16 neighbouring columns have a number."""
    beside = -kept.shape[1] % SEGMENT
    wide = np.pad(kept, ((0, 0), (0, beside))) if beside else np.ascontiguousarray(kept)
    eights = wide.view(np.uint64)  # eight at once
    return int(np.count_nonzero(eights[:, ::2] | eights[:, 1::2]))


def packings(zeros: Zeros, tokens: int | None) -> list[Packing]:
    """Return ways to pack a matrix, the likeliest first.

    Args:
        zeros: of the matrix.
        tokens: that it is multiplied with at once; None for a convolution.
    """
    found = [Packing(Kind.BLOCKS, rows) for rows in _block_rows(zeros, tokens)]
    if tokens is not None and tokens <= ONE_TOKEN:
        dense_segments = zeros.segments < 1.5 * zeros.density
        found.append(Packing(Kind.SEGMENTS if dense_segments else Kind.BITMASK))
    return found


def refined(packing: Packing, columns: int, tokens: int | None, taps: int) -> list[Packing]:
    """Return ways to run blocks of one size: tiles, and chunks of columns that suit them.

    Args:
        packing: blocks without either.
        columns: of the matrix.
        tokens: as for :func:`packings`.
        taps: of a convolution's kernel, else 1.
    """
    if packing.kind != Kind.BLOCKS or (tokens is not None and tokens < FEW_TOKENS):
        return []
    if packing.block_rows not in PANEL_TILES:
        return [replace(packing, tile=tile) for tile in LANE_TILES]
    return [
        replace(packing, tile=tile, chunk=chunk)
        for tile, chunk in tiles_and_chunks(packing.block_rows, columns, taps)
    ]


def tiles_and_chunks(block_rows: int, columns: int, taps: int) -> list[tuple[int, int]]:
    """Return vectors of a tile, and columns of a chunk or 0 for all, that are worth trying.

    Args:
        block_rows: rows of a block.
        columns: of the matrix.
        taps: of a convolution's kernel, else 1.
    """
    found = []
    for tile in PANEL_TILES.get(block_rows, FEW_TILES):
        found.append((tile, 0))
        for size in PLANE_BYTES if taps > 1 else PANEL_BYTES:
            chunk = max(16, size // (tile * VECTOR_BYTES) // 16 * 16) * taps
            if chunk < columns and (tile, chunk) not in found:
                found.append((tile, chunk))
    return found


def _block_rows(zeros: Zeros, tokens: int | None) -> list[int]:
    """Return sizes of blocks by how fast they may be, the fastest first."""
    if tokens is None:
        allowed = [rows for rows in BLOCK_ROWS if rows <= 8]
    elif tokens < FEW_TOKENS:
        allowed = [1, 16, 32]
    else:
        allowed = list(BLOCK_ROWS)
    ranked = sorted(allowed, key=lambda rows: zeros.stored[rows] / SPEED[rows])
    best = zeros.stored[ranked[0]] / SPEED[ranked[0]]
    near = [rows for rows in ranked if zeros.stored[rows] / SPEED[rows] <= NEAR * best]
    return near[:MOST_PATTERNS]


NEAR = 1.6
"""How much slower than the likeliest a way may look that is still measured."""
