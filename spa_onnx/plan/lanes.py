"""What kept lanes of dims mean for axes: lengths, masks and slices of tensors.

Work on lanes is numpy on index arrays. A dim may keep different lanes in every row of another dim
("uneven rows"); such an axis is sliced row by row.
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

BoolArray = NDArray[np.bool_]
Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Kept:
    """Lanes that stay of one dim.

    Attributes:
        mask: ``(lanes,)``, or ``(rows, lanes)`` with equally many in every row.
        rows: the dim whose lanes are the rows; None where one mask holds everywhere.
    """

    mask: BoolArray
    rows: Dim | None = None

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
class _Axis:
    """One axis resolved: positions that stay, uneven dims, and the lane of each dim by position."""

    mask: BoolArray
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
        """Say whether a tensor of these axes loses lanes."""
        return axes is not None and any(map(self.is_cut, axes))

    def is_ragged(self, axes: Axes) -> bool:
        """Say whether some axis keeps other lanes in every row of another axis."""
        return any(self._axis(e).ragged for e in axes)

    def mask(self, expr: Expr) -> BoolArray:
        """Return which positions stay; uneven dims without their rows count as staying."""
        return self._axis(expr).mask

    # -- tensors ------------------------------------------------------------------------------

    def slice(self, array: Array, axes: Axes) -> Array:
        """Return the lanes of a tensor that stay."""
        resolved = [self._axis(e) if dims_in(self.space.normal(e)) else None for e in axes]
        places = [np.arange(0) if a is None else np.flatnonzero(a.mask) for a in resolved]
        for k, place in enumerate(places):
            if resolved[k] is not None and len(place) < array.shape[k]:
                array = np.take(array, place, axis=k)
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
        taken = np.take_along_axis(array, np.broadcast_to(where, full), axis=k)
        return taken, places[k][index[0]]  # lanes of other rows differ only where they are uneven

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
        lanes = self.lanes_by_position(expr)
        mask = np.ones(self._number(size_of(expr)), bool)
        ragged: list[_Ragged] = []
        for (dim, occurrence), lane in lanes.items():
            kept = self.kept.get(dim)
            if kept is None:
                continue
            if kept.rows is None:
                mask &= (lane < 0) | kept.mask[lane]
                continue
            row = lanes.get((kept.rows, occurrence), lanes.get((kept.rows, 0)))
            if row is not None and bool((row[lane >= 0] >= 0).all()):
                mask &= (lane < 0) | kept.mask[np.maximum(row, 0), np.maximum(lane, 0)]
            else:
                ragged.append(_Ragged(kept.rows, lane, kept.mask))
        return _Axis(mask, tuple(ragged), lanes)

    def _number(self, size: Size) -> int:
        return evaluate(size, self._symbols) if isinstance(size, Polynomial) else size

    def lanes_by_position(self, expr: Expr) -> dict[tuple[Dim, int], IntArray]:
        """Return for every occurrence of a dim its lane at each position, -1 where it is absent.

        A dim that stands in one product twice has two occurrences there.
        """
        total = self._number(size_of(expr))
        found: dict[tuple[Dim, int], IntArray] = {}
        start = 0
        for term in expr:
            length = self._number(product(map(factor_size, term)))
            stride, seen = length, dict[Dim, int]()
            for factor in term:
                size = self._number(factor_size(factor))
                stride = stride // size if size else 0
                for (dim, inner), lane in self._inside(factor).items():
                    key = (dim, seen.get(dim, 0) + inner)
                    column = found.setdefault(key, np.full(total, -1, np.int64))
                    spread = np.tile(np.repeat(lane, stride), length // (size * stride))
                    part = column[start : start + length]
                    part[spread >= 0] = spread[spread >= 0]
                for dim in {d for d, _ in self._inside(factor)}:
                    seen[dim] = seen.get(dim, 0) + 1
            start += length
        return found

    def _inside(self, factor: Factor) -> dict[tuple[Dim, int], IntArray]:
        if isinstance(factor, Fixed):
            return {}
        if isinstance(factor, Dim):
            return {(factor, 0): np.arange(factor.size)}
        inner = self.lanes_by_position(self.space.normal(factor.expr))
        if isinstance(factor, Permuted):
            return {key: lane[factor.order] for key, lane in inner.items()}
        return inner
