"""SparseLinear's layer in every instruction set, kind of weight and size, against float64."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.runtime.kernels import KernelSet
from tests.runtime_kernels.kernel_library import kernel_params, needs_kernels
from tests.runtime_kernels.layers.direct import Epilogue, Float32Array, How, run_linear
from tests.runtime_kernels.layers.oracle import ACTIVATION_ERROR, linear
from tests.runtime_kernels.layers.weights import (
    Packing,
    packings,
    random_epilogue,
    random_input,
)

pytestmark = needs_kernels
each_kernel = pytest.mark.parametrize("kernels", kernel_params())
each_packing = pytest.mark.parametrize("packing", packings(), ids=str)

# Tiles are of 1 to 128 tokens, blocks and vectors of 4 to 32 rows, mask words of 64 columns.
TOKENS = (*range(1, 18), 31, 32, 33, 63, 64, 65, 127, 128, 129, 130)
LENGTHS = (1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)
BLOCKS = (Packing("blocks"), Packing("blocks", block_rows=4), Packing("blocks", block_rows=16))


def assert_right(
    packing: Packing, weight: Float32Array, x: Float32Array, epilogue: Epilogue, how: How
) -> None:
    y = run_linear(packing.pack(weight), x, len(weight), epilogue, how)
    assert linear(weight, x, epilogue).agrees(y)


@each_kernel
@each_packing
def test_every_number_of_tokens_is_right(kernels: KernelSet, packing: Packing) -> None:
    weight = packing.random_weight(37, 45)
    for tokens in TOKENS:
        epilogue = random_epilogue(37, (tokens, 37))
        assert_right(packing, weight, random_input(tokens, 45), epilogue, How(kernels))


@each_kernel
@each_packing
def test_every_number_of_rows_is_right(kernels: KernelSet, packing: Packing) -> None:
    for rows in LENGTHS:
        weight = packing.random_weight(rows, 35, density=0.5)
        for tokens in (1, 20):
            epilogue = random_epilogue(rows, (tokens, rows), "relu")
            assert_right(packing, weight, random_input(tokens, 35), epilogue, How(kernels))


@each_kernel
@each_packing
def test_every_number_of_columns_is_right(kernels: KernelSet, packing: Packing) -> None:
    for columns in LENGTHS:
        weight = packing.random_weight(20, columns, density=0.5)
        for tokens in (1, 20):
            x = random_input(tokens, columns)
            assert_right(packing, weight, x, Epilogue(), How(kernels))


@each_kernel
@each_packing
def test_all_and_no_weights_may_be_stored(kernels: KernelSet, packing: Packing) -> None:
    for density, tokens in product((0.0, 1.0), (1, 9, 33)):
        weight = packing.random_weight(35, 70, density=density)
        epilogue = random_epilogue(35, (tokens, 35), bias=False)
        assert_right(packing, weight, random_input(tokens, 70), epilogue, How(kernels))


@each_kernel
@each_packing
def test_rows_without_weights_give_exactly_the_bias(kernels: KernelSet, packing: Packing) -> None:
    weight = packing.random_weight(100, 40)
    empty = slice(32, 96)
    weight[empty] = 0
    epilogue = random_epilogue(100, (), residual=False)
    assert epilogue.bias is not None
    for tokens in (1, 3, 40):
        y = run_linear(packing.pack(weight), random_input(tokens, 40), 100, epilogue, How(kernels))
        np.testing.assert_array_equal(y[:, empty], np.tile(epilogue.bias[empty], (tokens, 1)))


@each_kernel
@each_packing
def test_every_activation_follows_the_sums(kernels: KernelSet, packing: Packing) -> None:
    weight = packing.random_weight(21, 30)
    added = ((1, True, False), (7, False, True), (18, True, True))
    for activation, (tokens, bias, residual) in product(ACTIVATION_ERROR, added):
        epilogue = random_epilogue(21, (tokens, 21), activation, bias=bias, residual=residual)
        assert_right(packing, weight, random_input(tokens, 30), epilogue, How(kernels))


@each_kernel
@each_packing
def test_tile_alignment_and_repetition_do_not_matter(kernels: KernelSet, packing: Packing) -> None:
    weight = packing.random_weight(40, 50)
    for k, tile in enumerate((1, 2, 3, 5, 8, 1000, 0)):
        for tokens in (1, 6, 40):
            epilogue = random_epilogue(40, (tokens, 40), "silu")
            how = How(kernels, tile, misalignment=k + 1, repeats=1 + k % 2)
            assert_right(packing, weight, random_input(tokens, 50), epilogue, how)


@each_kernel
@pytest.mark.parametrize(
    ("packing", "rows", "columns"),
    [
        (Packing("blocks"), 5, 2**16 + 7),
        (Packing("blocks", "float16", chunk=60_000), 5, 2**16 + 7),
        (Packing("blocks", block_rows=4), 5, 2**16 + 7),
        (Packing("blocks", block_rows=16), 17, 2**16 + 7),
        (Packing("blocks", block_rows=32, chunk=2**16), 33, 2**16 + 7),
        (Packing("segments"), 2, 2**20 + 7),
        (Packing("bitmask"), 2, 2**16 + 7),
    ],
    ids=str,
)
def test_columns_that_two_bytes_do_not_count_are_right(
    kernels: KernelSet, packing: Packing, rows: int, columns: int
) -> None:
    weight = np.zeros((rows, columns), np.float32)
    weight[:, ::997] = packing.random_weight(rows, -(-columns // 997), density=0.5)
    weight[:, -1] = 1
    for tokens in (1, 5):
        x = random_input(tokens, columns)
        assert_right(packing, weight, x, Epilogue(), How(kernels))


@each_kernel
@pytest.mark.parametrize("packing", BLOCKS, ids=str)
def test_inputs_of_weights_that_are_not_stored_do_not_count(
    kernels: KernelSet, packing: Packing
) -> None:
    weight = packing.random_weight(33, 23)
    weight[:, 4:7] = 0
    packed = packing.pack(weight)
    for tokens in (1, 3, 5, 40):
        x = random_input(tokens, 23)
        expected = run_linear(packed, x, 33, how=How(kernels))
        x[:, 4:7] = np.inf, -np.inf, np.nan
        np.testing.assert_array_equal(run_linear(packed, x, 33, how=How(kernels)), expected)


@each_kernel
@each_packing
def test_what_is_not_finite_in_one_token_stays_there(kernels: KernelSet, packing: Packing) -> None:
    weight, x = packing.random_weight(33, 23, density=1), random_input(37, 23)
    expected = run_linear(packing.pack(weight), x, 33, how=How(kernels))
    x[18, 3], x[18, 4] = np.inf, np.nan
    y = run_linear(packing.pack(weight), x, 33, how=How(kernels))
    others = np.arange(37) != 18
    np.testing.assert_array_equal(y[others], expected[others])
    assert np.isnan(y[18]).all()


BITS = np.arange(2**16, dtype=np.uint16)
MAGNITUDES = BITS & 0x7FFF
# All but the zeros, which are not stored, and all but one of what is no number.
HALVES = BITS[(MAGNITUDES > 0) & (MAGNITUDES <= 0x7C00) | (BITS == 0x7E00)]


@each_kernel
@pytest.mark.parametrize(
    "packing",
    [
        *(Packing("blocks", "float16", rows) for rows in (1, 4, 16)),
        Packing("bitmask", "float16"),
        Packing("segments", "float16"),
    ],
    ids=str,
)
def test_every_half_is_widened_exactly(kernels: KernelSet, packing: Packing) -> None:
    weight = HALVES.view(np.float16).astype(np.float32)[:, None]
    packed = packing.pack(weight)
    for tokens in (1, 7, 17) if packing.kind == "blocks" else (1,):
        y = run_linear(packed, np.ones((tokens, 1), np.float32), len(weight), how=How(kernels))
        np.testing.assert_array_equal(y, np.tile(weight[:, 0], (tokens, 1)))


@each_kernel
@given(
    packing=st.sampled_from(packings()),
    sizes=st.tuples(st.integers(1, 140), st.integers(1, 70), st.integers(1, 140)),
    density=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    added=st.tuples(st.booleans(), st.booleans()),
    activation=st.sampled_from(sorted(ACTIVATION_ERROR)),
    tile=st.integers(0, 20),
    misalignment=st.integers(0, 7),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_layer_is_right(
    kernels: KernelSet,
    packing: Packing,
    sizes: tuple[int, int, int],
    density: float,
    added: tuple[bool, bool],
    activation: str,
    tile: int,
    misalignment: int,
    seed: int,
) -> None:
    tokens, rows, columns = sizes
    weight = packing.random_weight(rows, columns, density=density, seed=seed)
    epilogue = random_epilogue(rows, (tokens, rows), activation, bias=added[0], residual=added[1])
    how = How(kernels, tile, misalignment)
    assert_right(packing, weight, random_input(tokens, columns, seed=seed), epilogue, how)
