"""Uneven rows: a dim of a product that may keep other lanes in every row of another dim.

Where nothing ties the rows of ``h*d`` together (no rotary table, no scale per ``d``), each lane of
``h`` may keep lanes of its own, as many as the others. This is where heads and groups win accuracy.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from spa_onnx.algebra.expression import Axes, Dim, Expr, Nested, Permuted, dims_in
from spa_onnx.analyse.propagate import Propagation


def uneven_rows(state: Propagation, prunable: set[Dim], chosen: set[Dim]) -> dict[Dim, Dim]:
    """Return for every chosen dim that may be uneven the dim of its rows.

    ``d`` may differ per lane of ``h`` iff in every tensor that holds ``d``: ``h`` occurs on exactly
    one axis; it stands to the left of ``d`` in the same product, or alone in another axis that is
    one plain term; neither is permuted; and ``h`` is not uneven itself.
    """
    candidates = _right_of_another(state, prunable) & chosen
    if not candidates:
        return {}
    possible: dict[Dim, set[Dim]] = {}
    for axes in state.all_axes():
        places = _Places(axes)
        for d in candidates & places.contexts.keys():
            allowed = {h for h in places.contexts if h in prunable and places.allows(d, h)}
            possible[d] = possible[d] & allowed if d in possible else allowed
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


def _right_of_another(state: Propagation, prunable: set[Dim]) -> set[Dim]:
    """Return prunable dims that stand behind another one in a product; the only candidates.

    Searching all pairs would be cubic in the number of dims.
    """
    found: set[Dim] = set()
    seen: set[Expr] = set()

    def visit(expr: Expr, behind: bool) -> None:
        for term in expr:
            inside = behind
            for f in term:
                if isinstance(f, Dim) and f in prunable:
                    if inside:
                        found.add(f)
                    inside = True
                elif isinstance(f, Nested | Permuted):
                    visit(f.expr, inside)

    for axes in state.all_axes():
        for e in axes:
            if e not in seen:
                seen.add(e)
                visit(e, False)
    return found


class _Places:
    """Where the dims of one tensor stand."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.contexts: dict[Dim, list[frozenset[Dim]]] = defaultdict(list)
        self.permuted: set[Dim] = set()
        self.axis_count: Counter[Dim] = Counter()
        for e in axes:
            self.axis_count.update(set(dims_in(e)))
            self._visit(e, frozenset(), False)

    def _visit(self, expr: Expr, left: frozenset[Dim], permuted: bool) -> None:
        for term in expr:
            before = left
            for f in term:
                if isinstance(f, Dim):
                    self.contexts[f].append(before)
                    before |= {f}
                    if permuted:
                        self.permuted.add(f)
                elif isinstance(f, Nested | Permuted):
                    self._visit(f.expr, before, permuted or isinstance(f, Permuted))

    def allows(self, d: Dim, h: Dim) -> bool:
        """Say whether this tensor lets ``d`` differ per lane of ``h``."""
        if h is d or self.axis_count[h] != 1 or {d, h} & self.permuted:
            return False
        if all(h in context for context in self.contexts[d]):
            return True
        if len(self.contexts[h]) != 1 or any(h in context for context in self.contexts[d]):
            return False
        return any(len(e) == 1 and h in e[0] and d not in dims_in(e) for e in self.axes)
