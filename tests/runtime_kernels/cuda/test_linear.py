"""Linear layers by every kernel for GPUs, kind of weight and size, against float64."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime_kernels.cuda.given_layer import GivenLayer, linear, numbers
from tests.runtime_kernels.cuda.oracle import agrees
from tests.runtime_kernels.cuda.packing import Packing, few_packings, packings
from tests.runtime_kernels.cuda_library import cuda_library, needs_cuda_library, own_kernels
from tests.runtime_kernels.layers.oracle import ACTIVATION_ERROR

pytestmark = needs_cuda_library
each_packing = pytest.mark.parametrize("packing", few_packings(), ids=str)

# Slabs are of 64 stored columns, up to four of them under way; blocks of 16 to 64, groups of 4.
COLUMNS = (1, 2, 3, 4, 5, 8, 15, 16, 17, 33, 63, 64, 65, 66, 68, 127, 128, 129, 257, 321)
ROWS = (1, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129)


def tokens_for(packing: Packing, tokens: int) -> int:
    """Return fewer for bit masks, of which the emulator takes long to load a panel for a token."""
    return min(tokens, 2) if packing.kind == "bitmask" else tokens


def tokens_of(kernel: str) -> int:
    """Return the tokens of a kernel's tile, which its name tells."""
    return int(kernel.rpartition("_x")[2])


@pytest.mark.parametrize("packing", packings(), ids=str)
def test_every_packing_is_right(packing: Packing) -> None:
    linear(packing, tokens_for(packing, 20), 150, 70).with_epilogue("relu").check()


@each_packing
def test_tokens_around_a_tile_are_right(packing: Packing) -> None:
    names = own_kernels(linear(packing, 1, 40, 20).native)
    for name in names:
        tile = tokens_of(name)
        for tokens in {1, tile - 1, tile, tile + 1} - {0}:
            layer = linear(packing, tokens, 40, 20).with_epilogue()
            y = cuda_library().run(replace(layer.native, kernel=name))
            assert agrees(y, layer.expected()), (name, tokens)


@each_packing
def test_rows_around_a_tile_are_right(packing: Packing) -> None:
    tokens = tokens_for(packing, 5)
    for rows in ROWS:
        linear(packing, tokens, 33, rows, density=0.6).with_epilogue("relu").check()


@each_packing
def test_every_number_of_columns_is_right(packing: Packing) -> None:
    tokens = tokens_for(packing, 6)
    for columns in COLUMNS:
        linear(packing, tokens, columns, 18, density=0.6).check()


@each_packing
def test_long_rows_go_through_the_pipeline_often(packing: Packing) -> None:
    linear(packing, tokens_for(packing, 9), 1300, 20, density=0.9).check()


@each_packing
@pytest.mark.parametrize("density", [0.0, 1.0])
def test_all_and_no_weights_may_be_stored(packing: Packing, density: float) -> None:
    linear(packing, tokens_for(packing, 9), 100, 70, density=density).with_epilogue(
        bias=False
    ).check()


@each_packing
def test_a_single_value_is_found(packing: Packing) -> None:
    for row, column in ((0, 0), (69, 130), (17, 66)):
        layer = linear(packing, 3, 131, 70, density=0)
        layer.weight[row, column] = 3
        for name, y in layer.runs():
            expected = np.zeros((3, 70))
            expected[:, row] = (3 * layer.x[:, column].astype(np.float32)).astype(packing.dtype)
            np.testing.assert_array_equal(y.astype(np.float64), expected, name)


@each_packing
def test_rows_without_weights_give_exactly_the_bias(packing: Packing) -> None:
    tokens = tokens_for(packing, 7)
    layer = linear(packing, tokens, 60, 200).with_epilogue(residual=False)
    empty = slice(64, 192)
    layer.weight[empty] = 0
    assert layer.bias is not None
    for name, y in layer.runs():
        np.testing.assert_array_equal(y[:, empty], np.tile(layer.bias[empty], (tokens, 1)), name)


