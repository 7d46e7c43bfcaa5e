"""Align axes from the right, as every operator with multidirectional broadcasting does."""

from __future__ import annotations

from collections.abc import Sequence

from spa_onnx.algebra.expression import ONE, Axes, Expr, is_fixed, size_of
from spa_onnx.algebra.size import Polynomial
from spa_onnx.algebra.space import Space
from spa_onnx.algebra.unify import equate


def broadcast(space: Space, operands: Sequence[Axes], why: str) -> Axes:
    """Return the axes of the result, aligned axes equal; an axis of length one says nothing.

    Source: ONNX broadcasting rules (docs/Broadcasting.md).
    """
    rank = max((len(axes) for axes in operands), default=0)
    result: list[Expr] = []
    for back in range(rank, 0, -1):
        joined = ONE
        for axes in operands:
            if back > len(axes) or size_of(axes[-back]) == 1:
                continue
            joined = axes[-back] if joined == ONE else _meet(space, joined, axes[-back], why)
        result.append(joined)
    return tuple(result)


def _meet(space: Space, a: Expr, b: Expr, why: str) -> Expr:
    equate(space, a, b, why)
    if is_fixed(space.normal(a)) and isinstance(size_of(a), Polynomial):
        return space.normal(b)  # a symbol that must equal a number, or be one
    return space.normal(a)
