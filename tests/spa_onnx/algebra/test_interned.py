"""What fixed an axis is remembered, and never changes what the algebra makes of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.algebra.cut import cut
from spa_onnx.algebra.expression import Dim, Expr, Fixed, cause_of, is_fixed, show, size_of
from spa_onnx.algebra.interned import joint_cause
from spa_onnx.algebra.reason import Reason
from spa_onnx.algebra.size import Size, symbol
from spa_onnx.algebra.space import NoRefinementError, Space
from spa_onnx.algebra.unify import equate, factor
from tests.spa_onnx.algebra.drawing import draw_expression, lanes_of

Step = Callable[[Space, list[Expr]], list[Expr]]


def replayed(drawn: list[Any], space: Space, nodes: int) -> Callable[[object], Any]:
    """Return a ``draw`` that repeats what was drawn, each time at another of so many nodes."""
    rest = enumerate(drawn)

    def draw(_: object) -> Any:
        k, value = next(rest)
        space.where = f"node {k % nodes}"
        return space.dims[value.index] if isinstance(value, Dim) else value

    return draw


@st.composite
def twice(draw: Any, count: int) -> tuple[tuple[Space, list[Expr]], tuple[Space, list[Expr]]]:
    """The same expressions in two spaces: fixed by one node everywhere, and by many."""
    drawn: list[Any] = []

    def recorded(strategy: st.SearchStrategy[Any]) -> Any:
        drawn.append(draw(strategy))
        return drawn[-1]

    one, many = Space(), Space()
    first = [draw_expression(recorded, one) for _ in range(count)]
    again = replayed(drawn, many, nodes=draw(st.integers(2, 5)))
    return (one, first), (many, [draw_expression(again, many) for _ in range(count)])


def read(space: Space, exprs: list[Expr]) -> tuple[Any, ...]:
    orbits = [space.orbits(d) for d in space.dims]
    return (
        [show(space.normal(e)) for e in exprs],
        [(d.size, d.name, space.is_free(d)) for d in space.dims],
        [None if labels is None else labels.tolist() for labels in orbits],
        [f.text for f in space.failures],
    )


def equated(space: Space, exprs: list[Expr]) -> list[Expr]:
    a, b = exprs
    equate(space, a, b, "test")
    return exprs


def cut_in_two(space: Space, exprs: list[Expr]) -> list[Expr]:
    try:
        return [*cut(space, exprs[0], lanes_of(exprs[0]) // 2), exprs[1]]
    except NoRefinementError:
        return exprs


def halved(space: Space, exprs: list[Expr]) -> list[Expr]:
    lanes = lanes_of(exprs[0])
    sizes = [2, lanes // 2] if lanes % 2 == 0 else [lanes, 1]
    return [*factor(space, exprs[0], sizes), exprs[1]]


def with_one_fixed(space: Space, exprs: list[Expr]) -> list[Expr]:
    for dim in [d for d in space.dims if space.is_free(d)][::2]:
        space.where = f"late {dim.index}"
        space.fix(((dim,),), "test")
    return exprs


@given(twice(2), st.lists(st.sampled_from([equated, cut_in_two, halved, with_one_fixed])))
def test_who_fixed_lanes_changes_no_result(
    pair: tuple[tuple[Space, list[Expr]], tuple[Space, list[Expr]]], steps: list[Step]
) -> None:
    (one, left), (many, right) = pair
    assert read(one, left) == read(many, right)
    for step in steps:
        left, right = step(one, left[:2]), step(many, right[:2])
        assert read(one, left) == read(many, right)
    same, other = (
        space.bare(a) == space.bare(b) for space, (a, b, *_) in ((one, left), (many, right))
    )
    assert same == other


@given(twice(1))
def test_only_an_axis_or_a_part_of_it_that_is_fixed_as_a_whole_has_a_cause(
    pair: tuple[tuple[Space, list[Expr]], tuple[Space, list[Expr]]],
) -> None:
    for space, (expr,) in pair:
        normal = space.normal(expr)
        assert all(f.cause is None for t in normal if len(t) > 1 for f in t if isinstance(f, Fixed))
        bare = space.bare(expr)
        assert all(f.cause is None for t in bare for f in t if isinstance(f, Fixed))
        assert show(bare) == show(normal)
        if cause_of(normal) is not None:
            assert is_fixed(normal)


@pytest.mark.parametrize("form", ["product", "nested", "permuted"])
def test_equal_neighbours_merge_whoever_fixed_their_parts(form: str) -> None:
    space = Space()
    h, x = space.dim(2, "h"), space.dim(4, "x")

    def lanes(node: str) -> Expr:
        part = made(space, node, 3)
        if form == "product":
            return space.product([x, part])
        joined = space.concat([part, x])
        if form == "nested":
            return space.product([h, joined])
        return space.permuted(joined, np.arange(7)[::-1])

    one, other = lanes("one"), lanes("other")
    assert one == other
    assert space.concat([one, other]) == space.product([space.count(2), one])


def made(space: Space, node: str, size: Size) -> Expr:
    space.where = node
    return space.fixed(size, "made")


def fixed(space: Space, node: str, size: int) -> Expr:
    x = space.dim(size, "x")
    space.where = node
    space.fix(x, "needed")
    return x


def root(space: Space, expr: Expr) -> str:
    cause = cause_of(space.normal(expr))
    return cause.node if cause else ""


def test_a_product_is_fixed_by_what_fixed_its_lanes_not_by_its_positions() -> None:
    space = Space()
    channels, positions = fixed(space, "output", 8), made(space, "window", 49)
    for factors in ([channels, positions], [positions, channels]):
        assert root(space, space.product(factors)) == "output"


@pytest.mark.parametrize("join", ["concat", "product"])
def test_of_several_causes_that_of_most_lanes_stands(join: str) -> None:
    space = Space()
    parts = [made(space, "few", 3), made(space, "most", 5), made(space, "unknown", symbol("n"))]
    assert root(space, getattr(space, join)(parts)) == "most"
    equal = [made(space, "first", 4), made(space, "second", 4)]
    assert root(space, getattr(space, join)(equal)) == "first"


def test_counts_have_no_say() -> None:
    space = Space()
    axis = made(space, "input", 3)
    assert root(space, space.product([space.count(16), axis])) == "input"
    assert root(space, space.concat([((),), ((),)])) == ""
    assert joint_cause(Fixed(2), Fixed(3)) is None


def test_parts_of_a_fixed_axis_have_its_cause() -> None:
    space = Space()
    axis = made(space, "input", 12)
    space.where = "reader"
    parts = [*cut(space, axis, 5), *factor(space, axis, [3, 4])]
    assert [root(space, e) for e in parts] == ["input"] * 4
    assert [size_of(e) for e in parts] == [5, 7, 3, 4]
    assert root(space, space.permuted(axis, np.arange(12)[::-1])) == "input"


def test_a_part_of_a_concatenation_keeps_its_cause() -> None:
    space = Space()
    x = space.dim(4, "x")
    joined = space.concat([made(space, "input", 6), x])
    assert root(space, cut(space, joined, 6)[0]) == "input"
    ((outer,),) = space.dim(10, "y")
    assert isinstance(outer, Dim)
    space.bind(outer, joined)
    assert root(space, cut(space, ((outer,),), 6)[0]) == "input"


def test_factors_without_a_cause_get_the_operator_that_made_them() -> None:
    space = Space()
    space.where = "Reshape 'r'"
    rows, _ = factor(space, space.product([space.count(3), space.dim(4, "x")]), [3, 4])
    assert cause_of(rows) == Reason("Reshape 'r'", "a fixed factor of an axis", born=True)
