"""What kept lanes of dims mean for axes: lengths, masks and slices of tensors.

Work on lanes is numpy on index arrays. A dim may keep different lanes in every row of another dim
("uneven rows"); such an axis is sliced row by row.

The new axis is built from what stays of its dims as the old one was from the dims themselves. Of
``d*h`` with lanes of ``d`` uneven in the rows ``h``, new position ``(j, h)`` holds the ``j``-th
kept lane of row ``h``: old positions then stand in an order of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import (
    Axes,
    Dim,
    Expr,
    Factor,
    Fixed,
    IntArray,
    Permuted,
    dims_in,
    factor_size,
    size_of,
)
from spa_onnx.algebra.size import Polynomial, Size, evaluate, product
from spa_onnx.algebra.space import Space
from spa_onnx.plan.places import Array, taken

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Kept:
    """Lanes that stay of one dim.

    Attributes:
        mask: ``(lanes,)``, or ``(rows, lanes)`` with equally many in every row.
        rows: the dim whose lanes are the rows; None where one mask holds everywhere.
        order: another order of all lanes, for dims without rows that are in no permutation.
    """

    mask: BoolArray
    rows: Dim | None = None
    order: IntArray | None = None

    @property
    def count(self) -> int:
        """Return the number of lanes that stay (of one row)."""
        return int(self.mask.reshape(-1, self.mask.shape[-1])[0].sum())


@dataclass(frozen=True, slots=True)
class _Ragged:
    """Lanes of an uneven dim on an axis that does not hold its rows."""

    rows: Dim
    lanes: IntArray
    kept: BoolArray


@dataclass(frozen=True, slots=True)
class _Column:
    """One occurrence of a dim along an axis.

    Attributes:
        lanes: its lane at every position, -1 where it is absent.
        steps: how far its next lane lies away; 0 inside a permutation, where no step tells.
    """

    lanes: IntArray
    steps: IntArray


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis resolved.

    Attributes:
        mask: which positions stay; uneven dims without their rows count as staying.
        places: the old position of every new one, in the order of the new axis.
        ragged: the uneven dims without their rows.
        lanes: the lane of each dim by position.
    """

    mask: BoolArray
    places: IntArray
    ragged: tuple[_Ragged, ...]
    lanes: Mapping[tuple[Dim, int], IntArray]


