"""Choose which factors of products are cut, so that a ratio never applies twice to one axis.

Of ``g*i`` and ``g*o`` either the groups ``g`` go or, in every group, lanes ``i`` and ``o``. Axes
that stand side by side in one weight (heads and their width in an einsum, experts and their
neurons) are a product too if they are made together or summed over together. The choice is the set
of dims, no two in one product, whose halving saves most operations; tables and biases do not count,
or attention would lose whole heads for the sake of its position tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from spa_onnx.algebra.expression import Dim, Expr, Nested, Permuted, dims_in
from spa_onnx.analyse.kinds import plain_weights, weight_sides
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.cost.polynomial import CostPolynomial, costs

if TYPE_CHECKING:
    import networkx as nx

LARGEST_EXACT = 12
"""Dims of one connected conflict up to which every choice is compared."""

TIE = 0.995
"""x; more lanes win."""


def choose_factors(
    state: Propagation, prunable: set[Dim], stream: Collection[Dim] = ()
) -> set[Dim]:
    """Return the dims to cut.

    Args:
        state: the solved graph.
        prunable: all dims that could be cut.
        stream: residual lanes, which all heads and experts share: no factor of theirs.
    """
    neighbours = _neighbours(state, prunable, prunable.difference(stream))
    dims = sorted(prunable, key=lambda d: d.index)
    if not any(neighbours.get(d) for d in dims):
        return set(dims)
    import networkx as nx  # here, for it takes 0.1 s and most CNNs have no products

    conflicts = nx.Graph((a, b) for a in dims for b in neighbours.get(a, ()))
    chosen = {d for d in dims if d not in conflicts}
    index = {d: k for k, d in enumerate(dims)}
    cost = costs(state, dims, {}).operations
    for component in nx.connected_components(conflicts):
        part = conflicts.subgraph(component)
        options = _options(part, index, cost)
        gains = {option: _removed(option, index, cost) for option in options}
        best = max(gains.values())
        equal = [option for option in options if gains[option] >= TIE * best]
        chosen |= max(equal, key=lambda o: (sum(d.size for d in o), sorted(-d.index for d in o)))
    return chosen


def _options(
    part: nx.Graph[Dim], index: Mapping[Dim, int], cost: CostPolynomial
) -> list[frozenset[Dim]]:
    """Return maximal sets without a conflict: all of them, or a greedy one where these are many."""
    import networkx as nx

    if len(part) <= LARGEST_EXACT:
        return [frozenset(clique) for clique in nx.find_cliques(nx.complement(part))]
    taken: set[Dim] = set()
    by_gain = sorted(part, key=lambda d: (-_removed([d], index, cost), d.index))
    for dim in by_gain:
        if not taken.intersection(part[dim]):
            taken.add(dim)
    return [frozenset(taken)]


def _removed(option: Iterable[Dim], index: Mapping[Dim, int], cost: CostPolynomial) -> float:
    """Return how much cost goes when each dim of the option loses half of its lanes."""
    halved = set(option)
    before = np.array([d.size for d in index], np.float64)
    after = np.array([d.size / 2 if d in halved else d.size for d in index], np.float64)
    return cost.at(before) - cost.at(after)


def removed_by_halving(dims: Sequence[Dim], cost: CostPolynomial) -> float:
    """Return how much cost goes when all dims lose half of their lanes."""
    return _removed(dims, {d: k for k, d in enumerate(dims)}, cost)


def _neighbours(state: Propagation, prunable: set[Dim], apart: set[Dim]) -> dict[Dim, set[Dim]]:
    """Return for every dim the ones that stand in a product with it, on any axis.

    Axes of one weight only count for dims of ``apart``.
    """
    found: dict[Dim, set[Dim]] = defaultdict(set)

    def join(side: Iterable[Expr]) -> None:
        dims = [apart.intersection(dims_in(e)) for e in side]
        for left, right in combinations(dims, 2):
            for a, b in product(left, right):
                if a is not b:
                    found[a].add(b)
                    found[b].add(a)

    seen: set[Expr] = set()

    def visit(expr: Expr) -> None:
        if expr in seen:
            return
        seen.add(expr)
        for term in expr:
            groups = [prunable.intersection(dims_in(((f,),))) for f in term]
            for j, left in enumerate(groups):
                for right in groups[j + 1 :]:
                    for a in left:
                        found[a] |= right - {a}
                    for b in right:
                        found[b] |= left - {b}
            for f in term:
                if isinstance(f, Nested | Permuted):
                    visit(f.expr)

    for axes in state.all_axes():
        for e in axes:
            visit(e)
    for sides in weight_sides(state, plain_weights(state)):
        for side in sides:
            join(side)
    for coupling in state.couplings:
        for (a, left), (b, right) in combinations(coupling.kinds if coupling else (), 2):
            if a != b:
                join(map(state.space.normal, (left, right)))
    return found
