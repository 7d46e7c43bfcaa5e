"""Ways to pack a matrix for a GPU, and how many bytes each stores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spa_onnx.lower.packings import Packing, Zeros
from spa_onnx.lower.weights import Floats
from spa_onnx.runtime.packed_kinds import FRAGMENT, TILE_SIDES, Kind
from spa_onnx.runtime.two_of_four import GROUP

Kept = NDArray[np.bool_]

FEW_TOKENS = 8
"""Tokens of a linear layer up to which bit masks are tried: they have no kernel for more."""

MOST_WAYS = 4
"""Ways that are measured for one layer."""

NEAR = 1.6
"""How many times the bytes of the smallest way another may store that is still measured."""

VALUE, INDEX = 2, 2
"""Bytes of a stored number, and of the place of a tile."""

MASK = 1 / 8
"""Bytes of a bit mask for each number; two of four have as many of metadata."""

BOTH = 2
"""Numbers of a group of four that sparse tensor cores multiply."""


def count_tiles(matrix: Floats) -> Zeros:
    """Return where the zeros of a matrix are, as far as tensor cores can skip them."""
    kept = matrix != 0
    size = max(1, kept.size)
    fragments = _any_in(kept, FRAGMENT, FRAGMENT)
    tiles = {}
    for rows in TILE_SIDES:
        for columns in TILE_SIDES:
            stored = _any_in(fragments, rows // FRAGMENT, columns // FRAGMENT)
            tiles[rows, columns] = int(np.count_nonzero(stored)) * rows * columns / size
    density = int(np.count_nonzero(kept)) / size
    return Zeros(density, {}, 1.0, tiles, _obeys(kept))


def _any_in(kept: Kept, rows: int, columns: int) -> Kept:
    """Return which tiles of so many rows and columns have a number."""
    below, beside = -kept.shape[0] % rows, -kept.shape[1] % columns
    wide = np.pad(kept, ((0, below), (0, beside)))
    tiled = wide.reshape(wide.shape[0] // rows, rows, wide.shape[1] // columns, columns)
    return np.asarray(tiled.any(axis=(1, 3)))


def _obeys(kept: Kept) -> bool:
    """Say whether at most two of every four neighbouring columns have numbers."""
    wide = np.pad(kept, ((0, 0), (0, -kept.shape[1] % GROUP)))
    groups = wide.reshape(len(wide), -1, GROUP)
    return bool((np.count_nonzero(groups, axis=2) <= BOTH).all())


def ways_to_pack(zeros: Zeros, *, tokens: int, is_linear: bool) -> list[Packing]:
    """Return ways to pack a matrix that may be fast, what stores the fewest bytes first.

    Args:
        zeros: of the matrix.
        tokens: that it is multiplied with at once; of a convolution places of all images.
        is_linear: it is no convolution's.
    """
    found = [
        Packing(Kind.TILES, rows, block_columns=columns)
        for rows in TILE_SIDES
        for columns in TILE_SIDES
    ]
    if zeros.two_of_four:
        found.append(Packing(Kind.TWO_OF_FOUR))
    if is_linear and tokens <= FEW_TOKENS:
        found.append(Packing(Kind.BITMASK))
    found.sort(key=lambda way: stored_bytes(way, zeros))
    most = NEAR * stored_bytes(found[0], zeros)
    return [way for way in found if stored_bytes(way, zeros) <= most][:MOST_WAYS]


CUSPARSELT = "cusparselt"
"""Engine that has kernels for two of four, too, and the name of these in our library."""


def by_engine(ways: Iterable[Packing]) -> list[Packing]:
    """Return those ways that another library may run, by that library."""
    return [replace(way, engine=CUSPARSELT) for way in ways if way.kind == Kind.TWO_OF_FOUR]


def stored_bytes(way: Packing, zeros: Zeros) -> float:
    """Return the bytes that a way stores for each number of the matrix, zeros too."""
    if way.kind == Kind.TILES:
        return zeros.of(way) * (VALUE + INDEX / (way.block_rows * way.block_columns))
    return zeros.of(way) * VALUE + MASK
