"""Gather and its kin: lanes chosen by indices, constant or computed.

Constant indices are a selection that the algebra follows. Indices from run time fix the indexed
axis, while the other axes of a table are columns that an embedding produces.

Source: ONNX Gather-13, GatherElements-13, GatherND-13, Scatter*-18, GridSample-20, RoiAlign-16.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from spa_onnx.algebra.cut import cut
from spa_onnx.algebra.expression import ONE, Axes, Expr, IntArray, is_fixed, size_of
from spa_onnx.algebra.select import Positions, select
from spa_onnx.algebra.space import NoRefinementError
from spa_onnx.algebra.unify import equate, factor
from spa_onnx.ops.broadcast import broadcast
from spa_onnx.ops.rule import (
    Coupling,
    Lanes,
    Operands,
    OpRule,
    RefusalError,
    Resized,
    axis_of,
)


def couple_gather(operands: Operands) -> Coupling:
    """Select lanes of one axis; ``Y = X[:axis] + indices + X[axis+1:]``."""
    x, axis = operands.axes(0), axis_of(operands, 0, 0)
    lanes = size_of(x[axis])
    indices = operands.constant(1)
    if indices is None or not isinstance(lanes, int):
        return _couple_runtime(operands, x, axis)
    chosen = indices.astype(np.int64)
    if chosen.size and (chosen.min() < -lanes or chosen.max() >= lanes):
        raise RefusalError(f"an index outside of {lanes} lanes")
    chosen = np.where(chosen < 0, chosen + lanes, chosen)
    around = (x[:axis], x[axis + 1 :])
    if is_fixed(operands.space.normal(x[axis])) or chosen.size == 0:
        return _around(operands, around, _alike(operands, x[axis], chosen))
    try:
        return _couple_constant(operands, x[axis], around, chosen)
    except NoRefinementError as failure:
        operands.space.fix(x[axis], f"irregular selection ({failure})")
        return _around(operands, around, _alike(operands, x[axis], chosen))


def _alike(operands: Operands, e: Expr, chosen: IntArray) -> Axes:
    """Return the axes of a selection from a fixed axis."""
    return tuple(operands.space.alike(e, n) for n in chosen.shape)


def _around(operands: Operands, around: tuple[Axes, Axes], middle: Axes) -> Coupling:
    axes = (*around[0], *middle, *around[1])
    return Coupling((tuple(map(operands.space.normal, axes)),))


def _couple_runtime(operands: Operands, x: Axes, axis: int) -> Coupling:
    found = _look_up(operands, x[axis])
    if not found:
        operands.space.fix(x[axis], "indexed at run time")
    operands.space.fix_all(operands.axes(1), "indices")
    others = (*x[:axis], *x[axis + 1 :])
    y = (*x[:axis], *map(operands.space.normal, operands.axes(1)), *x[axis + 1 :])
    return Coupling(
        (y,),
        produced=others if operands.is_weight(0) else (),
        consumed=(x[axis],) if found else (),
        reads=frozenset({1}) if found else frozenset(),
    )


def _look_up(operands: Operands, e: Expr) -> bool:
    """Equate an axis with the one whose lane numbers are looked up along it, if there is one."""
    counted = operands.numbers(1)
    if counted is None or size_of(counted) != size_of(operands.space.normal(e)):
        return False
    equate(operands.space, e, counted, "lane numbers")
    return True


def _couple_constant(
    operands: Operands, e: Expr, around: tuple[Axes, Axes], chosen: IntArray
) -> Coupling:
    if chosen.size == 1:
        return _couple_single(operands, e, around, chosen)
    strides = _row_major(chosen, int(size_of(e)))  # type: ignore[arg-type]
    if strides is not None:
        return _couple_strided(operands, e, around, chosen, strides)
    if chosen.ndim != 1:
        raise NoRefinementError(f"indices of rank {chosen.ndim}")
    y, positions = select(operands.space, e, chosen)

    def resize(kept: Lanes) -> Resized:
        unchanged = kept.length(e) == size_of(e)
        return Resized() if unchanged else Resized(inputs={1: positions(kept)})

    coupling = _around(operands, around, (y,))
    return Coupling(coupling.outputs, resize=resize)


def _couple_single(
    operands: Operands, e: Expr, around: tuple[Axes, Axes], chosen: IntArray
) -> Coupling:
    before, rest = cut(operands.space, e, int(chosen.flat[0]))
    cut(operands.space, rest, 1)

    def resize(kept: Lanes) -> Resized:
        unchanged = kept.length(e) == size_of(e)
        return Resized() if unchanged else Resized(inputs={1: [kept.length(before)]})

    coupling = _around(operands, around, (ONE,) * chosen.ndim)
    return Coupling(coupling.outputs, resize=resize)


def _row_major(chosen: IntArray, lanes: int) -> list[int] | None:
    """Return the axes of an index array, slowest first, if it is a transposed row-major count.

    Newer exporters write reshape and permute as one Gather over a flattened axis.
    """
    if chosen.ndim < 2 or chosen.size != lanes or chosen.flat[0] != 0:
        return None
    corner = (0,) * chosen.ndim
    steps = []
    for k, n in enumerate(chosen.shape):
        at = (*corner[:k], 1 if n > 1 else 0, *corner[k + 1 :])
        steps.append(int(chosen[at]))
    order = sorted((k for k, n in enumerate(chosen.shape) if n > 1), key=lambda k: -steps[k])
    grid: IntArray = np.zeros(chosen.shape, np.int64)
    for k, n in enumerate(chosen.shape):
        grid += steps[k] * np.arange(n).reshape([-1 if j == k else 1 for j in range(chosen.ndim)])
    sizes = [chosen.shape[k] for k in order]
    expected = list(accumulate(sizes[:0:-1], lambda a, b: a * b, initial=1))[::-1]
    row_major = [steps[k] for k in order] == expected and bool((grid == chosen).all())
    return order if row_major else None


def _couple_strided(
    operands: Operands, e: Expr, around: tuple[Axes, Axes], chosen: IntArray, order: list[int]
) -> Coupling:
    parts = factor(operands.space, e, [chosen.shape[k] for k in order])
    middle = [ONE] * chosen.ndim
    for k, part in zip(order, parts, strict=True):
        middle[k] = part

    def resize(kept: Lanes) -> Resized:
        if kept.length(e) == size_of(e):
            return Resized()
        lengths = [kept.length(part) for part in parts]
        count = np.arange(int(np.prod(np.array(lengths, np.int64)))).reshape(lengths)  # type: ignore[arg-type]
        new = _insert_ones(count.transpose(np.argsort(order)), order, chosen.ndim)
        return Resized(inputs={1: new})

    coupling = _around(operands, around, tuple(middle))
    return Coupling(coupling.outputs, resize=resize)


def _insert_ones(count: IntArray, order: list[int], rank: int) -> IntArray:
    lengths = iter(count.shape)
    return count.reshape([next(lengths) if k in order else 1 for k in range(rank)])


def couple_gather_elements(operands: Operands) -> Coupling:
    """Fix the indexed axis; along axes of equal length the indices stay in their own lane."""
    x, indices = operands.axes(0), operands.axes(1)
    axis = axis_of(operands, 0, 0)
    found = _look_up(operands, x[axis])
    chosen = (indices[axis],) if found else (x[axis], indices[axis])
    operands.space.fix_all(chosen, "indexed at run time")
    _stay_in_lane(operands, x, indices, axis)
    reads = frozenset({1}) if found else frozenset[int]()
    return Coupling((tuple(map(operands.space.normal, indices)),), reads=reads)


def _stay_in_lane(operands: Operands, x: Axes, indices: Axes, axis: int) -> None:
    for k, (e, i) in enumerate(zip(x, indices, strict=True)):
        if k == axis:
            continue
        if size_of(e) == size_of(i):
            equate(operands.space, e, i, "element by element")
        else:
            operands.space.fix_all((e, i), "indexed in part")


def couple_gather_nd(operands: Operands) -> Coupling:
    """Fix the indexed leading axes; the trailing ones pass, columns of a table are made."""
    x, indices = operands.axes(0), operands.axes(1)
    depth = size_of(indices[-1])
    if not isinstance(depth, int):
        raise RefusalError("indices of unknown depth")
    leading = operands.node.integer("batch_dims", 0) + depth
    found = leading == 1 and _look_up(operands, x[0])
    operands.space.fix_all(x[:leading] if not found else (), "indexed at run time")
    operands.space.fix_all(indices, "indices")
    return Coupling(
        ((*map(operands.space.normal, indices[:-1]), *x[leading:]),),
        produced=x[leading:] if operands.is_weight(0) else (),
        consumed=(x[0],) if found else (),
        reads=frozenset({1}) if found else frozenset(),
    )


def couple_scatter(operands: Operands) -> Coupling:
    """Fix the axis that is written at computed positions; elsewhere updates stay in their lane."""
    x, indices, updates = (operands.axes(k) for k in range(3))
    axis = axis_of(operands, 0, 0)
    found = _look_up(operands, x[axis])
    chosen = (indices[axis], updates[axis])
    operands.space.fix_all(chosen if found else (x[axis], *chosen), "scattered at run time")
    _stay_in_lane(operands, x, indices, axis)
    _stay_in_lane(operands, indices, updates, axis)
    reads = frozenset({1}) if found else frozenset[int]()
    return Coupling((tuple(map(operands.space.normal, x)),), reads=reads)


def couple_scatter_nd(operands: Operands) -> Coupling:
    """Write rows: ``Y[I] = U``. Data and updates share the trailing axes.

    Lanes of the first axis that constant indices name are those of the updates; torch exports
    ``x[a:b] = y`` so. Indexed axes are fixed otherwise.
    """
    x, indices, updates = (operands.axes(k) for k in range(3))
    depth = size_of(indices[-1])
    if not isinstance(depth, int):
        raise RefusalError("indices of unknown depth")
    chosen = operands.constant(1)
    if depth == 1 and len(indices) == 2 and chosen is not None:
        return _couple_scattered_lanes(operands, chosen.astype(np.int64).reshape(-1))
    operands.space.fix_all((*x[:depth], *indices), "scattered at run time")
    operands.space.fix_all(updates[: len(indices) - 1], "scattered at run time")
    trailing = broadcast(operands.space, [x[depth:], updates[len(indices) - 1 :]], "scattered rows")
    return Coupling(((*map(operands.space.normal, x[:depth]), *trailing),))


def _couple_scattered_lanes(operands: Operands, chosen: IntArray) -> Coupling:
    x, updates, space = operands.axes(0), operands.axes(2), operands.space
    lanes = size_of(x[0])
    if not isinstance(lanes, int) or (
        chosen.size and not -lanes <= chosen.min() <= chosen.max() < lanes
    ):
        raise RefusalError(f"an index outside of {lanes} lanes")
    try:
        part, positions = _select_once(operands, x[0], chosen % max(1, lanes))
    except NoRefinementError as failure:
        space.fix_all((x[0], updates[0]), f"irregular selection ({failure})")
        part, positions = space.alike(x[0], chosen.size), lambda _: chosen
    equate(space, part, updates[0], "scattered lanes")
    trailing = broadcast(space, [x[1:], updates[1:]], "scattered rows")

    def resize(kept: Lanes) -> Resized:
        if kept.length(x[0]) == lanes:
            return Resized()
        return Resized(inputs={1: positions(kept).reshape(-1, 1)})

    return Coupling((tuple(map(space.normal, (x[0], *trailing))),), resize=resize)


def couple_tensor_scatter(operands: Operands) -> Coupling:
    """Write steps into a cache: batch and steps are fixed, every other axis is shared."""
    cache, update = operands.axes(0), operands.axes(1)
    axis, space = axis_of(operands, 0, -2), operands.space
    space.fix_all((cache[0], update[0], cache[axis], update[axis]), "steps of a cache")
    if operands.has(2):
        space.fix_all(operands.axes(2), "steps of a cache")
    for k, (e, f) in enumerate(zip(cache, update, strict=True)):
        if k not in (0, axis):
            equate(space, e, f, "steps of a cache")
    return Coupling((tuple(map(space.normal, cache)),))


def _select_once(operands: Operands, e: Expr, chosen: IntArray) -> tuple[Expr, Positions]:
    if len(np.unique(chosen)) < chosen.size:
        raise NoRefinementError("a lane is written twice")
    return select(operands.space, e, chosen)


def couple_grid_sample(operands: Operands) -> Coupling:
    """Sample positions; channels pass."""
    x, grid = operands.axes(0), operands.axes(1)
    operands.space.fix_all((x[0], *x[2:], *grid), "sampled at run time")
    batch, *positions = map(operands.space.normal, (x[0], *grid[1:-1]))
    return Coupling(((batch, x[1], *positions),))


def couple_roi_align(operands: Operands) -> Coupling:
    """Pool regions; channels pass, regions come from run time."""
    x, regions = operands.axes(0), operands.axes(1)
    for k in (1, 2):
        operands.space.fix_all(operands.axes(k), "regions")
    operands.space.fix_all((x[0], *x[2:]), "sampled at run time")
    height, width = (
        operands.space.fixed(operands.node.integer(f"output_{side}", 1), "sampled at run time")
        for side in ("height", "width")
    )
    return Coupling(((operands.space.normal(regions[0]), x[1], height, width),))


RULES = (
    OpRule("Gather", couple_gather, frozenset({1})),
    OpRule("GatherElements", couple_gather_elements),
    OpRule("GatherND", couple_gather_nd),
    OpRule("ScatterElements", couple_scatter),
    OpRule("Scatter", couple_scatter),
    OpRule("ScatterND", couple_scatter_nd, frozenset({1})),
    OpRule("TensorScatter", couple_tensor_scatter),
    OpRule("GridSample", couple_grid_sample),
    OpRule("RoiAlign", couple_roi_align),
)
