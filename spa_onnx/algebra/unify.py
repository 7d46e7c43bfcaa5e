"""Make two axis expressions equal, or write one as a product, by refining what they are made of.

The two need each other: factors of equal products are equal, and a concatenation is a product where
its parts have equal columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spa_onnx.algebra.cut import MAX_RUNS, cut, cut_term
from spa_onnx.algebra.expression import (
    ONE,
    Dim,
    Expr,
    Factor,
    Fixed,
    Nested,
    Permuted,
    Term,
    cause_of,
    dims_in,
    factor_size,
    is_fixed,
    size_of,
    sole_factor,
    term_size,
)
from spa_onnx.algebra.reason import Reason
from spa_onnx.algebra.size import Size, compare, product
from spa_onnx.algebra.space import NoRefinementError, Space


def equate(space: Space, a: Expr, b: Expr, why: str) -> None:
    """Couple two axes lane by lane; without a common refinement both become fixed.

    Bindings made before a failure stay: they are constraints that hold anyway or only lose freedom,
    so nothing needs undoing.
    """
    space.what = why
    try:
        unify(space, a, b)
    except NoRefinementError as failure:
        text = f"{why}: no common refinement ({failure})"
        space.failures.append(Reason(space.where, text))
        space.fix(a, text)
        space.fix(b, text)


def unify(space: Space, a: Expr, b: Expr) -> None:
    """Make two expressions equal. Sizes shrink at every step, so this ends.

    Raises:
        NoRefinementError: sizes differ, or factors and cuts do not line up.
    """
    a, b = space.normal(a), space.normal(b)
    if a == b:
        return
    for fixed, other in ((a, b), (b, a)):
        if is_fixed(fixed):
            _fix_other(space, fixed, other)
            return
    if size_of(a) != size_of(b):
        raise NoRefinementError(f"lengths {size_of(a)} and {size_of(b)}")
    if _bind_free(space, a, b) or _bind_free(space, b, a):
        return
    if _unify_permuted(space, a, b) or _unify_permuted(space, b, a):
        return
    if len(a) == 1 and len(b) == 1:
        _unify_terms(space, a[0], b[0])
    else:
        _unify_concatenations(space, a, b)


def _fix_other(space: Space, fixed: Expr, other: Expr) -> None:
    """Fix what meets a fixed axis, for the reason that the axis has."""
    root = cause_of(fixed)
    met = space.what if root else f"{space.what}: the other side is a fixed part of an axis"
    space.fix(other, met, root)


def _bind_free(space: Space, a: Expr, b: Expr) -> bool:
    dim = sole_factor(a)
    if not isinstance(dim, Dim) or dim in dims_in(b):
        return False
    space.bind(dim, b)
    return True


def _unify_permuted(space: Space, a: Expr, b: Expr) -> bool:
    """Solve ``perm(e) = b`` by ``e = unperm(b)``; a dim that equals its permutation gets orbits."""
    left = sole_factor(a)
    if not isinstance(left, Permuted):
        return False
    back = space.permuted(b, np.argsort(left.order))
    right = sole_factor(back)
    if not isinstance(right, Permuted):
        unify(space, left.expr, back)
        return True
    dim = sole_factor(left.expr)
    if isinstance(dim, Dim):
        if right.expr == left.expr:
            space.couple_lanes(dim, order=right.order)
            return True
        if dim not in dims_in(back):
            space.bind(dim, back)
            return True
    raise NoRefinementError("two permutations of refined lanes")


def _unify_terms(space: Space, a: Term, b: Term) -> None:
    """Equate two products from the front, or where lengths do not divide, from the back."""
    for small, large in ((a, b), (b, a)):
        (first, *behind), (other, *others) = small, large
        if behind and factor_size(other) % factor_size(first) == 0:
            top, rest = split_factor(space, other, factor_size(first))
            unify(space, ((first,),), top)
            unify(space, (tuple(behind),), space.product([rest, (tuple(others),)]))
            return
    for small, large in ((a, b), (b, a)):
        (*before, last), (*others, other) = small, large
        if before and factor_size(other) % factor_size(last) == 0:
            rest, bottom = split_factor(space, other, factor_size(other) // factor_size(last))
            unify(space, ((last,),), bottom)
            unify(space, (tuple(before),), space.product([(tuple(others),), rest]))
            return
    raise NoRefinementError(
        f"factors {[factor_size(f) for f in a]} and {[factor_size(f) for f in b]}"
    )


def _unify_concatenations(space: Space, a: Expr, b: Expr) -> None:
    while True:
        a, b = space.normal(a), space.normal(b)
        if len(a) == 1 and len(b) == 1:
            unify(space, a, b)
            return
        order = compare(term_size(a[0]), term_size(b[0]))
        if order is None:
            raise NoRefinementError("dynamic parts of unknown order")
        if order == 0:
            head_a, a, head_b, b = a[:1], a[1:], b[:1], b[1:]
        elif order < 0:
            head_b, rest = cut_term(space, b[0], term_size(a[0]))
            head_a, a, b = a[:1], a[1:], space.concat([rest, b[1:]])
        else:
            head_a, rest = cut_term(space, a[0], term_size(b[0]))
            head_b, a, b = b[:1], space.concat([rest, a[1:]]), b[1:]
        unify(space, head_a, head_b)
        if not a or not b:
            return


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
        return space.alike(expr, rows), space.alike(expr, columns)
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
    """Write one factor as ``rows * columns``, refining a free dim.

    ``perm(c) = rows * columns`` is solved by ``c = unperm(rows * columns)``.
    """
    size = factor_size(factor)
    if size % rows != 0:
        raise NoRefinementError(f"{size} lanes are no multiple of {rows}")
    columns = size // rows
    if isinstance(factor, Fixed):
        return space.alike(((factor,),), rows), space.alike(((factor,),), columns)
    if isinstance(factor, Nested):
        return split(space, factor.expr, rows, columns)
    name = factor.name if isinstance(factor, Dim) else dims_in(factor.expr)[0].name
    left, right = space.dim(rows, name), space.dim(columns, name)
    unify(space, ((factor,),), space.product([left, right]))
    return left, right


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
            head, expr = space.alike(expr, size), space.alike(expr, rest)
        parts.append(head)
    return [space.caused(e, "a fixed factor of an axis") for e in (*parts, expr)]
