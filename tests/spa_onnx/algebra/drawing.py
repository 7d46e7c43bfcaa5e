"""Hypothesis draws expressions over a fresh space, small enough to be enumerated."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from spa_onnx.algebra.expression import Expr, size_of
from spa_onnx.algebra.space import Space

LARGEST = 96


def draw_expression(draw: Any, space: Space, depth: int = 3) -> Expr:
    """Return an expression of at most ``LARGEST`` lanes, with new dims, repeated ones and fixed."""
    kinds = ["dim", "fixed", "again"] + ["concat", "product", "product", "permuted"] * (depth > 0)
    kind = draw(st.sampled_from(kinds))
    if kind == "fixed":
        return space.fixed(draw(st.integers(1, 3)))
    if kind == "again" and space.dims:
        return ((draw(st.sampled_from(space.dims)),),)
    if kind in ("dim", "again"):
        return space.dim(draw(st.sampled_from([2, 3, 4, 6])), "drawn")
    if kind == "permuted":
        inner = draw_expression(draw, space, depth - 1)
        return space.permuted(inner, np.array(draw(st.permutations(range(lanes_of(inner))))))
    parts = [draw_expression(draw, space, depth - 1) for _ in range(draw(st.integers(2, 3)))]
    while len(parts) > 1:
        made = space.concat(parts) if kind == "concat" else space.product(parts)
        if lanes_of(made) <= LARGEST:
            return made
        parts.pop()
    return parts[0]


def lanes_of(expr: Expr) -> int:
    """Return the static length of an axis."""
    size = size_of(expr)
    assert isinstance(size, int)
    return size


@st.composite
def spaces_with_expressions(draw: Any, count: int = 1) -> tuple[Space, list[Expr]]:
    """A space, and expressions that may share dims; some dims are bound already."""
    space = Space()
    exprs = [draw_expression(draw, space) for _ in range(count)]
    for dim in list(space.dims):
        if dim.size % 2 == 0 and draw(st.integers(0, 4)) == 0:
            space.bind(
                dim, space.product([space.dim(2, "left"), space.dim(dim.size // 2, "right")])
            )
    return space, exprs