class KeptLanes:
    """Answers for every axis what a plan leaves of it.

    Args:
        space: the solved dims.
        kept: what stays of each cut dim; dims that are not named stay whole.
        symbols: numbers for dynamic lengths, where masks of dynamic axes are needed.
    """

    def __init__(
        self, space: Space, kept: Mapping[Dim, Kept], symbols: Mapping[str, int] | None = None
    ) -> None:
        self.space, self.kept, self._symbols = space, kept, symbols or {}
        self._axes: dict[Expr, _Axis] = {}
        self._moved = {dim for dim, k in kept.items() if k.order is not None}

    def length(self, expr: Expr) -> Size:
        """Return the new length of an axis."""
        return sum((product(map(self._factor_length, t)) for t in self.space.normal(expr)), 0)

    def _factor_length(self, factor: Factor) -> Size:
        if isinstance(factor, Fixed):
            return factor.size
        if isinstance(factor, Dim):
            return self.kept[factor].count if factor in self.kept else factor.size
        return self.length(factor.expr)

    def is_cut(self, expr: Expr) -> bool:
        """Say whether the axis loses lanes."""
        return self.length(expr) != size_of(self.space.normal(expr))

    def is_sliced(self, axes: Axes | None) -> bool:
        """Say whether a tensor of these axes loses lanes, or holds them in another order."""
        return axes is not None and any(self.is_cut(e) or self._is_moved(e) for e in axes)

    def _is_moved(self, expr: Expr) -> bool:
        return bool(self._moved) and not self._moved.isdisjoint(dims_in(self.space.normal(expr)))

    def is_ragged(self, axes: Axes) -> bool:
        """Say whether some axis keeps other lanes in every row of another axis."""
        return any(self._axis(e).ragged for e in axes)

    def places(self, expr: Expr) -> IntArray:
        """Return the old position of every new one; uneven dims without their rows all stay."""
        return self._axis(expr).places

    def positions(self, expr: Expr) -> IntArray:
        """Return the new position of every old one, -1 where it is gone."""
        axis = self._axis(expr)
        found = np.full(len(axis.mask), -1, np.int64)
        found[axis.places] = np.arange(len(axis.places))
        return found

    # -- tensors ------------------------------------------------------------------------------

    def slice(self, array: Array, axes: Axes) -> Array:
        """Return the lanes of a tensor that stay."""
        resolved = [self._axis(e) if dims_in(self.space.normal(e)) else None for e in axes]
        places = [np.arange(0) if a is None else a.places for a in resolved]
        for k, place in enumerate(places):
            if resolved[k] is not None:
                array = taken(array, place, k)
        for k, axis in enumerate(resolved):
            for rows in dict.fromkeys(r.rows for r in axis.ragged) if axis else ():
                array, places[k] = self._slice_rows(array, resolved, places, k, rows)
        return array

    def _slice_rows(
        self,
        array: Array,
        resolved: Sequence[_Axis | None],
        places: list[IntArray],
        k: int,
        rows: Dim,
    ) -> tuple[Array, IntArray]:
        """Take from axis ``k`` what stays in each row; the rows lie on another axis."""
        axis = resolved[k]
        j, other = next(
            (i, a) for i, a in enumerate(resolved) if a and i != k and (rows, 0) in a.lanes
        )
        row = other.lanes[rows, 0][places[j]]
        stays = np.ones((len(row), len(places[k])), bool)
        for ragged in axis.ragged if axis else ():
            if ragged.rows is rows:
                lanes = ragged.lanes[places[k]]
                stays &= np.where(lanes < 0, True, ragged.kept[row][:, lanes])
        index = np.nonzero(stays)[1].reshape(len(row), -1)
        shape = [1] * array.ndim
        shape[j], shape[k] = index.shape
        where = (index if j < k else index.T).reshape(shape)
        full = [index.shape[1] if i == k else n for i, n in enumerate(array.shape)]
        sliced = np.take_along_axis(array, np.broadcast_to(where, full), axis=k)
        return sliced, places[k][index[0]]  # lanes of other rows differ only where they are uneven

    def tensor_mask(self, axes: Axes, masked: Sequence[int]) -> BoolArray:
        """Return which elements stay when only the axes ``masked`` are cut.

        The shape broadcasts to the tensor's: axes that play no role have length one.
        """
        result = np.ones([1] * len(axes), bool)
        for k in masked:
            if not self.is_cut(axes[k]):
                continue
            axis = self._axis(axes[k])
            shape = [1] * len(axes)
            shape[k] = len(axis.mask)
            result = result & axis.mask.reshape(shape)
            for ragged in axis.ragged:
                j = next(
                    i for i in range(len(axes)) if i != k and self._holds(axes[i], ragged.rows)
                )
                row = self._axis(axes[j]).lanes[ragged.rows, 0]
                stays = np.where(ragged.lanes < 0, True, ragged.kept[row][:, ragged.lanes])
                shape = [1] * len(axes)
                shape[j], shape[k] = stays.shape
                result = result & (stays if j < k else stays.T).reshape(shape)
        return result

    def _holds(self, expr: Expr, dim: Dim) -> bool:
        return dim in dims_in(self.space.normal(expr)) and (dim, 0) in self._axis(expr).lanes

    # -- one axis -----------------------------------------------------------------------------

    def _axis(self, expr: Expr) -> _Axis:
        expr = self.space.normal(expr)
        if expr not in self._axes:
            self._axes[expr] = self._resolve(expr)
        return self._axes[expr]

    def _resolve(self, expr: Expr) -> _Axis:
        columns = self._columns(expr)
        mask = np.ones(self._number(size_of(expr)), bool)
        order = np.arange(len(mask))
        ragged: list[_Ragged] = []
        for (dim, _), column in columns.items():
            kept, lane = self.kept.get(dim), column.lanes
            if kept is None:
                continue
            if kept.rows is None:
                mask &= (lane < 0) | kept.mask[lane]
                if kept.order is not None:
                    moved = np.argsort(kept.order)[np.maximum(lane, 0)] - lane
                    order += np.where(lane < 0, 0, moved) * column.steps
                continue
            rows = columns.get((kept.rows, 0))
            if rows is not None and bool((rows.lanes[lane >= 0] >= 0).all()):
                row, lane = np.maximum(rows.lanes, 0), np.maximum(lane, 0)
                mask &= (column.lanes < 0) | kept.mask[row, lane]
                rank = np.cumsum(kept.mask, axis=1) - 1
                order += (rank[row, lane] - lane) * column.steps
            else:
                ragged.append(_Ragged(kept.rows, lane, kept.mask))
        places = np.flatnonzero(mask)
        places = places[np.argsort(order[places], kind="stable")]
        lanes = {key: column.lanes for key, column in columns.items()}
        return _Axis(mask, places, tuple(ragged), lanes)

    def _number(self, size: Size) -> int:
        return evaluate(size, self._symbols) if isinstance(size, Polynomial) else size

    def lanes_by_position(self, expr: Expr) -> dict[tuple[Dim, int], IntArray]:
        """Return for every occurrence of a dim its lane at each position, -1 where it is absent.

        A dim that stands in one product twice has two occurrences there.
        """
        return {key: column.lanes for key, column in self._columns(expr).items()}

    def _columns(self, expr: Expr) -> dict[tuple[Dim, int], _Column]:
        total = self._number(size_of(expr))
        found: dict[tuple[Dim, int], _Column] = {}
        start = 0
        for term in expr:
            length = self._number(product(map(factor_size, term)))
            stride, seen = length, dict[Dim, int]()
            for factor in term:
                size = self._number(factor_size(factor))
                stride = stride // size if size else 0
                inside = self._inside(factor)
                for (dim, inner), part in inside.items():
                    key = (dim, seen.get(dim, 0) + inner)
                    if key not in found:
                        found[key] = _Column(np.full(total, -1), np.zeros(total, np.int64))
                    times = length // (size * stride)
                    lanes, steps = (
                        np.tile(np.repeat(x, stride), times) for x in (part.lanes, part.steps)
                    )
                    held = np.flatnonzero(lanes >= 0)
                    found[key].lanes[start + held] = lanes[held]
                    found[key].steps[start + held] = steps[held] * stride
                for dim in {d for d, _ in inside}:
                    seen[dim] = seen.get(dim, 0) + 1
            start += length
        return found

    def _inside(self, factor: Factor) -> dict[tuple[Dim, int], _Column]:
        if isinstance(factor, Fixed):
            return {}
        if isinstance(factor, Dim):
            return {(factor, 0): _Column(np.arange(factor.size), np.ones(factor.size, np.int64))}
        inner = self._columns(self.space.normal(factor.expr))
        if isinstance(factor, Permuted):
            still = np.zeros(len(factor.order), np.int64)
            return {key: _Column(c.lanes[factor.order], still) for key, c in inner.items()}
        return inner
