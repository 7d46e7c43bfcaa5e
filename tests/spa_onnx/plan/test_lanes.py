"""Slices, masks and lengths against an oracle that asks for each element whether it stays."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spa_onnx.algebra.expression import Axes, Dim, Expr, dims_in
from spa_onnx.algebra.size import symbol
from spa_onnx.algebra.space import Space
from spa_onnx.plan.lanes import Kept, KeptLanes
from tests.spa_onnx.algebra.drawing import lanes_of, spaces_with_expressions
from tests.spa_onnx.algebra.enumeration import Position, positions

KeptDims = Mapping[Dim, Kept]


def element_stays(place: Sequence[Position], kept: Mapping[int, tuple[Any, int | None]]) -> bool:
    """Say whether an element stays; ``place`` holds what stands at its position on each axis."""
    everywhere = {dim: lane for position in place for dim, lane in position}
    for position in place:
        before = dict[int, int]()
        for dim, lane in position:
            if dim in kept:
                mask, rows = kept[dim]
                row = () if rows is None else (before.get(rows, everywhere.get(rows)),)
                if not mask[(*row, lane)]:
                    return False
            before[dim] = lane
    return True


def staying(
    space: Space, axes: Axes, kept: KeptDims, masked: Sequence[int] | None = None
) -> np.ndarray:
    """Return for every element whether it stays; lanes of other axes than ``masked`` all do."""
    known = {d.index: (k.mask, None if k.rows is None else k.rows.index) for d, k in kept.items()}
    places = [positions(space, e) for e in axes]
    result = np.zeros([len(p) for p in places], bool)
    for index in product(*(range(len(p)) for p in places)):
        place = [places[k][i] for k, i in enumerate(index)]
        if masked is None:
            result[index] = element_stays(place, known)
        else:
            dims = {d for k in masked for d, _ in place[k]}
            result[index] = element_stays(place, {d: m for d, m in known.items() if d in dims})
    return result


def random_masks(space: Space, data: st.DataObject) -> dict[Dim, Kept]:
    """Return a mask, the same for all rows, for some of the free dims."""
    kept: dict[Dim, Kept] = {}
    for dim in space.dims:
        if space.is_free(dim) and data.draw(st.booleans()):
            size = data.draw(st.integers(1, dim.size))
            lanes = data.draw(st.permutations(range(dim.size)))[:size]
            kept[dim] = Kept(np.isin(np.arange(dim.size), lanes))
    return kept


@given(spaces_with_expressions(2), st.data())
def test_even_lanes_are_sliced_from_any_tensor(
    drawn: tuple[Space, list[Expr]], data: st.DataObject
) -> None:
    space, axes = drawn[0], tuple(map(drawn[0].normal, drawn[1]))
    shape = [lanes_of(e) for e in axes]
    assume(0 < np.prod(shape) <= 1500)
    kept = random_masks(space, data)
    lanes = KeptLanes(space, kept)
    whole = np.arange(np.prod(shape)).reshape(shape)
    sliced = lanes.slice(whole, axes)
    assert sliced.shape == tuple(lanes.length(e) for e in axes)
    np.testing.assert_array_equal(sliced.reshape(-1), whole[staying(space, axes, kept)])
    for e in axes:
        (mask,) = (staying(space, (e,), kept),)
        np.testing.assert_array_equal(lanes.places(e), np.flatnonzero(mask))
        assert lanes.is_cut(e) == (not mask.all())


# -- uneven rows -----------------------------------------------------------------------------------


def dim_of(expr: Expr) -> Dim:
    ((dim,),) = expr
    assert isinstance(dim, Dim)
    return dim


def uneven(seed: int, rows: int, lanes: int, count: int) -> np.ndarray:
    """Return a mask with other lanes, equally many, in every row."""
    random = np.random.default_rng(seed)
    mask = np.zeros((rows, lanes), bool)
    for row in mask:
        row[random.choice(lanes, count, replace=False)] = True
    return mask


class Heads:
    """Three heads ``h`` with lanes ``d`` and ``e`` of their own; ``c`` is an ordinary dim."""

    def __init__(self, seed: int = 0, cut_heads: bool = False) -> None:
        self.space = Space()
        self.h, self.d = self.space.dim(3, "h"), self.space.dim(5, "d")
        self.e, self.c = self.space.dim(4, "e"), self.space.dim(2, "c")
        h = dim_of(self.h)
        self.kept = {
            dim_of(self.d): Kept(uneven(seed, 3, 5, 2), h),
            dim_of(self.e): Kept(uneven(seed + 1, 3, 4, 3), h),
            dim_of(self.c): Kept(np.array([False, True])),
        }
        if cut_heads:
            self.kept[h] = Kept(np.array([True, False, True]))

    def forms(self) -> dict[str, Axes]:
        """Return tensors in which lanes may differ from head to head."""
        product, concat, fixed = self.space.product, self.space.concat, self.space.fixed
        h, d, e, c = self.h, self.d, self.e, self.c
        return {
            "one axis": (product([h, d]),),
            "one axis and others": (c, product([h, d]), fixed(2)),
            "head before lane": (h, d),
            "lane before head": (d, h),
            "axes between": (h, c, d),
            "batch of heads": (product([fixed(2), h]), d),
            "several parts": (h, concat([d, e])),
            "parts with an even one": (h, concat([d, c, e])),
            "parts in the head": (product([h, concat([d, e])]),),
            "parts side by side": (concat([product([h, d]), product([h, e])]),),
            "twice": (h, product([fixed(2), d])),
            "inner factor": (h, product([d, fixed(2)])),
            "both ways": (h, d, e),
            "beside a product": (product([h, c]), d),
        }


FORMS = sorted(Heads().forms())


@pytest.mark.parametrize("cut_heads", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("form", FORMS)
def test_uneven_rows_are_sliced_row_by_row(form: str, seed: int, cut_heads: bool) -> None:
    heads = Heads(seed, cut_heads)
    axes = heads.forms()[form]
    lanes = KeptLanes(heads.space, heads.kept)
    shape = [lanes_of(e) for e in axes]
    whole = np.arange(np.prod(shape)).reshape(shape)
    expected = whole[staying(heads.space, axes, heads.kept)]
    sliced = lanes.slice(whole, axes)
    assert sliced.shape == tuple(lanes.length(e) for e in axes)
    if form != "lane before head":
        np.testing.assert_array_equal(sliced.reshape(-1), expected)
    else:  # kept elements are ordered by lane, slices by place in the row
        np.testing.assert_array_equal(np.sort(sliced.reshape(-1)), np.sort(expected))
        np.testing.assert_array_equal(sliced.T, lanes.slice(whole.T, axes[::-1]))


@pytest.mark.parametrize("form", FORMS)
def test_masks_say_which_elements_stay(form: str) -> None:
    heads = Heads()
    axes = heads.forms()[form]
    lanes = KeptLanes(heads.space, heads.kept)
    for masked in ([0], [len(axes) - 1], list(range(len(axes)))):
        mask = lanes.tensor_mask(axes, masked)
        expected = staying(heads.space, axes, heads.kept, masked)
        np.testing.assert_array_equal(np.broadcast_to(mask, expected.shape), expected)


def test_two_parts_of_one_axis_may_have_rows_on_different_axes() -> None:
    space = Space()
    h, g, d, e = (space.dim(n, name) for n, name in ((3, "h"), (2, "g"), (5, "d"), (4, "e")))
    kept = {
        dim_of(d): Kept(uneven(0, 3, 5, 2), dim_of(h)),
        dim_of(e): Kept(uneven(1, 2, 4, 3), dim_of(g)),
    }
    axes = (h, g, space.concat([d, e]))
    whole = np.arange(3 * 2 * 9).reshape(3, 2, 9)
    sliced = KeptLanes(space, kept).slice(whole, axes)
    np.testing.assert_array_equal(sliced.reshape(-1), whole[staying(space, axes, kept)])


def test_a_dim_that_stands_twice_in_a_product_is_cut_in_both_places() -> None:
    space = Space()
    d = space.dim(4, "d")
    axes = (space.product([d, d]),)
    kept = {dim_of(d): Kept(np.array([True, False, True, False]))}
    lanes = KeptLanes(space, kept)
    np.testing.assert_array_equal(lanes.places(axes[0]), [0, 2, 8, 10])
    assert lanes.length(axes[0]) == 4


def test_a_dynamic_axis_has_a_new_length_in_its_symbols_and_a_mask_in_numbers() -> None:
    space = Space()
    d = space.dim(4, "d")
    rows = space.product([space.fixed(symbol("T")), d])
    kept = {dim_of(d): Kept(np.array([True, False, True, False]))}
    assert KeptLanes(space, kept).length(rows) == 2 * symbol("T")
    places = KeptLanes(space, kept, {"T": 3}).places(rows)
    assert places.tolist() == [0, 2, 4, 6, 8, 10]


def test_nothing_kept_apart_means_nothing_cut() -> None:
    space = Space()
    d, e = space.dim(4, "d"), space.dim(3, "e")
    lanes = KeptLanes(space, {})
    assert not lanes.is_sliced((d, e))
    assert not lanes.is_sliced(None)
    assert dims_in(d)
    array = np.arange(12).reshape(4, 3)
    assert lanes.slice(array, (d, e)) is array
