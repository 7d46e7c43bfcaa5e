"""Lengths of axes: plain integers, or polynomials in the symbols of dynamic axes.

A static length stays a Python ``int``, so the common case costs nothing. A dynamic one
(``batch``, ``sequence + 1``) is a :class:`Polynomial` with integer coefficients. Symbols stand for
non-negative integers. What leaves the polynomials (a floor division, a length that only run time
knows) becomes a new symbol, named after its definition so that equal computations meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

Monomial = tuple[str, ...]
"""Symbols of one product, sorted, repeated for powers; ``()`` is the constant."""


class Polynomial:
    """An immutable polynomial that is not a constant: see :func:`polynomial`."""

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self._hash = hash(terms)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Polynomial) and self.terms == other.terms

    def __add__(self, other: Size) -> Size:
        return polynomial([*self.terms, *terms_of(other)])

    __radd__ = __add__

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: Size) -> Size:
        return self + other * -1

    def __rsub__(self, other: Size) -> Size:
        return -self + other

    def __mul__(self, other: Size) -> Size:
        return polynomial(
            (tuple(sorted(a + b)), m * n) for a, m in self.terms for b, n in terms_of(other)
        )

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        exact = quotient(self, other)
        return symbol(f"({self})//({other})") if exact is None else exact

    def __rfloordiv__(self, other: int) -> Size:
        return 0 if other == 0 else symbol(f"({other})//({self})")

    def __mod__(self, other: Size) -> Size:
        return 0 if quotient(self, other) is not None else symbol(f"({self})%({other})")

    def __rmod__(self, other: int) -> Size:
        return 0 if other == 0 else symbol(f"({other})%({self})")

    def __str__(self) -> str:
        return " + ".join(
            "*".join([*([str(n)] if n != 1 or not m else []), *m]) for m, n in self.terms
        )

    __repr__ = __str__


Size = int | Polynomial


def polynomial(terms: Iterable[tuple[Monomial, int]]) -> Size:
    """Return the sum of ``terms``, an ``int`` where no symbol is left."""
    total: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        total[monomial] = total.get(monomial, 0) + coefficient
    # by degree, then name: an order that products respect, as long division needs
    kept = tuple(sorted(((m, n) for m, n in total.items() if n), key=lambda t: (len(t[0]), t[0])))
    if not kept:
        return 0
    return kept[0][1] if len(kept) == 1 and not kept[0][0] else Polynomial(kept)


def symbol(name: str) -> Polynomial:
    """Return the length called ``name``."""
    return Polynomial((((name,), 1),))


def terms_of(size: Size) -> tuple[tuple[Monomial, int], ...]:
    """Return the monomials of ``size`` with their coefficients; none for zero."""
    if isinstance(size, Polynomial):
        return size.terms
    return (((), int(size)),) if size else ()


def product(sizes: Iterable[Size]) -> Size:
    """Return the product; 1 for no sizes."""
    return prod(sizes)


def quotient(dividend: Size, divisor: Size) -> Size | None:
    """Return ``q`` with ``q * divisor == dividend`` for every value of the symbols, else None."""
    if isinstance(dividend, int) and isinstance(divisor, int):
        return dividend // divisor if divisor and dividend % divisor == 0 else None
    rest: Size = dividend
    found: Size = 0
    if not terms_of(divisor):
        return None
    lead, factor = terms_of(divisor)[-1]
    for _ in range(16):  # long division by one divisor; sizes met in graphs need two or three steps
        if rest == 0:
            return found
        monomial, coefficient = terms_of(rest)[-1]
        left = list(monomial)
        for name in lead:
            if name not in left:
                return None
            left.remove(name)
        if coefficient % factor:
            return None
        step = polynomial([(tuple(left), coefficient // factor)])
        found, rest = found + step, rest - step * divisor
    return None


def compare(a: Size, b: Size) -> int | None:
    """Return the sign of ``a - b`` where it is the same for all values of the symbols, else None.

    Two lengths that differ by a polynomial with coefficients of one sign count as unequal, although
    every symbol could be zero.
    """
    difference = terms_of(a - b)
    if not difference:
        return 0
    signs = {n > 0 for _, n in difference}
    return None if len(signs) == 2 else 1 if signs.pop() else -1


def evaluate(size: Size, symbols: Mapping[str, int]) -> int:
    """Return the number that ``size`` is when its symbols have these values.

    Raises:
        KeyError: a symbol has no value.
    """
    return sum(n * product(symbols[name] for name in m) for m, n in terms_of(size))  # type: ignore[misc]


def split_coefficient(size: Size) -> tuple[int, Size]:
    """Return ``(c, s)`` with ``size == c * s`` for one monomial ``s``; ``(1, size)`` for sums."""
    terms = terms_of(size)
    if len(terms) != 1:
        return 1, size
    return terms[0][1], polynomial([(terms[0][0], 1)])
