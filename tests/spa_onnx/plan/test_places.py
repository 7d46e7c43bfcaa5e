"""In which order what stays stands, against an oracle that builds the new axis from kept lanes."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pytest

from spa_onnx.algebra.expression import Dim, Expr, Factor, Fixed, Permuted
from spa_onnx.algebra.select import select
from spa_onnx.algebra.space import Space
from spa_onnx.plan.lanes import Kept, KeptLanes
from tests.spa_onnx.algebra.enumeration import Position, positions
from tests.spa_onnx.plan.test_lanes import dim_of, uneven

Drawn = tuple[tuple[Dim, int], ...]
"""Dims with the place of a kept lane among those that stay, or the lane itself where all do."""


def built(space: Space, expr: Expr, kept: Mapping[Dim, Kept]) -> list[Position]:
    """Return what stands at each position of the new axis."""
    rows = (row for term in expr for row in product(*(drawn(space, f, kept) for f in term)))
    return [resolved(tuple(lane for part in row for lane in part), kept) for row in rows]


def drawn(space: Space, factor: Factor, kept: Mapping[Dim, Kept]) -> Sequence[Drawn]:
    if isinstance(factor, Fixed):
        assert isinstance(factor.size, int)
        return [()] * factor.size
    if isinstance(factor, Dim):
        count = kept[factor].count if factor in kept else factor.size
        return [((factor, place),) for place in range(count)]
    if isinstance(factor, Permuted):
        new = built(space, factor.expr, kept)
        dims = {d.index: d for d in space.dims}
        old = positions(space, factor.expr)
        stays = [old[lane] for lane in factor.order if old[lane] in new]
        return [tuple((dims[d], place_of(dims[d], lane, p, kept)) for d, lane in p) for p in stays]
    parts = [drawn(space, f, kept) for term in factor.expr for f in term]
    assert all(len(term) == 1 for term in factor.expr), "the oracle knows sums of single factors"
    return [place for part in parts for place in part]


def place_of(dim: Dim, lane: int, position: Position, kept: Mapping[Dim, Kept]) -> int:
    return lane if dim not in kept else int(mask_of(dim, dict(position), kept)[:lane].sum())


def mask_of(dim: Dim, lanes: Mapping[int, int], kept: Mapping[Dim, Kept]) -> np.ndarray:
    mask, rows = kept[dim].mask, kept[dim].rows
    return mask if rows is None else mask[lanes[rows.index]]


def resolved(place: Drawn, kept: Mapping[Dim, Kept]) -> Position:
    """Replace places by lanes: first of dims that are even, then of those in their rows."""
    lanes: dict[int, int] = {}
    for late in (False, True):
        for dim, number in place:
            if (dim in kept and kept[dim].rows is not None) == late:
                stays = np.arange(dim.size)
                if dim in kept:
                    stays = np.flatnonzero(mask_of(dim, lanes, kept))
                lanes[dim.index] = int(stays[number])
    return tuple((dim.index, lanes[dim.index]) for dim, _ in place)


def forms(space: Space, h: Expr, d: Expr, e: Expr, c: Expr) -> dict[str, Expr]:
    """Return axes on which ``d`` and ``e`` know their rows ``h``."""
    product_of, concat, fixed = space.product, space.concat, space.fixed

    def mixed(expr: Expr, lanes: int) -> Expr:
        return space.permuted(expr, np.random.default_rng(1).permutation(lanes))

    return {
        "rows before": product_of([h, d]),
        "rows behind": product_of([d, h]),
        "rows far behind": product_of([c, d, fixed(2), h]),
        "rows in between": product_of([d, h, e]),
        "lanes twice": product_of([concat([d, e]), h]),
        "side by side": concat([product_of([d, h]), c, product_of([h, e])]),
        "rows twice": product_of([d, concat([h, h])]),
        "parts inside": product_of([c, concat([d, e]), h]),
        "permuted": mixed(product_of([h, d]), 15),
        "permuted with a factor": product_of([c, mixed(product_of([h, d]), 15)]),
        "permuted rows before": product_of([mixed(h, 3), d]),
        "permuted rows behind": product_of([d, mixed(product_of([h, c]), 6)]),
        "permuted between": product_of([d, mixed(c, 2), h]),
    }


FORMS = sorted(forms(Space(), *(Space().dim(n, "x") for n in (3, 5, 4, 2))))


@pytest.mark.parametrize("cut_rows", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("form", FORMS)
def test_a_new_axis_is_built_from_what_stays_of_its_dims(
    form: str, seed: int, cut_rows: bool
) -> None:
    space = Space()
    h, d, e, c = (space.dim(n, name) for n, name in ((3, "h"), (5, "d"), (4, "e"), (2, "c")))
    kept = {
        dim_of(d): Kept(uneven(seed, 3, 5, 2), dim_of(h)),
        dim_of(e): Kept(uneven(seed + 1, 3, 4, 3), dim_of(h)),
    }
    if cut_rows:
        kept[dim_of(h)] = Kept(np.array([True, False, True]))
    axis = forms(space, h, d, e, c)[form]
    lanes = KeptLanes(space, kept)
    old = positions(space, axis)
    places = lanes.places(axis)
    assert [old[p] for p in places] == built(space, axis, kept)
    assert len(set(places.tolist())) == len(places) == lanes.length(axis)
    new = lanes.positions(axis)
    np.testing.assert_array_equal(new[places], np.arange(len(places)))
    assert (new >= 0).sum() == len(places)


def test_a_selection_follows_the_order_of_both_axes() -> None:
    """What stays of a permuted axis is chosen from what stays of its source, wherever that went."""
    space = Space()
    h, d = space.dim(3, "h"), space.dim(5, "d")
    source, order = space.product([d, h]), np.random.default_rng(0).permutation(15)
    kept = {dim_of(d): Kept(uneven(0, 3, 5, 2), dim_of(h))}
    lanes = KeptLanes(space, kept)
    chosen, indices = select(space, source, order)
    whole = np.arange(15)
    small = lanes.slice(whole, (source,))
    np.testing.assert_array_equal(small[indices(lanes)], lanes.slice(whole[order], (chosen,)))
