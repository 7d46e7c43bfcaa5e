import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.algebra.expression import Dim, Expr, is_fixed, size_of
from spa_onnx.algebra.space import NoRefinementError, Space
from spa_onnx.algebra.unify import equate, split, unify
from tests.spa_onnx.algebra.drawing import lanes_of, spaces_with_expressions
from tests.spa_onnx.algebra.enumeration import up_to_orbits

Drawn = tuple[Space, list[Expr]]


@given(spaces_with_expressions(2))
def test_equated_axes_hold_the_same_lanes_at_every_position(drawn: Drawn) -> None:
    space, (a, b) = drawn
    equate(space, a, b, "test")
    if size_of(a) == size_of(b):
        assert up_to_orbits(space, a) == up_to_orbits(space, b)
    elif is_fixed(space.normal(a)) or is_fixed(space.normal(b)):
        assert is_fixed(space.normal(a)) == is_fixed(space.normal(b))


@given(st.data())
def test_two_shapes_of_one_size_meet(data: st.DataObject) -> None:
    """Products and concatenations of fresh dims with equal lengths, the usual case in graphs."""
    space = Space()
    total = data.draw(st.sampled_from([8, 12, 16, 24]))
    a, b = (fresh_axis(space, total, data) for _ in range(2))
    equate(space, a, b, "test")
    assert up_to_orbits(space, a) == up_to_orbits(space, b)
    assert lanes_of(space.normal(a)) == total


def fresh_axis(space: Space, total: int, data: st.DataObject) -> Expr:
    kind = data.draw(st.sampled_from(["dim", "product", "concat", "permuted"]))
    if kind == "permuted":
        order = data.draw(st.permutations(range(total)))
        return space.permuted(space.dim(total, "p"), np.array(order))
    if kind == "product":
        rows = data.draw(st.sampled_from([n for n in range(2, total + 1) if total % n == 0]))
        return space.product([space.dim(rows, "r"), space.dim(total // rows, "c")])
    if kind == "concat":
        at = data.draw(st.integers(1, total - 1))
        return space.concat([space.dim(at, "l"), space.dim(total - at, "r")])
    return space.dim(total, "x")


@given(spaces_with_expressions(2))
def test_equating_twice_changes_nothing(drawn: Drawn) -> None:
    space, (a, b) = drawn
    equate(space, a, b, "test")
    before = space.normal(a), space.normal(b), len(space.dims)
    equate(space, a, b, "test")
    if size_of(a) == size_of(b):
        assert (space.normal(a), space.normal(b), len(space.dims)) == before


@given(st.data())
def test_equality_is_transitive(data: st.DataObject) -> None:
    space = Space()
    a, b, c = (fresh_axis(space, 12, data) for _ in range(3))
    equate(space, a, b, "first")
    equate(space, b, c, "second")
    assert up_to_orbits(space, a) == up_to_orbits(space, b) == up_to_orbits(space, c)


@given(spaces_with_expressions(2))
def test_unify_says_whether_it_worked(drawn: Drawn) -> None:
    space, (a, b) = drawn
    try:
        unify(space, a, b)
    except NoRefinementError:
        return
    if size_of(a) == size_of(b):
        assert up_to_orbits(space, a) == up_to_orbits(space, b)


def test_a_free_dim_becomes_the_other_axis() -> None:
    space = Space()
    x, h, d = space.dim(12, "x"), space.dim(3, "h"), space.dim(4, "d")
    unify(space, x, space.product([h, d]))
    assert space.normal(x) == space.product([h, d])


def test_products_refine_each_other_from_the_front() -> None:
    space = Space()
    left = space.product([space.dim(4, "a"), space.dim(6, "b")])
    right = space.product([space.dim(2, "c"), space.dim(12, "d")])
    unify(space, left, right)
    assert space.normal(left) == space.normal(right)
    assert [size_of(((f,),)) for f in space.normal(left)[0]] == [2, 2, 6]


def test_concatenations_are_cut_where_the_other_is() -> None:
    space = Space()
    left = space.concat([space.dim(4, "a"), space.dim(6, "b")])
    right = space.concat([space.dim(7, "c"), space.dim(3, "d")])
    unify(space, left, right)
    assert space.normal(left) == space.normal(right)
    assert [lanes_of((t,)) for t in space.normal(left)] == [4, 3, 3]


def test_swapped_halves_of_one_dim_tie_the_halves() -> None:
    space = Space()
    a, b = space.dim(4, "a"), space.dim(4, "b")
    unify(space, space.concat([a, b]), space.concat([b, a]))
    assert space.normal(a) == space.normal(b)


def test_a_dim_that_meets_its_own_reverse_keeps_pairs() -> None:
    space = Space()
    x = space.dim(6, "x")
    ((dim,),) = x
    assert isinstance(dim, Dim)
    unify(space, space.permuted(x, np.arange(6)[::-1]), x)
    labels = space.orbits(dim)
    assert labels is not None
    assert labels.tolist() == [0, 1, 2, 2, 1, 0]


def test_axes_without_common_refinement_are_fixed_with_both_operators_facts() -> None:
    space = Space()
    space.where = "Add 'sum'"
    x = space.product([space.dim(2, "a"), space.dim(9, "b")])
    y = space.product([space.dim(3, "c"), space.dim(6, "d")])
    equate(space, x, y, "element by element")
    assert is_fixed(space.normal(x))
    assert is_fixed(space.normal(y))
    (failure,) = space.failures
    assert failure.node == "Add 'sum'"
    assert failure.text.startswith("element by element: no common refinement")


def test_a_fixed_axis_fixes_what_it_meets() -> None:
    space = Space()
    x = space.dim(6, "x")
    space.where = "graph input 'y'"
    y = space.fixed(6, "part of the interface")
    space.where = "MatMul 'm'"
    equate(space, x, y, "contraction")
    assert is_fixed(space.normal(x))
    assert [str(r) for r in space.reasons(x)] == [
        "MatMul 'm': contraction: the other side is fixed by graph input 'y': part of the interface"
    ]


def test_what_an_operator_fixes_itself_met_nothing_else() -> None:
    space = Space()
    x, y = space.dim(6, "x"), space.dim(6, "y")
    space.where = "Conv 'c'"
    space.fix(x, "positions")
    equate(space, x, y, "offsets")
    assert [str(r) for r in space.reasons(y)] == ["Conv 'c': positions"]


def test_the_fixed_part_of_a_product_is_no_cause_by_itself() -> None:
    space = Space()
    space.where = "Reshape 'r'"
    rows, columns = split(
        space, space.product([space.fixed(3, "a batch"), space.dim(4, "x")]), 3, 4
    )
    z = space.dim(3, "z")
    space.where = "Add 'a'"
    equate(space, rows, z, "element by element")
    assert not is_fixed(columns)
    assert [str(r) for r in space.reasons(z)] == [
        "Add 'a': element by element: the other side is a fixed part of an axis"
    ]
