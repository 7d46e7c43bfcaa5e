"""Choose lanes by constant indices; regular index arrays are recognised before permutations."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from spa_onnx.algebra.expression import Dim, Expr, IntArray, is_fixed, size_of, sole_factor
from spa_onnx.algebra.refine import cut
from spa_onnx.algebra.space import NoRefinementError, Space

FEW_RUNS = 8
"""Contiguous runs up to which a selection is always written as cuts."""


def select(space: Space, expr: Expr, indices: IntArray) -> Expr:
    """Return the lanes ``indices`` of an axis, in their order.

    Raises:
        NoRefinementError: lanes are chosen irregularly, or repeated in no pattern.
    """
    expr = space.normal(expr)
    lanes = size_of(expr)
    if is_fixed(expr):
        return space.fixed(len(indices))
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
        return space.permuted(expr, indices)
    return _select_some(space, expr, indices, lanes)


def _select_runs(space: Space, expr: Expr, indices: IntArray, starts: IntArray) -> Expr:
    parts: list[Expr] = []
    for start, end in pairwise([0, *starts.tolist(), len(indices)]):
        _, tail = cut(space, expr, int(indices[start]))
        run, _ = cut(space, tail, end - start)
        parts.append(run)
        expr = space.normal(expr)
    return space.concat(parts)


def _select_repeated(space: Space, expr: Expr, indices: IntArray, lanes: int) -> Expr | None:
    times, rest = divmod(len(indices), lanes)
    if rest or times < 2:
        return None
    if (indices == np.repeat(np.arange(lanes), times)).all():
        return space.product([expr, space.fixed(times)])
    if (indices == np.tile(np.arange(lanes), times)).all():
        return space.product([space.fixed(times), expr])
    return None


def _select_some(space: Space, expr: Expr, indices: IntArray, lanes: int) -> Expr:
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
    return space.normal(chosen)