@each_packing
def test_every_activation_follows_the_sums(packing: Packing) -> None:
    # 24 and 32 rows go to the output 16 bytes at a time, 21 one by one
    added = ((1, 21, True, False), (2, 24, False, True), (18, 32, True, True))
    for activation, (tokens, rows, bias, residual) in product(ACTIVATION_ERROR, added):
        layer = linear(packing, tokens_for(packing, tokens), 30, rows)
        layer.with_epilogue(activation, bias=bias, residual=residual).check()


@pytest.mark.parametrize("packing", [p for p in few_packings() if p.kind != "two_of_four"], ids=str)
def test_inputs_of_blocks_that_are_not_stored_do_not_count(packing: Packing) -> None:
    layer = linear(packing, 2, 192, 70, density=1)
    layer.weight[:, 64:128] = 0
    before = dict(layer.runs())
    layer.x[:, 64:128] = np.resize([np.inf, -np.inf, np.nan], 64)
    for name, y in layer.runs():
        np.testing.assert_array_equal(y, before[name], name)


@each_packing
def test_what_is_not_finite_in_one_token_stays_there(packing: Packing) -> None:
    # what lies behind a row of 23 columns is the next token
    tokens = 3 if packing.kind == "bitmask" else 37
    for columns in (23, 40):
        layer = linear(packing, tokens, columns, 33, density=1)
        before = dict(layer.runs())
        layer.x[1, :4], layer.x[1, -4:] = np.inf, np.nan
        others = np.arange(tokens) != 1
        for name, y in layer.runs():
            np.testing.assert_array_equal(y[others], before[name][others], name)
            assert not np.isfinite(y[1].astype(np.float32)).any(), name


@each_packing
def test_every_number_goes_through_unchanged(packing: Packing) -> None:
    side = 256
    weight = np.arange(side**2, dtype=np.uint16).reshape(side, side).view(packing.dtype)
    finite = np.isfinite(weight.astype(np.float32))
    if packing.kind == "two_of_four":
        finite &= np.isin(np.arange(side) % 4, (1, 2))
    weight = np.where(finite, weight, packing.dtype.type(0))
    identity = np.eye(side).astype(packing.dtype)
    columns = slice(64, 68) if packing.kind == "bitmask" else slice(None)
    layer = GivenLayer(packing, weight, identity[columns])
    y = cuda_library().run(layer.native)
    np.testing.assert_array_equal(y, weight.T[columns])


@each_packing
def test_sums_beyond_the_type_become_infinite(packing: Packing) -> None:
    layer = linear(packing, 2, 64, 16, density=1)
    largest = np.finfo(np.float32).max if packing.values == "bfloat16" else 60_000
    layer.x[...] = packing.dtype.type(largest / 2)
    layer.weight[...] = np.where(layer.weight == 0, layer.weight, packing.dtype.type(2))
    for name, y in layer.runs():
        assert np.isposinf(y.astype(np.float32)).all(), name


WIDE = (
    (Packing("tiles"), 2**20 + 24),
    (Packing("tiles", "bfloat16", (32, 32)), 2**21 + 40),
    (Packing("bitmask", "bfloat16"), 2**16 + 7),
)


@pytest.mark.parametrize(("packing", "columns"), WIDE, ids=str)
def test_columns_that_two_bytes_do_not_count_are_right(packing: Packing, columns: int) -> None:
    layer = linear(packing, 1, columns, 3, density=0)
    for column in (0, 1000, 2**16 - 1, 2**16, columns - 1):
        layer.weight[:, column] = numbers(packing, 3, seed=column)
    layer.check()


@settings(max_examples=40)
@given(
    packing=st.sampled_from(packings()),
    sizes=st.tuples(st.integers(1, 80), st.integers(1, 200), st.integers(1, 140)),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    added=st.tuples(st.booleans(), st.booleans()),
    activation=st.sampled_from(sorted(ACTIVATION_ERROR)),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_layer_is_right(
    packing: Packing,
    sizes: tuple[int, int, int],
    density: float,
    added: tuple[bool, bool],
    activation: str,
    seed: int,
) -> None:
    tokens, columns, rows = sizes
    layer = linear(packing, tokens_for(packing, tokens), columns, rows, density=density, seed=seed)
    layer.with_epilogue(activation, bias=added[0], residual=added[1]).check()
