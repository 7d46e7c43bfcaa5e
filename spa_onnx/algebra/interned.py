"""Makes factors, equal ones once: they compare by identity, and so do expressions made of them.

Causes are kept out of every comparison but that of axes which are fixed anyway: a fixed factor
inside a product, a nested concatenation or a permutation has none, so whatever can still be cut
reads the same whoever fixed its other parts.
"""

from __future__ import annotations

from spa_onnx.algebra.expression import Expr, Factor, Fixed, IntArray, Nested, Permuted
from spa_onnx.algebra.reason import Reason
from spa_onnx.algebra.size import Size


class Interned:
    """The factors of one space."""

    def __init__(self) -> None:
        self._counts: dict[Size, Fixed] = {}
        self._caused: dict[tuple[Size, Reason], Fixed] = {}
        self._born: dict[tuple[Size, str, str], Fixed] = {}
        self._nested: dict[Expr, Nested] = {}
        self._permuted: dict[tuple[Expr, bytes], Permuted] = {}

    def fixed(self, size: Size, cause: Reason | None = None) -> Fixed:
        """Return the factor of so many lanes that nobody may cut, for this cause."""
        if cause is None:
            factor = self._counts.get(size)
            if factor is None:
                factor = self._counts[size] = Fixed(size)
            return factor
        factor = self._caused.get((size, cause))
        if factor is None:
            factor = self._caused[size, cause] = Fixed(size, cause)
        return factor

    def born(self, size: Size, node: str, text: str) -> Fixed:
        """Return the factor of lanes that a node makes fixed."""
        key = (size, node, text)
        factor = self._born.get(key)
        if factor is None:
            factor = self._born[key] = self.fixed(size, Reason(node, text, born=True))
        return factor

    def nested(self, expr: Expr) -> Nested:
        """Return a concatenation as one factor."""
        factor = self._nested.get(expr)
        if factor is None:
            factor = self._nested[expr] = Nested(expr)
        return factor

    def permuted(self, expr: Expr, order: IntArray) -> Permuted:
        """Return the lanes of an expression in another order as one factor."""
        key = (expr, order.tobytes())
        factor = self._permuted.get(key)
        if factor is None:
            factor = self._permuted[key] = Permuted(expr, order)
        return factor

    def bare(self, expr: Expr) -> Expr:
        """Return a normalised expression without causes."""
        for term in expr:
            if len(term) == 1 and isinstance(term[0], Fixed) and term[0].cause is not None:
                return tuple((self.bare_factor(t[0]),) if len(t) == 1 else t for t in expr)
        return expr

    def bare_factor(self, factor: Factor) -> Factor:
        """Return a factor of a normalised expression without causes."""
        if isinstance(factor, Fixed):
            return factor if factor.cause is None else self.fixed(factor.size)
        return self.nested(self.bare(factor.expr)) if isinstance(factor, Nested) else factor


def joint_cause(a: Fixed, b: Fixed) -> Reason | None:
    """Return the cause that stands for two fixed factors that become one.

    Positions and batches are never cut, so where lanes were fixed that might have been, theirs is
    the cause that says something; then that of a number before that of a run-time length, which no
    weight has; then that of more lanes, then the first.
    """
    if a.cause is None or b.cause is None:
        return a.cause or b.cause
    return b.cause if _weight(b, b.cause) > _weight(a, a.cause) else a.cause


def _weight(factor: Fixed, cause: Reason) -> tuple[bool, int]:
    return not cause.born, factor.size if isinstance(factor.size, int) else 0
