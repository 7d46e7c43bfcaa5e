from contextlib import suppress
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.algebra.cut import cut
from spa_onnx.algebra.expression import ONE, Expr, is_fixed, size_of
from spa_onnx.algebra.size import symbol
from spa_onnx.algebra.space import NoRefinementError, Space
from spa_onnx.algebra.unify import factor, split
from tests.spa_onnx.algebra.drawing import lanes_of, spaces_with_expressions
from tests.spa_onnx.algebra.enumeration import positions, up_to_orbits

Drawn = tuple[Space, list[Expr]]


@given(spaces_with_expressions(), st.data())
def test_a_cut_keeps_every_lane_once_and_in_order(drawn: Drawn, data: st.DataObject) -> None:
    space, (expr,) = drawn
    at = data.draw(st.integers(0, lanes_of(expr)))
    try:
        left, right = cut(space, expr, at)
    except NoRefinementError:
        return
    assert (size_of(left), size_of(right)) == (at, lanes_of(expr) - at)
    assert positions(space, left) + positions(space, right) == positions(space, expr)


@given(spaces_with_expressions(), st.data())
def test_a_refinement_never_confuses_two_lanes(drawn: Drawn, data: st.DataObject) -> None:
    """Whatever is bound: lanes of a dim stay different, or are fixed."""
    space, (expr,) = drawn
    dims = [d for d in space.dims if space.is_free(d)]
    with_failures = st.sampled_from([cut, lambda s, e, n: split(s, e, n, lanes_of(e) // n)])
    operation = data.draw(with_failures)
    lanes = lanes_of(expr)
    numbers = [n for n in range(1, lanes + 1) if operation is cut or lanes % n == 0]
    with suppress(NoRefinementError):
        operation(space, expr, data.draw(st.sampled_from(numbers)) if numbers else 0)
    for dim in dims:
        held = [p for p in positions(space, ((dim,),)) if p]
        assert len(positions(space, ((dim,),))) == dim.size
        without_fixed_parts = all(len(p) == len(held[0]) for p in held)
        if without_fixed_parts and is_free_of_fixed(space, ((dim,),)):
            assert len(set(held)) == len(held)


def is_free_of_fixed(space: Space, expr: Expr) -> bool:
    return "Fixed" not in {type(f).__name__ for term in space.normal(expr) for f in term}


@given(spaces_with_expressions(), st.data())
def test_a_split_is_a_row_major_product(drawn: Drawn, data: st.DataObject) -> None:
    space, (expr,) = drawn
    lanes = lanes_of(expr)
    rows = data.draw(st.sampled_from([n for n in range(1, lanes + 1) if lanes % n == 0] or [0]))
    if rows == 0:
        return
    try:
        top, bottom = split(space, expr, rows, lanes // rows)
    except NoRefinementError:
        return
    assert (size_of(top), size_of(bottom)) == (rows, lanes // rows)
    assert up_to_orbits(space, space.product([top, bottom])) == up_to_orbits(space, expr)


@given(spaces_with_expressions(), st.data())
def test_factors_multiply_to_the_axis_or_fix_it(drawn: Drawn, data: st.DataObject) -> None:
    space, (expr,) = drawn
    rest, sizes = lanes_of(expr), list[int]()
    while rest > 1 and len(sizes) < 3:
        sizes.append(data.draw(st.sampled_from([n for n in range(1, rest + 1) if rest % n == 0])))
        rest //= sizes[-1]
    sizes.append(rest)
    parts = factor(space, expr, sizes)
    assert [size_of(p) for p in parts] == sizes
    assert up_to_orbits(space, space.product(parts)) == up_to_orbits(space, expr)
    assert prod(sizes) == lanes_of(expr)


def test_a_cut_inside_a_row_refines_the_row() -> None:
    space = Space()
    h, d = space.dim(3, "h"), space.dim(4, "d")
    whole = space.product([h, d])
    left, right = cut(space, whole, 6)
    assert positions(space, left) + positions(space, right) == positions(space, whole)
    assert (size_of(left), size_of(right)) == (6, 6)
    assert not is_fixed(space.normal(d)), "the columns are only cut in two"
    assert size_of(space.normal(h)) == 3


def test_a_concatenation_splits_into_equal_columns() -> None:
    space = Space()
    a, b = space.dim(6, "a"), space.dim(9, "b")
    top, bottom = split(space, space.concat([a, b]), 5, 3)
    assert size_of(top) == 5
    assert not is_fixed(bottom)
    (last,) = {positions(space, a)[k][-1] for k in (0, 3)}
    assert positions(space, bottom)[0] == (last,)


def test_parts_that_straddle_rows_share_the_rows_columns() -> None:
    space = Space()
    expr = space.concat([space.dim(3, "a"), space.dim(5, "b")])
    top, bottom = split(space, expr, 2, 4)
    assert (size_of(top), size_of(bottom)) == (2, 4)
    assert positions(space, space.product([top, bottom])) == positions(space, expr)


def test_permuted_lanes_become_a_permuted_product() -> None:
    space = Space()
    x = space.dim(6, "x")
    order = np.array([3, 1, 5, 0, 2, 4])
    moved = space.permuted(x, order)
    top, bottom = split(space, moved, 2, 3)
    assert not is_fixed(top)
    assert not is_fixed(bottom)
    product = space.product([top, bottom])
    assert space.normal(moved) == product
    assert [positions(space, x)[k] for k in order] == positions(space, product)


def test_without_factors_an_axis_is_fixed_with_the_reason() -> None:
    space = Space()
    space.where = "Reshape 'r'"
    parts = space.concat([space.dim(5, "a"), space.dim(1 + 6, "b")])
    x = space.permuted(parts, np.array([3, 1, 5, 0, 2, 4, 11, 7, 9, 6, 10, 8]))
    assert all(map(is_fixed, factor(space, x, [3, 4])))
    assert {reason.node for reason in space.reasons(x)} == {"Reshape 'r'"}
    assert all("no row-major factors of 3 and 4" in r.text for r in space.reasons(x))


def test_a_dynamic_axis_is_cut_and_factored_by_symbols() -> None:
    space, n = Space(), symbol("n")
    c = space.dim(4, "c")
    rows = space.product([space.fixed(n), c])
    assert split(space, rows, n, 4) == (space.count(n), c)
    left, right = cut(space, space.concat([space.fixed(n), c]), n)
    assert (left, right) == (space.fixed(n), c)


def test_a_cut_at_an_unknown_place_has_no_refinement() -> None:
    space, n = Space(), symbol("n")
    with pytest.raises(NoRefinementError, match="which lanes come before n"):
        cut(space, space.concat([space.dim(4, "a"), space.dim(5, "b")]), n)


def test_the_ends_cut_nothing() -> None:
    space = Space()
    x = space.dim(4, "x")
    assert cut(space, x, 0) == (space.count(0), x)
    assert cut(space, x, 4) == (x, space.count(0))
    assert split(space, x, 1, 4) == (ONE, x)
    assert split(space, x, 4, 1) == (x, ONE)
    assert space.normal(x) == x
