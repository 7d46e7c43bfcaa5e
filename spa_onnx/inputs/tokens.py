"""Made-up sequences of ids with what goes with them: masks, positions and segments.

Tables of words are mostly sorted by how frequent the words are, after a first part of marks that
texts hold few of. So ids are drawn from a mixture: Zipf's law over what follows the marks, and an
even draw, for a table in another order and for the long tail.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

MARKS = 0.03
"""Share of a table's rows, at its start, that hold marks and unused rows."""

RARE = 0.01
"""Share of the ids that are drawn from all rows of the start."""

EVEN = 0.5
"""Share of the ids that are drawn evenly."""

SMALL_TABLE = 64
"""Rows of a table that holds categories, not words."""

SHORTEST = 0.25
"""Share of the positions that the shortest sequence fills."""


def make_ids(shape: tuple[int, ...], rows: int, rng: np.random.Generator) -> IntArray:
    """Return ids below ``rows``; words repeat within a sequence as frequent words do."""
    if rows <= SMALL_TABLE:
        return rng.integers(0, max(1, rows), shape)
    start = int(MARKS * rows)
    logarithms = rng.uniform(0.0, np.log(rows - start), shape)  # 1/rank, Zipf's law
    ids = start + np.minimum(np.exp(logarithms).astype(np.int64), rows - start) - 1
    kind = rng.random(shape)
    ids = np.where(kind < EVEN, rng.integers(start, rows, shape), ids)
    found: IntArray = np.where(kind > 1 - RARE, rng.integers(0, start + 1, shape), ids)
    return found


def make_mask(shape: tuple[int, ...], rng: np.random.Generator) -> IntArray:
    """Return ones and, behind the end of each sequence ``(items, length)``, zeros.

    The first item fills its row; masks of another rank are ones.
    """
    if len(shape) != 2:
        return np.ones(shape, np.int64)
    items, length = shape
    ends = np.ceil(length * rng.uniform(SHORTEST, 1.0, (items, 1)))
    ends[:1] = length
    return (np.arange(length) < ends).astype(np.int64)


def make_positions(shape: tuple[int, ...], rows: int) -> IntArray:
    """Return 0, 1, 2, ... along the last axis, within a table of ``rows`` if there is one."""
    count = np.arange(shape[-1] if shape else 1)
    if rows:
        count = np.minimum(count, rows - 1)
    return np.broadcast_to(count if shape else count[0], shape).astype(np.int64)


def make_segments(shape: tuple[int, ...], rows: int, rng: np.random.Generator) -> IntArray:
    """Return zeros, and from a random place on ones where a table has a row for them."""
    if rows == 1 or not shape:
        return np.zeros(shape, np.int64)
    border = rng.integers(1, 2 * shape[-1] + 1, (*shape[:-1], 1))
    return (np.arange(shape[-1]) >= border).astype(np.int64)
