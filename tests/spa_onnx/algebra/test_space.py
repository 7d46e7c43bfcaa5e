from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.algebra.expression import (
    ONE,
    Dim,
    Expr,
    Fixed,
    Nested,
    Permuted,
    dims_in,
    is_fixed,
    size_of,
)
from spa_onnx.algebra.reason import Reason
from spa_onnx.algebra.size import symbol
from spa_onnx.algebra.space import Space
from tests.spa_onnx.algebra.drawing import lanes_of, spaces_with_expressions
from tests.spa_onnx.algebra.enumeration import positions

Drawn = tuple[Space, list[Expr]]


@given(spaces_with_expressions())
def test_the_normal_form_keeps_every_lane_in_place(drawn: Drawn) -> None:
    space, (expr,) = drawn
    assert positions(space, space.normal(expr)) == positions(space, expr)


@given(spaces_with_expressions())
def test_the_normal_form_is_normal(drawn: Drawn) -> None:
    space, (expr,) = drawn
    normal = space.normal(expr)
    assert space.normal(normal) is normal or space.normal(normal) == normal
    assert size_of(normal) == size_of(expr)
    for term in normal:
        assert not (term and isinstance(term[0], Nested)), "a leading concatenation is distributed"
        assert all(not isinstance(f, Fixed) or f.size != 1 for f in term)
        for left, right in pairwise(term):
            assert not (isinstance(left, Fixed) and isinstance(right, Fixed))
    assert all(space.is_free(dim) for dim in dims_in(normal))


@given(spaces_with_expressions(2))
def test_concatenation_and_product_mean_what_they_say(drawn: Drawn) -> None:
    space, (a, b) = drawn
    left, right = positions(space, a), positions(space, b)
    assert positions(space, space.concat([a, b])) == left + right
    if len(left) * len(right) <= 2000:
        rows = [p + q for p in left for q in right]
        assert positions(space, space.product([a, b])) == rows


@given(spaces_with_expressions(), st.data())
def test_permutations_compose(drawn: Drawn, data: st.DataObject) -> None:
    space, (expr,) = drawn
    lanes = lanes_of(expr)
    first, second = (np.array(data.draw(st.permutations(range(lanes)))) for _ in range(2))
    twice = space.permuted(space.permuted(expr, first), second)
    before = positions(space, expr)
    assert positions(space, twice) == [before[first[k]] for k in second]
    undone = space.permuted(space.permuted(expr, first), np.argsort(first))
    assert positions(space, undone) == before


@given(spaces_with_expressions(), st.data())
def test_fixing_removes_identities_and_nothing_else(drawn: Drawn, data: st.DataObject) -> None:
    space, (expr,) = drawn
    before = positions(space, expr)
    gone = set()
    if free := dims_in(space.normal(expr)):
        dim = data.draw(st.sampled_from(free))
        space.fix(((dim,),), "test")
        gone.add(dim.index)
    after = positions(space, space.normal(expr))
    assert after == [tuple(lane for lane in p if lane[0] not in gone) for p in before]


def test_fixed_axes_have_no_identity() -> None:
    space = Space()
    assert space.concat([space.fixed(3), space.fixed(4)]) == space.fixed(7)
    assert space.product([space.fixed(3), space.fixed(4)]) == space.fixed(12)
    assert space.fixed(1) == ONE
    assert space.concat([ONE] * 5) == space.count(5)


def test_equal_neighbours_merge_to_a_multiple() -> None:
    space = Space()
    x = space.dim(5, "x")
    assert space.concat([x, x]) == space.product([space.fixed(2), x])
    three = space.product([space.fixed(3), x])
    assert space.concat([three, x, x]) == space.product([space.fixed(5), x])


def test_a_leading_concatenation_is_distributed_and_another_stays_nested() -> None:
    space = Space()
    h, q, k = space.dim(2, "h"), space.dim(3, "q"), space.dim(4, "k")
    assert len(space.product([space.concat([q, k]), h])) == 2
    (term,) = space.product([h, space.concat([q, k])])
    assert isinstance(term[1], Nested)


def test_trivial_and_dynamic_axes_are_fixed_from_the_start() -> None:
    space = Space()
    assert space.dim(1, "x") == ONE
    assert is_fixed(space.dim(symbol("n"), "x"))
    assert is_fixed(space.dim(0, "x"))
    assert space.dims == []


def test_an_unmoved_permutation_and_one_of_fixed_lanes_vanish() -> None:
    space = Space()
    x = space.dim(4, "x")
    assert space.permuted(x, np.arange(4)) == x
    assert space.permuted(space.fixed(4), np.array([1, 0, 3, 2])) == space.fixed(4)


