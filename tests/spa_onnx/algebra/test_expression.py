import numpy as np
from hypothesis import given

from spa_onnx.algebra.expression import (
    ONE,
    Expr,
    dims_in,
    is_fixed,
    show,
    size_of,
    sizes_of,
    sole_factor,
    term_size,
)
from spa_onnx.algebra.size import symbol
from spa_onnx.algebra.space import Space
from tests.spa_onnx.algebra.drawing import spaces_with_expressions
from tests.spa_onnx.algebra.enumeration import positions

Drawn = tuple[Space, list[Expr]]


@given(spaces_with_expressions())
def test_the_size_is_the_number_of_positions(drawn: Drawn) -> None:
    space, (expr,) = drawn
    assert size_of(expr) == len(positions(space, expr))
    assert size_of(expr) == sum(term_size(term) for term in expr)


@given(spaces_with_expressions())
def test_an_axis_is_fixed_if_no_position_holds_a_lane(drawn: Drawn) -> None:
    space, (expr,) = drawn
    normal = space.normal(expr)
    assert is_fixed(normal) == (not any(positions(space, expr)))
    assert {d.index for d in dims_in(normal)} == {d for p in positions(space, expr) for d, _ in p}


def test_symbolic_lengths_are_added_and_multiplied() -> None:
    space, n = Space(), symbol("n")
    batch, channels = space.fixed(n), space.dim(4, "x")
    assert sizes_of((batch, channels, ONE)) == (n, 4, 1)
    assert size_of(space.product([batch, channels])) == 4 * n
    assert size_of(space.concat([batch, channels])) == n + 4


def test_only_a_lone_factor_is_a_sole_factor() -> None:
    space = Space()
    x, y = space.dim(4, "x"), space.dim(3, "y")
    assert sole_factor(x) is x[0][0]
    assert sole_factor(space.product([x, y])) is None
    assert sole_factor(space.concat([x, y])) is None
    assert sole_factor(ONE) is None


def test_expressions_can_be_read() -> None:
    space = Space()
    h, q, k = space.dim(2, "h"), space.dim(3, "q"), space.dim(4, "k")
    assert show(space.concat([space.product([space.fixed(4), h]), q, ONE])) == "4*d0:2 | d1:3 | 1"
    assert show(space.product([h, space.concat([q, k])])) == "d0:2*(d1:3 | d2:4)"
    assert show(space.permuted(h, np.array([1, 0]))) == "perm(d0:2)"
