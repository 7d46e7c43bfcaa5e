"""Cut an axis at a lane, or factor it into a product; free dims are refined where needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spa_onnx.algebra.expression import (
    ONE,
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
from spa_onnx.algebra.size import Size, compare, product
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
        return space.fixed(0), expr
    if at == size_of(expr):
        return expr, space.fixed(0)
    if is_fixed(expr):
        return space.fixed(at), space.fixed(size_of(expr) - at)
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
        return space.fixed(at), space.fixed(size - at)
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


def split(space: Space, expr: Expr, rows: Size, columns: Size) -> tuple[Expr, Expr]:
    """Write ``expr`` as ``rows * columns``.

    Raises:
        NoRefinementError: sizes do not divide or concatenated parts do not line up.
    """
    expr = space.normal(expr)
    if rows == 1:
        return ONE, expr
    if columns == 1:
        return expr, ONE
    if is_fixed(expr):
        return space.fixed(rows), space.fixed(columns)
    if len(expr) == 1:
        return _split_term(space, expr[0], rows)
    return _split_concatenation(space, expr, columns)


def _split_term(space: Space, term: Term, rows: Size) -> tuple[Expr, Expr]:
    taken: Size = 1
    position = 0
    while taken != rows and position < len(term):
        grown = taken * factor_size(term[position])
        if rows % grown != 0:
            break
        taken, position = grown, position + 1
    if taken == rows:
        return space.normal((term[:position],)), space.normal((term[position:],))
    if position == len(term) or rows % taken != 0:
        raise NoRefinementError(f"{rows} rows of {term}")
    left, right = split_factor(space, term[position], rows // taken)
    return (
        space.product([(term[:position],), left]),
        space.product([right, (term[position + 1 :],)]),
    )


def split_factor(space: Space, factor: Factor, rows: Size) -> tuple[Expr, Expr]:
    """Write one factor as ``rows * columns``, refining a free dim."""
    size = factor_size(factor)
    if size % rows != 0:
        raise NoRefinementError(f"{size} lanes are no multiple of {rows}")
    columns = size // rows
    if isinstance(factor, Fixed):
        return space.fixed(rows), space.fixed(columns)
    if isinstance(factor, Nested):
        return split(space, factor.expr, rows, columns)
    if isinstance(factor, Dim):
        left, right = space.dim(rows, factor.name), space.dim(columns, factor.name)
        space.bind(factor, space.product([left, right]))
        return left, right
    raise NoRefinementError("permuted lanes have no factors")


def _split_concatenation(space: Space, expr: Expr, columns: Size) -> tuple[Expr, Expr]:
    """Write ``a | b`` as ``(a' | b') * c``: every part's columns are the same lanes."""
    tops: list[Expr] = []
    bottoms: list[Expr] = []
    group: list[Term] = []
    for term in expr:
        group.append(term)
        lanes = size_of(tuple(group))
        if lanes % columns != 0:
            continue
        if len(group) == 1:
            top, bottom = split(space, (term,), lanes // columns, columns)
            tops.append(top)
            bottoms.append(bottom)
        else:
            _split_straddling(space, tuple(group), columns, tops, bottoms)
        group = []
    if group:
        raise NoRefinementError(f"parts do not fill rows of {columns}")
    from spa_onnx.algebra.unify import unify

    for bottom in bottoms[1:]:
        unify(space, bottoms[0], bottom)
    return space.concat(tops), space.normal(bottoms[0])


def _split_straddling(
    space: Space, group: Expr, columns: Size, tops: list[Expr], bottoms: list[Expr]
) -> None:
    rest, lanes = group, size_of(group)
    count = lanes // columns
    if not isinstance(count, int) or count > MAX_RUNS:
        raise NoRefinementError(f"parts straddle {count} rows")
    for _ in range(count - 1):
        row, rest = cut(space, rest, columns)
        tops.append(ONE)
        bottoms.append(row)
    tops.append(ONE)
    bottoms.append(rest)


def factor(space: Space, expr: Expr, sizes: Sequence[Size]) -> list[Expr]:
    """Return expressions of these sizes whose product is ``expr``; where none exist, fix them."""
    parts: list[Expr] = []
    rest = product(sizes)
    for size in sizes[:-1]:
        rest = rest // size if size != 0 else 0
        try:
            head, expr = split(space, expr, size, rest)
        except NoRefinementError as failure:
            space.fix(expr, f"no row-major factors of {size} and {rest} ({failure})")
            head, expr = space.fixed(size), space.fixed(rest)
        parts.append(head)
    return [space.normal(e) for e in (*parts, expr)]
