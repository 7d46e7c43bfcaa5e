"""Divide items into groups of one size, so that a pattern loses least: swap pairs while it helps.

Every item has worths at many places (a row of a weight: at every input). A group is what a block
spans, or N:M chooses among, at each place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import IntArray

Floats = NDArray[np.float32]

CANDIDATES = 256
"""Items that each item is tried against in a sweep."""

SWEEPS = 8
"""Most times that every item is tried."""


class Value(Protocol):
    """What groups are worth under a pattern, the groups' items on the last axis but one."""

    def of(self, members: Floats) -> Floats:
        """Return the value of groups, ``(..., items, places)`` to ``(...)``."""
        ...


@dataclass(frozen=True, slots=True)
class Alike:
    """Items are alike where their large worths meet: smoother than what blocks are worth."""

    def of(self, members: Floats) -> Floats:
        """Return the sum of squares of the blocks' sums."""
        squares: Floats = np.square(members.sum(axis=-2)).sum(axis=-1)
        return squares


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks stay whole or go: their sums count as far as they are above a threshold."""

    threshold: float

    def of(self, members: Floats) -> Floats:
        """Return ``sum max(0, sum of the block - threshold)``."""
        above: Floats = np.maximum(members.sum(axis=-2) - self.threshold, 0).sum(axis=-1)
        return above


@dataclass(frozen=True, slots=True)
class BestOf:
    """Of every group's items some stay at each place."""

    kept: int

    def of(self, members: Floats) -> Floats:
        """Return the sum of the largest."""
        size = members.shape[-2]
        best = np.partition(members, size - self.kept, axis=-2)[..., size - self.kept :, :]
        summed: Floats = best.sum(axis=(-2, -1))
        return summed


def threshold(worth: Floats, size: int, sparsity: float) -> float:
    """Return the sum that a block of neighbours must have to stay."""
    whole = len(worth) // size * size
    sums = worth[:whole].reshape(-1, size, worth.shape[1]).sum(axis=1)
    return float(np.quantile(sums, sparsity))


def grouped(
    worths: Sequence[tuple[Floats, Value]],
    size: int,
    rng: np.random.Generator,
    start: IntArray | None = None,
) -> IntArray:
    """Return the items in an order whose runs of ``size`` are worth most.

    Args:
        worths: worths of the items, ``(items, places)`` each, and what groups of them are worth.
        size: items of a group; what is left over stays at the end.
        rng: draws the pairs that are tried.
        start: the order to begin with, that of the items if None.
    """
    count = len(worths[0][0])
    order = np.arange(count) if start is None else start.copy()
    whole = count // size * size
    if whole <= size:
        return order
    for _ in range(SWEEPS):
        swaps = sum(_improve(order, whole, size, k, worths, rng) for k in rng.permutation(whole))
        if not swaps:
            break
    return order


def _improve(
    order: IntArray,
    whole: int,
    size: int,
    place: int,
    worths: Sequence[tuple[Floats, Value]],
    rng: np.random.Generator,
) -> bool:
    """Swap one item with the one with which that helps most; say whether any did."""
    start = place // size * size
    others = np.concatenate([np.arange(start), np.arange(start + size, whole)])
    if len(others) > CANDIDATES:
        others = rng.choice(others, CANDIDATES, replace=False)
    own = order[start : start + size]
    inside = np.repeat(own[None], len(others), axis=0)
    inside[:, place - start] = order[others]
    theirs = order[(others // size * size)[:, None] + np.arange(size)]
    changed = theirs.copy()
    changed[np.arange(len(others)), others % size] = order[place]
    gain, before = np.zeros(len(others)), np.zeros(len(others))
    for worth, value in worths:
        gain += value.of(worth[inside]) + value.of(worth[changed])
        before += value.of(worth[own]) + value.of(worth[theirs])
    gain -= before
    best = int(gain.argmax())
    if gain[best] <= LEAST * before[best]:
        return False
    order[place], order[others[best]] = order[others[best]], order[place]
    return True


LEAST = 1e-5
"""Gain below which a swap is rounding, as a share of what both groups are worth."""