def test_reasons_are_found_through_refinements() -> None:
    space = Space()
    x = space.dim(6, "x")
    left, right = space.dim(2, "left"), space.dim(3, "right")
    (((dim,),),) = (x,)
    assert isinstance(dim, Dim)
    space.bind(dim, space.product([left, right]))
    space.where = "Conv 'c'"
    space.fix(right, "because")
    assert space.reasons(x) == [Reason("Conv 'c'", "because")]
    assert str(space.reasons(x)[0]) == "Conv 'c': because"


# -- lanes coupled with others of their own dim ----------------------------------------------------


def components(size: int, edges: list[tuple[int, int]]) -> set[frozenset[int]]:
    groups = {lane: {lane} for lane in range(size)}
    for a, b in edges:
        joined = groups[a] | groups[b]
        groups |= dict.fromkeys(joined, joined)
    return {frozenset(g) for g in groups.values()}


def labelled(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in labels}


@given(st.lists(st.permutations(range(9)), min_size=1, max_size=3))
def test_orbits_are_the_connected_components(orders: list[list[int]]) -> None:
    space = Space()
    ((dim,),) = space.dim(9, "x")
    assert isinstance(dim, Dim)
    assert space.orbits(dim) is None
    for order in orders:
        space.couple_lanes(dim, order=np.array(order))
    labels = space.orbits(dim)
    assert labels is not None
    edges = [(k, source) for order in orders for k, source in enumerate(order)]
    assert labelled(labels) == components(9, edges)


@given(st.permutations(range(8)), st.lists(st.integers(0, 7), min_size=8, max_size=8))
def test_labels_and_orders_join(order: list[int], names: list[int]) -> None:
    space = Space()
    ((dim,),) = space.dim(8, "x")
    assert isinstance(dim, Dim)
    space.couple_lanes(dim, labels=np.array(names))
    space.couple_lanes(dim, order=np.array(order))
    labels = space.orbits(dim)
    assert labels is not None
    edges = [
        *enumerate(order),
        *((j, k) for j in range(8) for k in range(8) if names[j] == names[k]),
    ]
    assert labelled(labels) == components(8, edges)


def test_a_dim_that_takes_anothers_place_takes_its_orbits() -> None:
    space = Space()
    x, y = space.dim(4, "x"), space.dim(4, "y")
    ((a,),), ((b,),) = x, y
    assert isinstance(a, Dim)
    assert isinstance(b, Dim)
    space.couple_lanes(a, order=np.array([1, 0, 3, 2]))
    space.bind(a, y)
    labels = space.orbits(b)
    assert labels is not None
    assert labelled(labels) == {frozenset({0, 1}), frozenset({2, 3})}


@pytest.mark.parametrize("meets", ["product", "concatenation"])
def test_coupled_lanes_that_meet_a_refinement_are_fixed(meets: str) -> None:
    space = Space()
    x = space.dim(4, "x")
    ((a,),) = x
    assert isinstance(a, Dim)
    space.couple_lanes(a, order=np.array([3, 2, 1, 0]))
    parts = [space.dim(2, "l"), space.dim(2, "r")]
    space.bind(a, space.product(parts) if meets == "product" else space.concat(parts))
    assert is_fixed(space.normal(x))
    assert all(is_fixed(space.normal(p)) for p in parts)
    assert [r.text for r in space.reasons(x)] == ["permuted lanes meet a refinement"]


def test_permuted_expressions_are_interned() -> None:
    space = Space()
    x = space.dim(4, "x")
    order = np.array([2, 0, 3, 1])
    ((first,),), ((second,),) = space.permuted(x, order), space.permuted(x, order.copy())
    assert isinstance(first, Permuted)
    assert first is second


def test_a_chain_as_long_as_a_deep_network_is_read_and_explained() -> None:
    space = Space()
    space.where = "last"
    chain = [space.dim(6, f"d{k}") for k in range(5000)]
    for one, following in pairwise(chain):
        ((dim,),) = one
        assert isinstance(dim, Dim)
        space.bind(dim, following)
    assert space.normal(chain[0]) == chain[-1]
    space.fix(chain[0], "why")
    assert space.bare(chain[7]) == space.count(6)
    assert [str(reason) for reason in space.reasons(chain[0])] == ["last: why"]


def test_a_chain_of_products_is_read() -> None:
    space, depth = Space(), 600
    whole = [space.dim(2 << depth, "d")]
    for k in range(depth):
        ((dim,),) = whole[-1]
        assert isinstance(dim, Dim)
        rest = space.dim((2 << depth) >> (k + 1), f"d{k}")
        space.bind(dim, space.product([space.dim(2, f"h{k}"), rest]))
        whole.append(rest)
    assert len(space.normal(whole[0])[0]) == depth + 1
