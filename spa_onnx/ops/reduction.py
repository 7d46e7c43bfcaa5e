"""Reductions, Softmax and operators that look along one axis.

Source: ONNX Reduce*-18, Softmax-13 (and its flattening before version 13), ArgMax-13, CumSum-14,
CumProd-26, Compress-11, NonZero-13, TopK-11.
"""

from __future__ import annotations

from spa_onnx.algebra.expression import ONE, Axes
from spa_onnx.algebra.size import symbol
from spa_onnx.ops.rule import (
    Coupling,
    Mixed,
    Neutral,
    Operands,
    OpRule,
    RefusalError,
    axis_of,
    normalised,
    replaced,
)

REDUCTIONS = {
    "ReduceMean": Neutral.MEAN,
    "ReduceSum": Neutral.ZERO,
    "ReduceSumSquare": Neutral.ZERO,
    "ReduceL1": Neutral.ZERO,
    "ReduceL2": Neutral.ZERO,
    "ReduceProd": Neutral.ONE,
    "ReduceMax": Neutral.LOWEST,
    "ReduceMin": Neutral.HIGHEST,
    "ReduceLogSum": Neutral.ZERO,
    "ReduceLogSumExp": Neutral.LOWEST,
}


def reduced_axes(operands: Operands) -> list[int] | None:
    """Return the axes that an attribute or the second input names; None when nothing is reduced."""
    rank = len(operands.axes(0))
    if operands.has(1):
        named = [int(n) for n in operands.sizes(1) if isinstance(n, int)]
    else:
        named = operands.node.ints("axes")
    if not named:
        return None if operands.node.integer("noop_with_empty_axes", 0) else list(range(rank))
    return sorted(normalised(axis, rank) for axis in named)


def couple_reduce(operands: Operands) -> Coupling:
    """Mix the reduced axes; they become one or vanish."""
    x, axes = operands.axes(0), reduced_axes(operands)
    if axes is None:
        return Coupling((x,))
    keep = operands.node.integer("keepdims", 1)
    y = tuple(ONE if k in axes else e for k, e in enumerate(x) if k not in axes or keep)
    # a product and a sum are a contraction written out
    consumed = tuple(x[k] for k in axes) if operands.node.op == "ReduceSum" else ()
    mixed = Mixed(0, tuple(axes), REDUCTIONS[operands.node.op])
    return Coupling((y,), (mixed,), consumed=consumed)


def couple_softmax(operands: Operands) -> Coupling:
    """Normalise over one axis; before version 13 over it and all behind."""
    x = operands.axes(0)
    modern = operands.node.version >= 13
    axis = axis_of(operands, 0, -1 if modern else 1)
    axes = (axis,) if modern else tuple(range(axis, len(x)))
    return Coupling((x,), (Mixed(0, axes, Neutral.SOFTMAX),))


def couple_arg(operands: Operands) -> Coupling:
    """Search one axis: lane numbers are the result, and removed lanes never win."""
    x, axis = operands.axes(0), axis_of(operands, 0, 0)
    keep = operands.node.integer("keepdims", 1)
    y = tuple(ONE if k == axis else e for k, e in enumerate(x) if k != axis or keep)
    neutral = Neutral.LOWEST if operands.node.op == "ArgMax" else Neutral.HIGHEST
    return Coupling((y,), (Mixed(0, (axis,), neutral),), numbers=((0, x[axis]),))


def couple_non_zero(operands: Operands) -> Coupling:
    """Fix all axes: the positions are the result, and how many there are only run time knows."""
    x = operands.axes(0)
    why = "its positions are the result"
    operands.space.fix_all(x, why)
    found = operands.space.fixed(symbol(f"found by {operands.node.label}"), why)
    return Coupling(((operands.space.fixed(len(x), why), found),))


def couple_top_k(operands: Operands) -> Coupling:
    """Sort one axis: the second result holds lane numbers, and removed lanes never win.

    So at least as many lanes must stay as are chosen.
    """
    x, axis = operands.axes(0), axis_of(operands, 0, -1)
    count = operands.sizes(1)[0] if operands.has(1) else operands.node.integer("k", 1)
    if not isinstance(count, int):
        operands.space.fix(x[axis], "sorted, as many are chosen as only run time knows")
    y: Axes = replaced(x, {axis: operands.space.fixed(count, "the best so many are chosen")})
    largest = operands.node.integer("largest", 1)
    neutral = Neutral.LOWEST if largest else Neutral.HIGHEST
    return Coupling(
        (y, y),
        (Mixed(0, (axis,), neutral),),
        numbers=((1, x[axis]),),
        limits=((x[axis], count),) if isinstance(count, int) else (),
    )


def couple_reverse(operands: Operands) -> Coupling:
    """Fix the axes of steps and batch; every other axis passes."""
    x = operands.axes(0)
    fixed = [
        normalised(operands.node.integer(f"{side}_axis", default), len(x))
        for side, default in (("time", 0), ("batch", 1))
    ]
    operands.space.fix_all((x[axis] for axis in fixed), "reversed up to a length of its own")
    return Coupling((tuple(map(operands.space.normal, x)),))


def couple_cumsum(operands: Operands) -> Coupling:
    """Fix the axis along which lanes are accumulated."""
    x = operands.axes(0)
    where = operands.constant(1)
    if where is None:
        raise RefusalError("the axis is computed at run time")
    axis = normalised(int(where.flat[0]), len(x))
    operands.space.fix(x[axis], "accumulated along")
    return Coupling((replaced(x, {axis: operands.space.normal(x[axis])}),))


def couple_compress(operands: Operands) -> Coupling:
    """Fix the axis of which run time chooses lanes, or all where the tensor is flattened."""
    x, space = operands.axes(0), operands.space
    space.fix_all(operands.axes(1), "lanes chosen at run time")
    count = space.fixed(symbol(f"chosen by {operands.node.label}"), "lanes chosen at run time")
    if "axis" not in operands.node.attributes:
        space.fix_all(x, "elements chosen at run time")
        return Coupling(((count,),))
    axis = axis_of(operands, 0, 0)
    space.fix(x[axis], "lanes chosen at run time")
    return Coupling((replaced(tuple(map(space.normal, x)), {axis: count}),))


def couple_hardmax(operands: Operands) -> Coupling:
    """Fix the axes that one lane is chosen from."""
    x = operands.axes(0)
    axis = axis_of(operands, 0, -1 if operands.node.version >= 13 else 1)
    operands.space.fix_all(x[axis:], "one lane is chosen")
    return Coupling((tuple(map(operands.space.normal, x)),))


RULES = (
    *(OpRule(op, couple_reduce, frozenset({1})) for op in REDUCTIONS),
    OpRule("Softmax", couple_softmax),
    OpRule("LogSoftmax", couple_softmax),
    OpRule("ArgMax", couple_arg),
    OpRule("ArgMin", couple_arg),
    OpRule("NonZero", couple_non_zero),
    OpRule("TopK", couple_top_k, frozenset({1})),
    OpRule("ReverseSequence", couple_reverse),
    OpRule("CumSum", couple_cumsum, frozenset({1})),
    OpRule("CumProd", couple_cumsum, frozenset({1})),
    OpRule("Compress", couple_compress),
    OpRule("Hardmax", couple_hardmax),
)
