"""The solver's state: dims, what they are bound to, and the normal form of expressions.

Solving is unification with bindings, as in Prolog: a dim is free or bound to an expression, and
"refine everywhere" is one assignment. A version counter that every binding increases keeps the
memo of normal forms honest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spa_onnx.algebra.expression import (
    ONE,
    Dim,
    Expr,
    Factor,
    Fixed,
    IntArray,
    Nested,
    Permuted,
    Term,
    dims_in,
    is_fixed,
    size_of,
    sole_factor,
)
from spa_onnx.algebra.size import Polynomial, Size


class NoRefinementError(Exception):
    """Two expressions have no common refinement; the caller fixes both. Never leaves the solver."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why lanes may not be cut: the operator and what it needs of them."""

    node: str
    text: str

    def __str__(self) -> str:
        return f"{self.node}: {self.text}"


class Space:
    """Holds the dims of one model and everything known about them.

    Attributes:
        dims: every dim ever made, bound ones included.
        where: label of the operator whose rule runs now, for reasons.
        what: what that rule equates at the moment, likewise.
    """

    def __init__(self) -> None:
        self.dims: list[Dim] = []
        self.where = ""
        self.what = "equal axes"
        self.failures: list[Reason] = []
        self._bound: dict[Dim, Expr] = {}
        self._reasons: dict[Dim, Reason] = {}
        self._parts: dict[Dim, tuple[Dim, ...]] = {}
        self._orbits: dict[Dim, IntArray] = {}
        self._version = 0
        self._settled: dict[Dim, int] = {}
        self._normal: dict[Expr, tuple[int, Expr]] = {}
        self._fixed: dict[Size, Fixed] = {}
        self._nested: dict[Expr, Nested] = {}
        self._permuted: dict[tuple[Expr, bytes], Permuted] = {}

    # -- making expressions -------------------------------------------------------------------

    def fixed(self, size: Size) -> Expr:
        """Return an axis of this length that nobody may cut."""
        return ONE if size == 1 else ((self._fixed_factor(size),),)

    def dim(self, size: Size, name: str) -> Expr:
        """Return an axis that is one fresh dim; dynamic and trivial axes come out fixed."""
        if isinstance(size, Polynomial) or size < 2:
            return self.fixed(size)
        self.dims.append(Dim(len(self.dims), size, name))
        return ((self.dims[-1],),)

    def concat(self, parts: Iterable[Expr]) -> Expr:
        """Return the parts laid end to end."""
        return self.normal(tuple(t for e in parts for t in e))

    def product(self, factors: Sequence[Expr]) -> Expr:
        """Return the row-major product; the last factor runs fastest."""
        return self.normal((tuple(self._nested_factor(e) for e in factors),))

    def permuted(self, expr: Expr, order: IntArray) -> Expr:
        """Return ``expr`` with lane ``order[k]`` at position ``k``; ``order`` is a permutation."""
        expr = self.normal(expr)
        if is_fixed(expr) or bool((order[1:] > order[:-1]).all()):
            return expr
        inner = sole_factor(expr)
        if isinstance(inner, Permuted):
            return self.permuted(inner.expr, inner.order[order])
        return ((self._permuted_factor(expr, order),),)

    def _fixed_factor(self, size: Size) -> Fixed:
        factor = self._fixed.get(size)
        if factor is None:
            factor = self._fixed[size] = Fixed(size)
        return factor

    def _nested_factor(self, expr: Expr) -> Nested:
        factor = self._nested.get(expr)
        if factor is None:
            factor = self._nested[expr] = Nested(expr)
        return factor

    def _permuted_factor(self, expr: Expr, order: IntArray) -> Permuted:
        key = (expr, order.tobytes())
        factor = self._permuted.get(key)
        if factor is None:
            factor = self._permuted[key] = Permuted(expr, order)
        return factor

    # -- normal form ------------------------------------------------------------------------

    def normal(self, expr: Expr) -> Expr:
        """Return the expression with every binding read and equal neighbours merged.

        Flat products; a *leading* concatenation is distributed, ``(a|b)*c = a*c | b*c``, others
        stay nested; ``m*X | n*X = (m+n)*X`` for fixed ``m`` and ``n``.
        """
        known = self._normal.get(expr)
        if known is not None and known[0] == self._version:
            return known[1]
        flat: list[Term] = []
        for term in expr:
            flat.extend(self._distribute(self._flatten(term)))
        result = self._merge(flat)
        self._normal[expr] = (self._version, result)
        return result

    def _flatten(self, term: Term) -> list[Factor]:
        factors: list[Factor] = []
        for factor in term:
            for f in self._read(factor):
                if isinstance(f, Fixed):
                    if f.size == 1:
                        continue
                    if factors and isinstance(factors[-1], Fixed):
                        factors[-1] = self._fixed_factor(factors[-1].size * f.size)
                        continue
                factors.append(f)
        return factors

    def _settle(self, dim: Dim) -> None:
        """Bring the binding of a dim into normal form, and those below it first.

        In a deep network every block binds the dims of the one before: a chain as long as the
        network, which must not become as deep a recursion.
        """
        stack = [(dim, False)]
        while stack:
            d, below_done = stack.pop()
            if below_done:
                self._bound[d] = self.normal(self._bound[d])
                self._settled[d] = self._version
            elif d in self._bound and self._settled.get(d) != self._version:
                stack.append((d, True))
                stack.extend((part, False) for part in dims_in(self._bound[d]))

    def _read(self, factor: Factor) -> Iterator[Factor]:
        if isinstance(factor, Fixed):
            yield factor
            return
        if isinstance(factor, Dim):
            if factor not in self._bound:
                yield factor
                return
            if self._settled.get(factor) != self._version:
                self._settle(factor)
            inner = self._bound[factor]
        elif isinstance(factor, Permuted):
            inner = self.permuted(factor.expr, factor.order)
        else:
            inner = self.normal(factor.expr)
        if len(inner) == 1:
            yield from inner[0]
        elif is_fixed(inner):
            yield self._fixed_factor(size_of(inner))
        else:
            yield self._nested_factor(inner)

    @staticmethod
    def _distribute(factors: list[Factor]) -> Iterator[Term]:
        if factors and isinstance(factors[0], Nested):
            for term in factors[0].expr:
                yield (*term, *factors[1:])
        else:
            yield tuple(factors)

    def _merge(self, terms: list[Term]) -> Expr:
        runs: list[tuple[Size, Term]] = []
        for term in terms:
            joined = self._flatten(term)
            count: Size = 1
            if joined and isinstance(joined[0], Fixed):
                count, joined = joined[0].size, joined[1:]
            rest = tuple(joined)
            if count == 0:
                continue
            if runs and runs[-1][1] == rest:
                count = runs.pop()[0] + count
            runs.append((count, rest))
        if not runs:
            return ((self._fixed_factor(0),),)
        return tuple(
            rest if count == 1 else (self._fixed_factor(count), *rest) for count, rest in runs
        )

    # -- binding and fixing -----------------------------------------------------------------

    def is_free(self, dim: Dim) -> bool:
        """Say whether no equation has bound the dim yet."""
        return dim not in self._bound

    def bind(self, dim: Dim, expr: Expr) -> None:
        """Let ``dim`` be ``expr`` everywhere from now on."""
        target = sole_factor(expr)
        if dim in self._orbits:
            if isinstance(target, Dim):
                self.couple_lanes(target, labels=self._orbits[dim])
            elif not is_fixed(expr):
                self._set(dim, self.fixed(dim.size))
                self._reasons[dim] = Reason(self.where, "permuted lanes meet a refinement")
                self.fix(expr, "permuted lanes meet a refinement")
                return
        self._parts[dim] = tuple(dims_in(expr))
        self._set(dim, expr)

    def fix(self, expr: Expr, why: str) -> None:
        """Forbid cutting any lane of the expression and remember who asked."""
        for dim in dims_in(self.normal(expr)):
            if dim not in self._bound:
                self._reasons[dim] = Reason(self.where, why)
                self._set(dim, self.fixed(dim.size))

    def fix_all(self, axes: Iterable[Expr], why: str) -> None:
        """Fix every axis."""
        for expr in axes:
            self.fix(expr, why)

    def _set(self, dim: Dim, expr: Expr) -> None:
        self._bound[dim] = expr
        self._version += 1

    def reasons(self, expr: Expr) -> list[Reason]:
        """Return why parts of an axis are fixed, by walking down from the original dims."""
        found: dict[Reason, None] = {}
        seen: set[Dim] = set()
        stack = [*reversed(dims_in(expr))]
        while stack:
            dim = stack.pop()
            if dim in seen:
                continue
            seen.add(dim)
            if dim in self._reasons:
                found[self._reasons[dim]] = None
            stack.extend(reversed(self._parts.get(dim, ())))
        return list(found)

    # -- lanes coupled with other lanes of their own dim -----------------------------------------

    def orbits(self, dim: Dim) -> IntArray | None:
        """Return a label for every lane; lanes of one label are cut together. None: all free."""
        return self._orbits.get(dim)

    def couple_lanes(
        self, dim: Dim, *, order: IntArray | None = None, labels: IntArray | None = None
    ) -> None:
        """Tie lane ``k`` to lane ``order[k]``, or all lanes of one label to each other."""
        root = self._orbits.get(dim, np.arange(dim.size)).copy()
        while True:  # every pass at least halves what is left of the longest cycle
            lowest = root.copy()
            if order is not None:
                np.minimum.at(lowest, order, root)
                lowest = np.minimum(lowest, lowest[order])
            for groups in (labels, root):
                if groups is not None:
                    least = np.full(dim.size, dim.size)
                    np.minimum.at(least, groups, lowest)
                    lowest = least[groups]
            if (lowest == root).all():
                break
            root = lowest
        self._orbits[dim] = root
        self._version += 1
