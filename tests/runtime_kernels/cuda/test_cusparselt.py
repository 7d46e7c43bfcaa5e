"""2:4 layers by a cuSPARSELt that computes on the CPU, beside our own kernels."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from spa_onnx.runtime.cuda import CudaError
from tests.runtime_kernels.cuda.by_cusparselt import NAME, expected, run
from tests.runtime_kernels.cuda.fakes import Fake, compiled, needs_compiler
from tests.runtime_kernels.cuda.given_layer import GivenLayer, convolution, linear
from tests.runtime_kernels.cuda.oracle import agrees
from tests.runtime_kernels.cuda.packing import HALVES, Packing
from tests.runtime_kernels.cuda_library import cuda_library, emulated_bytes, needs_emulator
from tests.runtime_kernels.layers.oracle import ACTIVATION_ERROR

VARIABLE = "SPA_ONNX_CUSPARSELT"
VERSION = 1000
NOT_SUPPORTED = 10

TWO = Packing("two_of_four")
each_type = pytest.mark.parametrize("packing", [Packing("two_of_four", h) for h in HALVES], ids=str)

pytestmark = [needs_emulator, needs_compiler]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Fake:
    return Fake(compiled("fake_cusparselt.cc", tmp_path_factory.mktemp("cusparselt")))


@pytest.fixture
def fake(library: Fake, monkeypatch: pytest.MonkeyPatch) -> Generator[Fake]:
    monkeypatch.setenv(VARIABLE, str(library.path))
    library.native.FakeReset(VERSION)
    before = emulated_bytes()
    yield library
    assert library.alive == 0
    assert emulated_bytes() == before


def kernels(layer: GivenLayer) -> tuple[str, ...]:
    return cuda_library().kernels(layer.native)


@each_type
def test_products_are_right(fake: Fake, packing: Packing) -> None:
    # 48 and 80 columns end amid a block of metadata, 96 with one of the two that share a word
    sizes = product((8, 24), (16, 32, 48, 80, 96, 320), (16, 48))
    for tokens, columns, rows in sizes:
        layer = linear(packing, tokens, columns, rows, density=0.5)
        assert agrees(run(layer), layer.expected()), (tokens, columns, rows)
    assert fake.calls("cusparseLtMatmul") == 24


@each_type
def test_weights_larger_than_what_is_unpacked_at_once_are_right(
    fake: Fake, packing: Packing
) -> None:
    layer = linear(packing, 8, 2**16, 80, density=0.001)
    layer.weight[79, -4:] = 0
    layer.weight[79, -1] = 5
    assert agrees(run(layer), layer.expected())


@each_type
def test_every_activation_follows_the_sums(fake: Fake, packing: Packing) -> None:
    for activation, bias, residual in product(ACTIVATION_ERROR, (False, True), (False, True)):
        layer = linear(packing, 8, 32, 48).with_epilogue(activation, bias=bias, residual=residual)
        assert agrees(run(layer), expected(layer)), (activation, bias, residual)
    assert fake.calls("cusparseLtMatmul") == 4 * len(ACTIVATION_ERROR)


@each_type
def test_activations_of_many_outputs_are_right(fake: Fake, packing: Packing) -> None:
    # more than the threads of a grid on the emulated device, which has four multiprocessors
    layer = linear(packing, 1040, 16, 80).with_epilogue("silu")
    assert agrees(run(layer), expected(layer))


def test_it_is_listed_after_our_own_kernels_where_it_can_do_a_layer(fake: Fake) -> None:
    assert kernels(linear(TWO, 8, 32, 48))[-1] == NAME
    others = (
        linear(TWO, 7, 32, 48),
        linear(TWO, 8, 24, 48),
        linear(TWO, 8, 32, 40),
        convolution(TWO, (1, 32, 2, 4), 48),
        linear(Packing("tiles"), 8, 32, 48),
        linear(Packing("bitmask"), 8, 32, 48),
    )
    for layer in others:
        assert NAME not in kernels(layer)
        with pytest.raises(CudaError, match="no kernel 'cusparselt' can do it"):
            run(layer)
    assert fake.alive == 0


def test_without_the_library_it_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = linear(TWO, 8, 32, 48)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert NAME not in kernels(layer)
    missing = r"cuSPARSELt cannot be loaded \(libcusparseLt.so.0, libcusparseLt.so\): install it"
    with pytest.raises(CudaError, match=f"{missing}|cuSPARSELt needs a GPU"):
        run(layer)
    monkeypatch.setenv(VARIABLE, "/no/such/library.so")
    assert NAME not in kernels(layer)
    with pytest.raises(CudaError, match=r"from where SPA_ONNX_CUSPARSELT says it is: /no/such"):
        run(layer)


def test_a_run_is_planned_once_and_recorded(fake: Fake) -> None:
    layer = linear(TWO, 16, 32, 48).with_epilogue("gelu")
    with cuda_library().prepare(replace(layer.native, kernel=NAME), copies=3) as runner:
        for runs in (5, 5, 2):
            assert runner.time(runs) > 0
        assert fake.calls("cusparseLtSpMMACompress2") == 3
        assert fake.calls("cusparseLtMatmulPlanInit") == 3
        assert fake.calls("cusparseLtMatmulSearch") == 3


def test_only_compressed_weights_and_workspaces_stay_on_the_device(fake: Fake) -> None:
    before = emulated_bytes()
    columns, rows = 4096, 64
    layer = linear(TWO, 8, columns, rows, density=0.01)
    own = layer.native
    with cuda_library().prepare(own):
        without = emulated_bytes() - before
    with cuda_library().prepare(replace(own, kernel=NAME)) as runner:
        runner.time(1)
        # a compressed weight of this library here has all numbers
        assert emulated_bytes() - before - without == 2 * rows * columns + 16 + 4096


FUNCTIONS = (
    "cusparseLtInit",
    "cusparseLtGetVersion",
    "cusparseLtStructuredDescriptorInit",
    "cusparseLtSpMMACompressedSize2",
    "cusparseLtSpMMACompress2",
    "cusparseLtDenseDescriptorInit",
    "cusparseLtMatmulDescriptorInit",
    "cusparseLtMatmulDescSetAttribute",
    "cusparseLtMatmulAlgSelectionInit",
    "cusparseLtMatmulPlanInit",
    "cusparseLtMatmulGetWorkspace",
    "cusparseLtMatmulSearch",
    "cusparseLtMatmul",
)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_the_library_refuses_is_an_error_with_its_status(fake: Fake, function: str) -> None:
    fake.refuse(function, NOT_SUPPORTED)
    layer = linear(TWO, 8, 32, 48).with_epilogue("relu")
    with pytest.raises(CudaError, match=r"^cuSPARSELt: .*: CUSPARSE_STATUS_NOT_SUPPORTED$"):
        run(layer)


def test_versions_with_other_numbers_are_refused(fake: Fake) -> None:
    fake.native.FakeReset(502)
    with pytest.raises(CudaError, match="version 502 of it is too old"):
        run(linear(TWO, 8, 32, 48))


def test_memory_that_is_not_there_is_refused(fake: Fake) -> None:
    layer = linear(TWO, 8, 32, 48)
    wide = replace(layer, x=np.zeros((2**20, 32), np.float16))
    with pytest.raises(CudaError, match="out of memory"):
        cuda_library().prepare(replace(wide.native, kernel=NAME), copies=64)
    assert fake.alive == 0
