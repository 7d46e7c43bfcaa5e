"""Make two axis expressions equal by refining both to what they have in common."""

from __future__ import annotations

import numpy as np

from spa_onnx.algebra.expression import (
    Dim,
    Expr,
    Permuted,
    Term,
    dims_in,
    factor_size,
    is_fixed,
    size_of,
    sole_factor,
    term_size,
)
from spa_onnx.algebra.refine import cut_term, split_factor
from spa_onnx.algebra.size import compare
from spa_onnx.algebra.space import NoRefinementError, Reason, Space


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
    if is_fixed(a) or is_fixed(b):
        space.fix(a, f"{space.what}: the other side is fixed")
        space.fix(b, f"{space.what}: the other side is fixed")
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
