from collections.abc import Mapping

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from spa_onnx.algebra.size import (
    Polynomial,
    Size,
    compare,
    evaluate,
    polynomial,
    product,
    quotient,
    split_coefficient,
    symbol,
    terms_of,
)

SYMBOLS = ("a", "b", "c")
A, B = symbol("a"), symbol("b")
monomials = st.lists(st.sampled_from(SYMBOLS), max_size=3).map(lambda names: tuple(sorted(names)))
sizes = st.lists(st.tuples(monomials, st.integers(-6, 6)), max_size=4).map(polynomial)
numbers = st.fixed_dictionaries({name: st.integers(0, 50) for name in SYMBOLS})


@given(sizes, sizes, sizes, numbers)
def test_polynomials_compute_as_numbers_do(x: Size, y: Size, z: Size, at: dict[str, int]) -> None:
    p, q, r = (evaluate(size, at) for size in (x, y, z))
    assert evaluate(x + y, at) == p + q
    assert evaluate(x - y, at) == p - q
    assert evaluate(x * y + z, at) == p * q + r
    assert evaluate(product([x, y, z]), at) == p * q * r


@given(sizes, sizes, sizes)
def test_polynomials_form_a_ring(x: Size, y: Size, z: Size) -> None:
    assert x + y == y + x
    assert x * y == y * x
    assert (x + y) + z == x + (y + z)
    assert (x * y) * z == x * (y * z)
    assert x * (y + z) == x * y + x * z
    assert x - x == 0


@given(sizes)
def test_equal_polynomials_hash_alike(x: Size) -> None:
    rebuilt = polynomial(reversed(terms_of(x)))
    assert rebuilt == x
    assert hash(rebuilt) == hash(x)


@given(sizes)
def test_a_constant_is_a_plain_int(x: Size) -> None:
    constant = all(monomial == () for monomial, _ in terms_of(x))
    assert isinstance(x, int) == constant
    assert isinstance(x, Polynomial) != constant


@given(sizes, sizes)
def test_an_exact_quotient_is_found(x: Size, y: Size) -> None:
    assume(y != 0)
    assert quotient(x * y, y) == x
    assert (x * y) // y == x
    assert (x * y) % y == 0


@given(sizes, sizes)
@example(A + 1, A)
@example(6, 4)
@example(A * 3, 2)
def test_a_quotient_is_exact_or_none(x: Size, y: Size) -> None:
    found = quotient(x, y)
    assert found is None or found * y == x


def test_nothing_is_divided_by_zero() -> None:
    assert quotient(A, 0) is None
    assert quotient(0, 0) is None
    assert quotient(4, 0) is None


@given(sizes, sizes, numbers)
def test_a_comparison_holds_for_all_positive_symbols(
    x: Size, y: Size, at: Mapping[str, int]
) -> None:
    order = compare(x, y)
    p, q = (evaluate(size, {name: n + 1 for name, n in at.items()}) for size in (x, y))
    if order is not None:
        assert (p > q) - (p < q) == order
    else:
        assert isinstance(x - y, Polynomial)


def test_lengths_of_unknown_order_do_not_compare() -> None:
    assert compare(A, B) is None
    assert compare(A, 7) is None
    assert compare(A + 1, A) == 1
    assert compare(2 * A, 2 * A + B) == -1


def test_a_division_without_exact_result_is_a_symbol_that_equal_computations_share() -> None:
    assert A // 2 == A // 2
    assert (A + 1) // 2 != A // 2
    assert (2 * A + 4) // 2 == A + 2
    assert str(A // 2) == "(a)//(2)"


@given(st.integers(-9, 9).filter(bool), monomials)
def test_a_coefficient_splits_from_one_monomial(n: int, monomial: tuple[str, ...]) -> None:
    size = polynomial([(monomial, n)])
    assert split_coefficient(size) == (n, polynomial([(monomial, 1)]))


def test_a_sum_has_no_coefficient() -> None:
    assert split_coefficient(2 * A + 4) == (1, 2 * A + 4)


def test_a_symbol_without_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="b"):
        evaluate(A + B, {"a": 1})
