"""NVIDIA's libraries on a real device, where they can be loaded: results of one, times of both."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spa_onnx.runtime.cuda import CudaError, Half
from tests.runtime_kernels.cuda.by_cusparselt import NAME, expected, is_offered, run
from tests.runtime_kernels.cuda.given_layer import GivenLayer, linear
from tests.runtime_kernels.cuda.oracle import agrees
from tests.runtime_kernels.cuda.packing import HALVES, Packing
from tests.runtime_kernels.cuda_library import cuda_library, needs_gpu
from tests.runtime_kernels.layers.oracle import ACTIVATION_ERROR

pytestmark = [*needs_gpu]
each_type = pytest.mark.parametrize("values", HALVES)


def offered(layer: GivenLayer) -> GivenLayer:
    """Return a layer, or skip the test where cuSPARSELt is not there."""
    if not is_offered(layer):
        pytest.skip("cuSPARSELt cannot be loaded; SPA_ONNX_CUSPARSELT may name it")
    return layer


@each_type
def test_cusparselt_computes_products_of_many_sizes(values: Half) -> None:
    packing = Packing("two_of_four", values)
    for tokens, columns, rows in ((8, 16, 16), (24, 48, 80), (136, 1040, 272), (512, 4096, 1024)):
        layer = offered(linear(packing, tokens, columns, rows, density=0.5))
        assert agrees(run(layer), layer.expected()), (tokens, columns, rows)


@each_type
def test_cusparselt_adds_and_activates(values: Half) -> None:
    packing = Packing("two_of_four", values)
    for activation in ACTIVATION_ERROR:
        for bias, residual in ((True, False), (False, True), (True, True)):
            layer = offered(linear(packing, 64, 256, 128, density=0.5))
            layer = layer.with_epilogue(activation, bias=bias, residual=residual)
            assert agrees(run(layer), expected(layer)), (activation, bias, residual)


def test_cusparselt_is_recorded_and_timed() -> None:
    layer = offered(linear(Packing("two_of_four"), 512, 4096, 4096, density=0.5))
    native = replace(layer.with_epilogue("gelu").native, kernel=NAME)
    with cuda_library().prepare(native, copies=2) as runner:
        assert 0 < runner.time(4) < runner.time(64)


@each_type
def test_dense_products_are_timed(values: Half) -> None:
    try:
        runner = cuda_library().prepare_dense(4096, 4096, 512, values, copies=3)
    except CudaError as failure:
        if "cannot be loaded" not in str(failure):
            raise
        pytest.skip(str(failure))
    with runner:
        runner.time(6)
        few = min(runner.time(6) for _ in range(5))
        many = min(runner.time(60) for _ in range(5))
        assert 4 * few < many < 20 * few
