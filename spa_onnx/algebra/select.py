"""Choose lanes by constant indices; regular index arrays are recognised before permutations."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

import numpy as np

from spa_onnx.algebra.cut import cut
from spa_onnx.algebra.expression import Dim, Expr, IntArray, is_fixed, size_of, sole_factor
from spa_onnx.algebra.size import Size
from spa_onnx.algebra.space import NoRefinementError, Space

FEW_RUNS = 8
"""Contiguous runs up to which a selection is always written as cuts."""


class KeptAxis(Protocol):
    """What a plan leaves of an axis."""

    def length(self, expr: Expr) -> Size:
        """Return the new length."""
        ...

    def places(self, expr: Expr) -> IntArray:
        """Return the old position of every new one."""
        ...

    def positions(self, expr: Expr) -> IntArray:
        """Return the new position of every old one, -1 where it is gone."""
        ...


Positions = Callable[[KeptAxis], IntArray]
"""Returns the indices that make the same selection of what is kept of the axis."""


def select(space: Space, expr: Expr, indices: IntArray) -> tuple[Expr, Positions]:
    """Return the lanes ``indices`` of an axis, in their order, and how to choose them again.

    Raises:
        NoRefinementError: lanes are chosen irregularly, or repeated in no pattern.
    """
    expr = space.normal(expr)
    lanes = size_of(expr)
    if is_fixed(expr):
        return space.alike(expr, len(indices)), lambda _: indices
    if not isinstance(lanes, int):
        raise NoRefinementError("indices into an axis of dynamic length")
    starts = np.flatnonzero(np.diff(indices) != 1) + 1
    if len(starts) < FEW_RUNS or len(starts) * 4 <= min(len(indices), 1024):
        return _select_runs(space, expr, indices, starts)
    repeated = _select_repeated(space, expr, indices, lanes)
    if repeated is not None:
        return repeated
    if len(np.unique(indices)) < len(indices):
        raise NoRefinementError("lanes repeat without a pattern")
    if len(indices) == lanes:
        chosen = space.permuted(expr, indices)
        return chosen, lambda kept: chosen_again(kept, expr, chosen, indices)
    return _select_some(space, expr, indices, lanes)


def _number(size: Size) -> int:
    if not isinstance(size, int):
        raise TypeError(f"length {size} of an axis that constant indices select from")
    return size


def _count(size: Size) -> IntArray:
    return np.arange(_number(size))


def chosen_again(kept: KeptAxis, source: Expr, chosen: Expr, indices: IntArray) -> IntArray:
    """Return the indices into what stays of ``source`` that give what stays of ``chosen``.

    Both axes say themselves in which order their lanes stand afterwards.
    """
    return kept.positions(source)[indices[kept.places(chosen)]]


def _select_runs(
    space: Space, expr: Expr, indices: IntArray, starts: IntArray
) -> tuple[Expr, Positions]:
    """Cut runs out; their new places follow from lengths, so rows may be uneven."""
    runs: list[tuple[Expr, Expr]] = []
    for start, end in pairwise([0, *starts.tolist(), len(indices)]):
        before, tail = cut(space, expr, int(indices[start]))
        run, _ = cut(space, tail, end - start)
        runs.append((before, run))
        expr = space.normal(expr)

    def positions(kept: KeptAxis) -> IntArray:
        places = ((kept.length(before), kept.length(run)) for before, run in runs)
        return np.concatenate([_count(count) + _number(first) for first, count in places])

    return space.concat(run for _, run in runs), positions


def _select_repeated(
    space: Space, expr: Expr, indices: IntArray, lanes: int
) -> tuple[Expr, Positions] | None:
    times, rest = divmod(len(indices), lanes)
    if rest or times < 2:
        return None
    if (indices == np.repeat(np.arange(lanes), times)).all():
        repeated = space.product([expr, space.count(times)])
        return repeated, lambda kept: np.repeat(_count(kept.length(expr)), times)
    if (indices == np.tile(np.arange(lanes), times)).all():
        tiled = space.product([space.count(times), expr])
        return tiled, lambda kept: np.tile(_count(kept.length(expr)), times)
    return None


def _select_some(space: Space, expr: Expr, indices: IntArray, lanes: int) -> tuple[Expr, Positions]:
    """Bind a dim to a permutation of chosen and other lanes, so that each can be cut."""
    dim = sole_factor(expr)
    if not isinstance(dim, Dim):
        raise NoRefinementError("an irregular selection of refined lanes")
    chosen = space.dim(len(indices), dim.name)
    others = space.dim(lanes - len(indices), dim.name)
    order = np.empty(lanes, np.int64)
    order[indices] = np.arange(len(indices))
    order[np.setdiff1d(np.arange(lanes), indices)] = np.arange(len(indices), lanes)
    space.bind(dim, space.permuted(space.concat([chosen, others]), order))
    return space.normal(chosen), lambda kept: chosen_again(kept, expr, chosen, indices)
