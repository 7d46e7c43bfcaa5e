"""Equal: element by element, and lane numbers against all numbers there are.

    indices (..., 1) ─ Equal(0 1 2 ... e-1) ─ y (..., e)

is how exporters write one-hot rows of what TopK found.

Source: ONNX Equal-19.
"""

from __future__ import annotations

import numpy as np

from spa_onnx.algebra.expression import Axes, Expr, size_of
from spa_onnx.ops.broadcast import broadcast
from spa_onnx.ops.elementwise import couple_all
from spa_onnx.ops.rule import Coupling, Lanes, Operands, OpRule, Resized, replaced


def couple_equal(operands: Operands) -> Coupling:
    """Couple as any comparison, or let the result's axis be the one that is counted."""
    for numbers, others in ((0, 1), (1, 0)):
        counted = operands.numbers(numbers)
        axis = None if counted is None else _counting_axis(operands, others, counted)
        if counted is not None and axis is not None:
            return _couple_numbers(operands, numbers, others, counted, axis)
    return couple_all(operands)


def _counting_axis(operands: Operands, position: int, counted: Expr) -> int | None:
    """Return the axis from the back along which a constant counts the lanes, if it does."""
    values, size = operands.constant(position), size_of(counted)
    if values is None or values.dtype != np.int64 or values.size != size or size == 1:
        return None
    if not (values.reshape(-1) == np.arange(values.size)).all():
        return None
    return next(k for k in range(-values.ndim, 0) if values.shape[k] == size)


def _couple_numbers(
    operands: Operands, numbers: int, others: int, counted: Expr, axis: int
) -> Coupling:
    space, indices, constant = operands.space, operands.axes(numbers), operands.axes(others)
    if len(indices) >= -axis and size_of(indices[axis]) != 1:
        return couple_all(operands)
    space.fix_all(constant, "all numbers of lanes")
    lanes = space.normal(counted)
    fixed = tuple(map(space.normal, constant))
    y: Axes = broadcast(space, [indices, fixed], "element by element")
    shape = [1] * len(constant)

    def resize(kept: Lanes) -> Resized:
        length = kept.length(lanes)
        if length == size_of(lanes) or not isinstance(length, int):
            return Resized()
        shape[axis] = length
        return Resized(inputs={others: np.arange(length, dtype=np.int64).reshape(shape)})

    return Coupling(
        (replaced(y, {len(y) + axis: lanes}),), resize=resize, reads=frozenset({numbers})
    )


RULES = (OpRule("Equal", couple_equal),)
