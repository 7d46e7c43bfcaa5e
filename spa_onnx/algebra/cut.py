"""Cut an axis at a lane; free dims are refined where the cut goes through them."""

from __future__ import annotations

import numpy as np

from spa_onnx.algebra.expression import (
    Dim,
    Expr,
    Factor,
    Fixed,
    Nested,
    Term,
    factor_size,
    is_fixed,
    size_of,
    term_size,
)
from spa_onnx.algebra.size import Size, compare
from spa_onnx.algebra.space import NoRefinementError, Space

MAX_RUNS = 64
"""Runs of source lanes up to which permuted lanes are cut; more would shatter the dim."""


def cut(space: Space, expr: Expr, at: Size) -> tuple[Expr, Expr]:
    """Split ``expr`` into its first ``at`` lanes and the rest.

    Raises:
        NoRefinementError: the cut falls where lanes have no common refinement.
    """
    expr = space.normal(expr)
    if at == 0:
        return space.count(0), expr
    if at == size_of(expr):
        return expr, space.count(0)
    if is_fixed(expr):
        return space.alike(expr, at), space.alike(expr, size_of(expr) - at)
    passed: Size = 0
    for position, term in enumerate(expr):
        end = passed + term_size(term)
        order = compare(end, at)
        if order is None:
            raise NoRefinementError(f"cannot tell which lanes come before {at}")
        if order == 0:
            return space.normal(expr[: position + 1]), space.normal(expr[position + 1 :])
        if order > 0:
            left, right = cut_term(space, term, at - passed)
            return space.concat([expr[:position], left]), space.concat(
                [right, expr[position + 1 :]]
            )
        passed = end
    raise NoRefinementError(f"{at} lanes asked of {passed}")


def cut_term(space: Space, term: Term, at: Size) -> tuple[Expr, Expr]:
    """Cut one product after ``at`` lanes; a cut inside a row refines the row as well."""
    row = term_size(term[1:])
    rest: Expr = (term[1:],)
    if at % row == 0:
        left, right = _cut_factor(space, term[0], at // row)
        return space.product([left, rest]), space.product([right, rest])
    if not isinstance(at, int) or not isinstance(row, int):
        raise NoRefinementError(f"a cut at {at} inside rows of {row}")
    whole, inside = divmod(at, row)
    head: Expr = ((term[0],),)
    above, below = cut(space, head, whole) if whole else (None, head)
    if size_of(below) == 1:
        after = None
    else:
        straddled, after = cut(space, below, 1)
        space.fix(straddled, "one row is cut in two")
    row_left, row_right = cut(space, rest, inside)
    rest = space.normal(rest)
    lefts = [*([space.product([above, rest])] if above else []), row_left]
    rights = [row_right, *([space.product([after, rest])] if after else [])]
    return space.concat(lefts), space.concat(rights)


def _cut_factor(space: Space, factor: Factor, at: Size) -> tuple[Expr, Expr]:
    size = factor_size(factor)
    if isinstance(factor, Fixed):
        return space.alike(((factor,),), at), space.alike(((factor,),), size - at)
    if isinstance(factor, Dim):
        if not isinstance(at, int):
            raise NoRefinementError(f"a cut at {at} in {size} lanes")
        left, right = space.dim(at, factor.name), space.dim(factor.size - at, factor.name)
        space.bind(factor, space.concat([left, right]))
        return space.normal(left), space.normal(right)
    if isinstance(factor, Nested):
        return cut(space, factor.expr, at)
    if not isinstance(at, int):
        raise NoRefinementError(f"a cut at {at} in permuted lanes")
    return _cut_permuted(space, factor.expr, factor.order, at)


def _cut_permuted(space: Space, expr: Expr, order: np.ndarray, at: int) -> tuple[Expr, Expr]:
    """Cut permuted lanes by cutting their source at the ends of runs that go to one side."""
    goes_left = np.zeros(len(order), bool)
    goes_left[order[:at]] = True
    ends = [*(np.flatnonzero(np.diff(goes_left)) + 1).tolist(), len(order)]
    if len(ends) > MAX_RUNS:
        raise NoRefinementError(f"a cut of permuted lanes makes {len(ends)} runs")
    sides: tuple[list[Expr], list[Expr]] = ([], [])
    start, rest = 0, expr
    for end in ends:
        run, rest = cut(space, rest, end - start)
        sides[0 if goes_left[start] else 1].append(run)
        start = end
    rank = np.where(goes_left, np.cumsum(goes_left), np.cumsum(~goes_left)) - 1
    return (
        space.permuted(space.concat(sides[0]), rank[order[:at]]),
        space.permuted(space.concat(sides[1]), rank[order[at:]]),
    )
