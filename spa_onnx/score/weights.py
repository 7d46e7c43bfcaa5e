"""The weights of one dim, as a pass sees them: blocks with one row for every lane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import IntArray
from spa_onnx.analyse.dims import Analysis, Member, PrunableDim, Role
from spa_onnx.plan.lanes import KeptLanes

FloatArray = NDArray[np.float64]
BLOCK_BYTES = 32 << 20
"""Bytes of one block; bounds memory whatever the size of a tensor."""


@dataclass(frozen=True, slots=True)
class Block:
    """Weights of some units, converted to float32 or float64.

    Attributes:
        units: which units of the dim the rows are.
        weights: ``(units, weights per unit)``.
        role: what the member does with the lanes.
    """

    units: slice
    weights: NDArray[np.floating]
    role: Role


@dataclass(frozen=True, slots=True)
class DimWeights:
    """Everything stored that would go with a lane.

    A *unit* is what is removed at once: a lane, or for dims with uneven rows a lane of one row.

    Attributes:
        name: stable name of the dim.
        lanes: number of lanes.
        rows: number of rows, 1 where all rows keep the same lanes.
    """

    name: str
    lanes: int
    rows: int
    _analysis: Analysis
    _dim: PrunableDim

    @property
    def units(self) -> int:
        """Return the number of units, ``rows * lanes``."""
        return self.rows * self.lanes

    def blocks(self, *roles: Role) -> Iterator[Block]:
        """Yield the weights of all members in blocks of bounded size.

        Args:
            roles: members to see; all when none is named.
        """
        for member in self._dim.members:
            if roles and member.role not in roles:
                continue
            yield from _member_blocks(self._analysis, self._dim, member)


def dim_weights(analysis: Analysis, dim: PrunableDim) -> DimWeights:
    """Return the weights of a dim."""
    rows = 1 if dim.rows is None else dim.rows.size
    return DimWeights(dim.name, dim.dim.size, rows, analysis, dim)


def _member_blocks(analysis: Analysis, dim: PrunableDim, member: Member) -> Iterator[Block]:
    graph = analysis.propagation.graph
    if member.tensor not in graph.tensors:
        return  # made inside the graph, all lanes alike
    axes = analysis.propagation.axes_of(member.tensor) or ()
    lanes = KeptLanes(analysis.propagation.space, {})
    label, row_axis, row_label = _labels(lanes, axes, member.axis, dim)
    array = graph.array(member.tensor)
    if array.dtype.kind not in "f" and array.dtype.name != "bfloat16":
        return
    if label is None:
        return
    if row_axis is None:
        yield from _even_blocks(array, member, label)
        return
    assert row_label is not None
    for row in range(dim.rows.size if dim.rows else 1):
        part = np.take(array, np.flatnonzero(row_label == row), axis=row_axis)
        start = row * dim.dim.size
        for block in _even_blocks(part, member, label):
            units = slice(block.units.start + start, block.units.stop + start)
            yield Block(units, block.weights, block.role)


def _labels(
    lanes: KeptLanes, axes: tuple[object, ...], axis: int, dim: PrunableDim
) -> tuple[IntArray | None, int | None, IntArray | None]:
    """Return the unit (or lane) at every position, and the axis and labels of rows elsewhere."""
    inside = lanes.lanes_by_position(axes[axis])  # type: ignore[arg-type]
    lane = inside[dim.dim, 0]
    if dim.rows is None:
        return lane, None, None
    row = inside.get((dim.rows, 0))
    if row is not None:
        return np.where(lane < 0, -1, row * dim.dim.size + lane), None, None
    for k, other in enumerate(axes):
        if k != axis:
            found = lanes.lanes_by_position(other).get((dim.rows, 0))  # type: ignore[arg-type]
            if found is not None:
                return lane, k, found
    return None, None, None


def _even_blocks(array: NDArray[np.generic], member: Member, label: IntArray) -> Iterator[Block]:
    """Yield the weights of the units that label one axis, a bounded number of units at a time."""
    held = np.flatnonzero(label >= 0)
    order = held[np.argsort(label[held], kind="stable")]
    units = int(label.max()) + 1
    each = len(order) // units
    moved = np.moveaxis(array, member.axis, 0)
    per_unit = each * int(np.prod(moved.shape[1:], dtype=np.int64))
    step = max(1, BLOCK_BYTES // max(1, per_unit * 4))
    contiguous = len(order) == order[-1] + 1 - order[0] and bool((np.diff(order) == 1).all())
    dtype = np.float64 if array.dtype == np.float64 else np.float32
    for start in range(0, units, step):
        stop = min(units, start + step)
        places = order[start * each : stop * each]
        chosen = moved[places[0] : places[-1] + 1] if contiguous else moved[places]
        block = chosen.reshape(stop - start, per_unit).astype(dtype, copy=False)
        yield Block(slice(start, stop), block, member.role)
