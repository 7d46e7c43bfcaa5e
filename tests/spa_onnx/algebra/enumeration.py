"""What an expression means, by enumeration: which lanes stand at which position of the axis.

Shares nothing with the normal form: it walks the expression as written and replaces every bound dim
by what it is bound to. Fixed lanes have no identity and leave no trace.
"""

from collections.abc import Sequence
from itertools import product

from spa_onnx.algebra.expression import Dim, Expr, Factor, Fixed, Permuted
from spa_onnx.algebra.space import Space

Position = tuple[tuple[int, int], ...]
"""Dim and lane of every free factor, slowest first."""


def positions(space: Space, expr: Expr) -> list[Position]:
    """Return what stands at each position of an axis of static length."""
    found: list[Position] = []
    for term in expr:
        choices = [_of_factor(space, factor) for factor in term]
        found.extend(tuple(lane for part in row for lane in part) for row in product(*choices))
    return found


def _of_factor(space: Space, factor: Factor) -> Sequence[Position]:
    if isinstance(factor, Fixed):
        assert isinstance(factor.size, int)
        return [()] * factor.size
    if isinstance(factor, Dim):
        bound = space._bound.get(factor)  # pyright: ignore[reportPrivateUsage]
        if bound is not None:
            return positions(space, bound)
        return [((factor.index, lane),) for lane in range(factor.size)]
    inner = positions(space, factor.expr)
    return [inner[lane] for lane in factor.order] if isinstance(factor, Permuted) else inner


def up_to_orbits(space: Space, expr: Expr) -> list[Position]:
    """Return the positions with the label of a lane where its dim has orbits."""
    labels = {d.index: space.orbits(d) for d in space.dims}

    def label(dim: int, lane: int) -> tuple[int, int]:
        orbits = labels[dim]
        return dim, lane if orbits is None else int(orbits[lane])

    return [tuple(label(*lane) for lane in p) for p in positions(space, expr)]
