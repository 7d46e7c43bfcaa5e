"""The solver's state: dims, what they are bound to, and the normal form of expressions.

Solving is unification with bindings, as in Prolog: a dim is free or bound to an expression, and
"refine everywhere" is one assignment. A version counter that every binding increases keeps the
memo of normal forms honest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

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
    cause_of,
    dims_in,
    is_fixed,
    sole_factor,
)
from spa_onnx.algebra.interned import Interned, joint_cause
from spa_onnx.algebra.reason import Reason
from spa_onnx.algebra.size import Polynomial, Size

SINGLE = Fixed(1)
"""How often a term stands that is not repeated."""


class NoRefinementError(Exception):
    """Two expressions have no common refinement; the caller fixes both. Never leaves the solver."""


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
        self._interned = Interned()

    # -- making expressions -------------------------------------------------------------------

    def fixed(self, size: Size, why: str = "made at a fixed length") -> Expr:
        """Return an axis of this length that nobody may cut; the running operator makes it so."""
        return ONE if size == 1 else ((self._interned.born(size, self.where, why),),)

    def count(self, size: Size) -> Expr:
        """Return so many repetitions: fixed, but the cause of nothing."""
        return ONE if size == 1 else ((self._interned.fixed(size),),)

    def alike(self, expr: Expr, size: Size) -> Expr:
        """Return a fixed axis of this length, made of one that is fixed: the cause is the same."""
        return ONE if size == 1 else ((self._interned.fixed(size, cause_of(self.normal(expr))),),)

    def caused(self, expr: Expr, why: str) -> Expr:
        """Return the normal form; fixed lanes without a cause have the running operator's."""
        expr = self.normal(expr)
        factor = sole_factor(expr)
        if isinstance(factor, Fixed) and factor.cause is None:
            return self.fixed(factor.size, why)
        return expr

    def dim(self, size: Size, name: str) -> Expr:
        """Return an axis that is one fresh dim; dynamic and trivial axes come out fixed."""
        if isinstance(size, Polynomial) or size < 2:
            return self.fixed(size, "a run-time length")
        self.dims.append(Dim(len(self.dims), size, name))
        return ((self.dims[-1],),)

    def concat(self, parts: Iterable[Expr]) -> Expr:
        """Return the parts laid end to end."""
        return self.normal(tuple(t for e in parts for t in e))

    def product(self, factors: Sequence[Expr]) -> Expr:
        """Return the row-major product; the last factor runs fastest."""
        return self.normal((tuple(self._interned.nested(e) for e in factors),))

    def permuted(self, expr: Expr, order: IntArray) -> Expr:
        """Return ``expr`` with lane ``order[k]`` at position ``k``; ``order`` is a permutation."""
        expr = self.normal(expr)
        if is_fixed(expr) or bool((order[1:] > order[:-1]).all()):
            return expr
        inner = sole_factor(expr)
        if isinstance(inner, Permuted):
            return self.permuted(inner.expr, inner.order[order])
        return ((self._interned.permuted(self.bare(expr), order),),)

    # -- normal form ------------------------------------------------------------------------

    def normal(self, expr: Expr) -> Expr:
        """Return the expression with every binding read and equal neighbours merged.

        Flat products; a *leading* concatenation is distributed, ``(a|b)*c = a*c | b*c``, others
        stay nested; ``m*X | n*X = (m+n)*X`` for fixed ``m`` and ``n``.
        """
        if len(expr) == 1 and len(expr[0]) == 1 and isinstance(expr[0][0], Fixed):
            return expr
        known = self._normal.get(expr)
        if known is not None and known[0] == self._version:
            return known[1]
        flat: list[Term] = []
        for term in expr:
            flat.extend(self._distribute(self._flatten(term)))
        result = self._merge(flat)
        self._normal[expr] = (self._version, result)
        return result

    def bare(self, expr: Expr) -> Expr:
        """Return the normal form without causes: equal wherever the same lanes may be cut."""
        return self._interned.bare(self.normal(expr))

    def _flatten(self, term: Term) -> list[Factor]:
        factors: list[Factor] = []
        for factor in term:
            for f in self._read(factor):
                if isinstance(f, Fixed):
                    if f.size == 1:
                        continue
                    before = factors[-1] if factors else None
                    if isinstance(before, Fixed):
                        cause = joint_cause(before, f)
                        factors[-1] = self._interned.fixed(before.size * f.size, cause)
                        continue
                factors.append(f)
        if len(factors) == 1:
            return factors
        return [self._interned.bare_factor(f) for f in factors]

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
        else:
            yield self._interned.nested(inner)

    @staticmethod
    def _distribute(factors: list[Factor]) -> Iterator[Term]:
        if factors and isinstance(factors[0], Nested):
            for term in factors[0].expr:
                yield (*term, *factors[1:])
        else:
            yield tuple(factors)

    def _merge(self, terms: list[Term]) -> Expr:
        runs: list[tuple[Fixed, Term]] = []
        for term in terms:
            joined = self._flatten(term)
            count = SINGLE
            if joined and isinstance(joined[0], Fixed):
                count, joined = joined[0], joined[1:]
            rest = tuple(joined)
            if count.size == 0:
                continue
            if runs and runs[-1][1] == rest:
                before, _ = runs.pop()
                cause = joint_cause(before, count)
                count = self._interned.fixed(before.size + count.size, cause)
            runs.append((count, rest))
        if not runs:
            return self.count(0)
        return tuple(rest if count.size == 1 else (count, *rest) for count, rest in runs)

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
                why = "permuted lanes meet a refinement"
                self._forbid(dim, Reason(self.where, why))
                self.fix(expr, why)
                return
        self._parts[dim] = tuple(dims_in(expr))
        self._set(dim, expr)

    def fix(self, expr: Expr, why: str, root: Reason | None = None) -> None:
        """Forbid cutting any lane of the expression and remember who asked.

        With a root ``why`` is what the operator does with them and lanes that the root fixed.
        """
        for dim in dims_in(self.normal(expr)):
            if dim not in self._bound:
                known = root if root and root.node == self.where else None
                self._forbid(dim, known or Reason(self.where, why, root))

    def _forbid(self, dim: Dim, reason: Reason) -> None:
        self._reasons[dim] = reason
        self._set(dim, ((self._interned.fixed(dim.size, reason.root or reason),),))

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
