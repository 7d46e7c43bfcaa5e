import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.runtime.packing import pack_csr
from tests.runtime_kernels.kernel_library import Variant, needs_kernels, variant_params, variants
from tests.runtime_kernels.kernels.csr_linear_problem import (
    Guarded,
    Layer,
    describe,
    kernel_of,
    random_layer,
    run_kernel,
)

pytestmark = needs_kernels
each_kernel = pytest.mark.parametrize("variant", variant_params("csr_linear_f32"))

# Vectors are 8 and 16 wide, blocks 16, 32 and 64 tokens; one below, at and one above each.
TOKENS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 49, 63, 64, 65, 130)
ROWS = (1, 7, 8, 9, 15, 16, 17, 33)
COLUMNS = (1, 7, 8, 9, 15, 16, 17, 50)


def assert_within_bound(variant: Variant, layer: Layer, **how: int) -> None:
    y = run_kernel(variant, layer, **how)
    error = np.abs(y - layer.exact())
    assert not np.isnan(y).any()
    assert (error <= layer.bound()).all()


def test_every_variant_is_listed_fastest_first() -> None:
    names = [v.name for v in variants("csr_linear_f32")]
    assert names[-1] == "csr_linear_f32_scalar"
    assert len(names) == len(set(names))
    assert all(name.startswith("csr_linear_f32_") for name in names)


@each_kernel
@pytest.mark.parametrize("tokens", TOKENS)
def test_every_number_of_tokens_is_right(variant: Variant, tokens: int) -> None:
    assert_within_bound(variant, random_layer(tokens, 20, 35))


@each_kernel
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("columns", COLUMNS)
def test_every_matrix_size_is_right(variant: Variant, rows: int, columns: int) -> None:
    for tokens in (1, 5, 17):
        assert_within_bound(variant, random_layer(tokens, rows, columns, density=0.5))


@each_kernel
@given(
    tokens=st.integers(1, 150),
    rows=st.integers(1, 40),
    columns=st.integers(1, 70),
    density=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    bias=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    row_step=st.integers(1, 40),
    misalignment=st.integers(0, 7),
)
def test_any_layer_is_right(
    variant: Variant,
    tokens: int,
    rows: int,
    columns: int,
    density: float,
    bias: bool,
    seed: int,
    row_step: int,
    misalignment: int,
) -> None:
    layer = random_layer(tokens, rows, columns, density=density, bias=bias, seed=seed)
    assert_within_bound(variant, layer, row_step=row_step, misalignment=misalignment)


@each_kernel
@pytest.mark.parametrize("tokens", [1, 20])
def test_rows_without_nonzeros_give_exactly_the_bias(variant: Variant, tokens: int) -> None:
    layer = random_layer(tokens, 19, 23, density=0)
    assert layer.bias is not None
    np.testing.assert_array_equal(run_kernel(variant, layer), np.tile(layer.bias, (tokens, 1)))


@each_kernel
@pytest.mark.parametrize("tokens", [1, 20])
def test_infinite_inputs_of_weights_not_stored_do_not_count(variant: Variant, tokens: int) -> None:
    layer = random_layer(tokens, 19, 23)
    layer.weight[:, 4] = 0
    expected = run_kernel(variant, layer)
    layer.x[:, 4] = np.inf
    np.testing.assert_array_equal(run_kernel(variant, layer), expected)


@each_kernel
@pytest.mark.parametrize("tokens", [1, 20])
def test_a_row_range_leaves_the_other_rows_alone(variant: Variant, tokens: int) -> None:
    layer = random_layer(tokens, 30, 23)
    kernel, packed, y = kernel_of(variant), pack_csr(layer.weight), Guarded(tokens, 30)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    problem = describe(layer, packed, ctypes.addressof(buffer), y.array)
    panel = Guarded(23 * kernel.lanes)
    if tokens >= kernel.fewest_panel_tokens:
        kernel.pack(ctypes.byref(problem), 0, panel.array.ctypes.data)
    kernel.multiply(ctypes.byref(problem), 0, panel.array.ctypes.data, 3, 22)
    written = ~np.isnan(y.array[: min(tokens, kernel.lanes)])
    assert written[:, 3:22].all()
    assert not written[:, :3].any()
    assert not written[:, 22:].any()
