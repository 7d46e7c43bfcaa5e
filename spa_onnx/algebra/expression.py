"""Axis expressions: what the lanes of one axis are, in terms of dims.

    expression = tuple of terms      laid end to end      a | b
    term       = tuple of factors    row-major product    h * d
    factor     = Dim | Fixed | Nested expression | Permuted expression

Factors are interned by their space and compare by identity, so expressions are cheap dictionary
keys. The empty term is the axis of length one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.reason import Reason
from spa_onnx.algebra.size import Size, product

IntArray = NDArray[np.int64]


class Dim:
    """An index set that operators agree on; one index of it is a lane.

    Attributes:
        index: position in its space, in order of creation.
        size: number of lanes.
        name: tensor and axis where the dim first appeared, for reports.
    """

    __slots__ = ("index", "name", "size")

    def __init__(self, index: int, size: int, name: str) -> None:
        self.index, self.size, self.name = index, size, name

    def __repr__(self) -> str:
        return f"d{self.index}:{self.size}"


class Fixed:
    """Lanes that nobody may cut. Only their number matters: fixed axes have no identity.

    Attributes:
        size: number of lanes.
        cause: why, where an axis is fixed as a whole; it plays no role in the algebra.
    """

    __slots__ = ("cause", "size")

    def __init__(self, size: Size, cause: Reason | None = None) -> None:
        self.size, self.cause = size, cause

    def __repr__(self) -> str:
        return str(self.size)


class Nested:
    """A concatenation used as one factor, ``h * (q | k | v)``."""

    __slots__ = ("expr",)

    def __init__(self, expr: Expr) -> None:
        self.expr = expr

    def __repr__(self) -> str:
        return f"({show(self.expr)})"


class Permuted:
    """Lanes of ``expr`` in another order: position ``k`` holds lane ``order[k]``."""

    __slots__ = ("expr", "order")

    def __init__(self, expr: Expr, order: IntArray) -> None:
        self.expr, self.order = expr, order

    def __repr__(self) -> str:
        return f"perm({show(self.expr)})"


Factor = Dim | Fixed | Nested | Permuted
Term = tuple[Factor, ...]
Expr = tuple[Term, ...]
Axes = tuple[Expr, ...]
"""One expression for every axis of a tensor."""

ONE: Expr = ((),)
"""The axis of length one."""


def factor_size(factor: Factor) -> Size:
    """Return the number of lanes of one factor."""
    if isinstance(factor, Dim | Fixed):
        return factor.size
    return size_of(factor.expr)


def term_size(term: Term) -> Size:
    """Return the number of lanes of a product."""
    return product(factor_size(f) for f in term)


def size_of(expr: Expr) -> Size:
    """Return the length of an axis."""
    return sum((term_size(t) for t in expr), 0)


def sizes_of(axes: Axes) -> tuple[Size, ...]:
    """Return the shape that the axes of a tensor spell."""
    return tuple(size_of(e) for e in axes)


def is_fixed(expr: Expr) -> bool:
    """Say whether no lane of a normalised expression may be cut."""
    return all(isinstance(f, Fixed) for t in expr for f in t)


def dims_in(expr: Expr) -> list[Dim]:
    """Return every occurrence of a dim in a normalised expression, left to right."""
    found: list[Dim] = []
    for term in expr:
        for factor in term:
            if isinstance(factor, Dim):
                found.append(factor)
            elif isinstance(factor, Nested | Permuted):
                found.extend(dims_in(factor.expr))
    return found


def sole_factor(expr: Expr) -> Factor | None:
    """Return the factor of an expression that is nothing but this factor."""
    return expr[0][0] if len(expr) == 1 and len(expr[0]) == 1 else None


def cause_of(expr: Expr) -> Reason | None:
    """Return why a normalised expression is fixed; None where it is not, or only a count."""
    factor = sole_factor(expr)
    return factor.cause if isinstance(factor, Fixed) else None


def show(expr: Expr) -> str:
    """Return the expression as text, ``4*d7:32 | d9:16``."""
    return " | ".join("*".join(map(repr, t)) or "1" for t in expr)
