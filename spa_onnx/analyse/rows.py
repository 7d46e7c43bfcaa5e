"""Uneven rows: a dim of a product that may keep other lanes in every row of another dim.

Where nothing ties the rows of ``h*d`` together (no rotary table, no scale per ``d``), each lane of
``h`` may keep lanes of its own, as many as the others. This is where heads and groups win accuracy.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from spa_onnx.algebra.expression import Axes, Dim, Expr, Nested, Permuted, Term, dims_in
from spa_onnx.analyse.propagate import Propagation

NONE = frozenset[Dim]()


def uneven_rows(state: Propagation, prunable: set[Dim], chosen: set[Dim]) -> dict[Dim, Dim]:
    """Return for every chosen dim that may be uneven the dim of its rows.

    ``d`` may differ per lane of ``h`` iff in every tensor that holds ``d``, and in everything that
    an operator computes on the way, the place of each element tells its one lane of ``h``, see
    :meth:`_Places.allows`; and ``h`` is not uneven itself.
    """
    candidates = _beside_another(state, prunable) & chosen
    if not candidates:
        return {}
    possible: dict[Dim, set[Dim]] = {}
    known: dict[Expr, _Axis] = {}
    for axes in chain(state.all_axes(), _inside_operators(state)):
        for e in axes:
            if e not in known:
                known[e] = _Axis.of(e)
        places = _Places([known[e] for e in axes])
        for d in candidates & places.dims:
            rows_of = possible[d] if d in possible else prunable & places.dims
            possible[d] = {h for h in rows_of if places.allows(d, h)}
    rows: dict[Dim, Dim] = {}
    for d in sorted(possible, key=lambda d: (d.size, d.index)):
        free = [
            h
            for h in possible[d]
            if h not in rows
            and d not in rows.values()
            and state.space.orbits(d) is None
            and state.space.orbits(h) is None
        ]
        if free:
            rows[d] = max(free, key=lambda h: (h.size, -h.index))
    return rows


def _beside_another(state: Propagation, prunable: set[Dim]) -> set[Dim]:
    """Return prunable dims that stand in a product with another one; the only candidates.

    Searching all pairs would be cubic in the number of dims.
    """
    found: set[Dim] = set()
    seen: set[Expr] = set()

    def visit(expr: Expr) -> None:
        if expr in seen:
            return
        seen.add(expr)
        for term in expr:
            if len(term) > 1 and len(held := prunable.intersection(dims_in((term,)))) > 1:
                found.update(held)
            for f in term:
                if isinstance(f, Nested | Permuted):
                    visit(f.expr)

    for axes in state.all_axes():
        for e in axes:
            visit(e)
    return found


def _inside_operators(state: Propagation) -> Iterator[Axes]:
    """Yield the axes of what exists only inside operators, as if it were tensors.

    What a contraction runs over: each operand of ``x (h, d) @ x' (d, h)`` knows a row for ``d``,
    but not the same one. What is left where an axis is mixed: a softmax over ``h`` compares lanes
    of ``d`` in all rows. And what a rule names.
    """
    normal = state.space.normal
    for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
        if coupling is None:
            continue
        for axes in (*coupling.work, *coupling.hidden):
            yield tuple(map(normal, axes))
        for mixed in coupling.mixed:
            given = state.axes_of(node.inputs[mixed.input]) or ()
            yield tuple(e for k, e in enumerate(given) if k not in mixed.axes)


@dataclass(frozen=True, slots=True)
class _Occurrence:
    """One place of a dim on an axis.

    Attributes:
        beside: dims of which every position of this place has a lane, so that the two are built up
            together; within a permutation only those that stand further left in the same one.
        permuted: whether it is inside a permutation.
    """

    beside: frozenset[Dim]
    permuted: bool


@dataclass(slots=True)
class _Axis:
    """Where dims stand on one axis.

    Attributes:
        places: every occurrence of each dim.
        everywhere: dims of which each position of the axis has a lane.
        repeated: dims that stand twice in one product, so that a position has two lanes of them.
    """

    places: dict[Dim, list[_Occurrence]] = field(default_factory=lambda: defaultdict(list))
    everywhere: frozenset[Dim] = NONE
    repeated: set[Dim] = field(default_factory=set)

    @staticmethod
    def of(expr: Expr) -> _Axis:
        """Return where the dims of a normalised expression stand."""
        axis = _Axis(everywhere=_everywhere(expr))
        axis._visit(expr, NONE, False)
        return axis

    def _visit(self, expr: Expr, outside: frozenset[Dim], permuted: bool) -> None:
        for term in expr:
            told = [_everywhere(((f,),)) for f in term]
            if len(term) > 1:
                self._note_repeated(term)
            for k, f in enumerate(term):
                others = told[:k] if permuted else told[:k] + told[k + 1 :]
                beside = outside.union(*others)
                if isinstance(f, Dim):
                    self.places[f].append(_Occurrence(beside, permuted))
                elif isinstance(f, Nested):
                    self._visit(f.expr, beside, permuted)
                elif isinstance(f, Permuted):
                    self._visit(f.expr, NONE, True)

    def _note_repeated(self, term: Term) -> None:
        counts = Counter(chain.from_iterable(set(dims_in(((f,),))) for f in term))
        self.repeated.update(d for d, n in counts.items() if n > 1)


def _everywhere(expr: Expr) -> frozenset[Dim]:
    """Return the dims of which every position has a lane."""
    common: frozenset[Dim] | None = None
    for term in expr:
        held: set[Dim] = set()
        for f in term:
            if isinstance(f, Dim):
                held.add(f)
            elif isinstance(f, Nested | Permuted):
                held |= _everywhere(f.expr)
        common = frozenset(held) if common is None else common & held
        if not common:
            return NONE
    return common or NONE


class _Places:
    """Where the dims of one tensor stand."""

    def __init__(self, axes: Iterable[_Axis]) -> None:
        self._axes = list(axes)
        self.dims = set[Dim]().union(*(a.places for a in self._axes))

    def allows(self, d: Dim, h: Dim) -> bool:
        """Say whether this tensor lets ``d`` differ per lane of ``h``.

        Either ``h`` stands beside every ``d`` in the same product, on either side of it; inside a
        permutation, whose new order is that of the kept positions, to its left and in the same one.
        Or ``h`` is on exactly one axis, which holds no ``d`` and has a lane of ``h`` at each
        position, and no ``d`` is permuted: one order could not suit all rows. In no product does
        ``h`` stand twice.
        """
        holders = [a for a in self._axes if h in a.places]
        if h is d or any(h in a.repeated for a in holders):
            return False
        found = [place for a in self._axes for place in a.places.get(d, ())]
        if all(h in place.beside for place in found):
            return True
        if len(holders) != 1 or d in holders[0].places or h not in holders[0].everywhere:
            return False
        return not any(place.permuted for place in found)
