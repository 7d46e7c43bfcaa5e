"""What only a real device can show: full sizes, its clock, its memory."""

from __future__ import annotations

import pytest

from spa_onnx.runtime.cuda import CudaError, Half
from tests.runtime_kernels.cuda.given_layer import convolution, linear
from tests.runtime_kernels.cuda.packing import HALVES, Packing
from tests.runtime_kernels.cuda_library import cuda_library, needs_gpu

pytestmark = [*needs_gpu]
each_type = pytest.mark.parametrize("values", HALVES)

BLOCKS = ((16, 16), (32, 32), (64, 64))


def large_packings(values: Half) -> list[Packing]:
    return [Packing("two_of_four", values), *(Packing("tiles", values, b) for b in BLOCKS)]


@each_type
def test_products_of_a_language_model_are_right(values: Half) -> None:
    for packing in large_packings(values):
        linear(packing, 515, 4096, 1024, density=0.2).with_epilogue("silu").check()


@each_type
def test_decoding_is_right(values: Half) -> None:
    for packing in (*large_packings(values), Packing("bitmask", values)):
        linear(packing, 1, 11008, 1024, density=0.2).with_epilogue().check()
        linear(packing, 1, 4096, 4096, density=0.5).check()


@each_type
def test_convolutions_of_an_image_network_are_right(values: Half) -> None:
    for packing in large_packings(values):
        convolution(packing, (4, 256, 56, 56), 64, density=0.2).with_epilogue("relu").check()
        convolution(packing, (4, 256, 56, 56), 512, (2, 2), density=0.2).check()


def test_more_runs_take_longer() -> None:
    layer = linear(Packing("two_of_four"), 64, 4096, 4096).native
    with cuda_library().prepare(layer, copies=4) as runner:
        runner.time(4)
        few = min(runner.time(4) for _ in range(20))
        many = min(runner.time(64) for _ in range(20))
    assert 4 * few < many < 64 * few  # other tests may use the device, too


def test_memory_that_is_not_there_is_refused_and_the_device_goes_on() -> None:
    library = cuda_library()
    with pytest.raises(CudaError, match="memory"):
        library.prepare_read(2 * library.device().memory)
    linear(Packing("tiles"), 64, 4096, 512, density=0.5).with_epilogue().check()
