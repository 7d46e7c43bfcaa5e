"""What the CUDA library refuses, and that nothing stays allocated after it did."""

from __future__ import annotations

import ctypes
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spa_onnx.runtime.cuda import CudaError, CudaLayer
from spa_onnx.runtime.cuda_abi import Layer, load_cuda_library
from spa_onnx.runtime.packing import pack_blocks, pack_segments
from tests.runtime_kernels.cuda.given_layer import convolution, linear, numbers
from tests.runtime_kernels.cuda.packing import Packing, few_packings
from tests.runtime_kernels.cuda_library import (
    cuda_library,
    emulated_bytes,
    emulated_device,
    needs_cuda_library,
    needs_emulator,
)

pytestmark = needs_cuda_library
each_packing = pytest.mark.parametrize("packing", few_packings(), ids=str)

TILES = Packing("tiles", block=(64, 64))


@pytest.fixture(autouse=True)
def nothing_left() -> Generator[None]:
    """Check that the emulated device's memory is free afterwards."""
    yield
    library = cuda_library()
    assert not library.device().emulated or emulated_bytes() == 0


def timed(layer: CudaLayer) -> None:
    """Time a run."""
    with cuda_library().prepare(layer, copies=2) as runner:
        runner.time(2)


def refused(layer: CudaLayer) -> str:
    """Return why a layer is refused, whatever is asked of it."""
    texts = set()
    for ask in (cuda_library().run, cuda_library().kernels, timed):
        with pytest.raises(CudaError) as failure:
            ask(layer)
        texts.add(str(failure.value))
    assert len(texts) == 1
    return texts.pop()


def some_layer(packing: Packing = TILES) -> CudaLayer:
    return linear(packing, 5, 100, 70).with_epilogue().native


def test_kinds_for_the_cpu_are_refused() -> None:
    x = numbers(TILES, 3, 64)
    weight = np.ones((32, 64), np.float16)
    for packed in (pack_blocks(weight, 4, None, np.float16), pack_segments(weight, np.float16)):
        assert "kind" in refused(CudaLayer(packed, x))


def test_float32_values_are_refused() -> None:
    packed = pack_blocks(np.ones((32, 64), np.float32), 1)
    refused(CudaLayer(packed, numbers(TILES, 3, 64)))


@each_packing
def test_every_changed_byte_is_found(packing: Packing) -> None:
    layer = some_layer(packing)
    packed = bytes(layer.packed)
    # but for the matrix's shape, which Python compares with that of the input
    for place in (*range(8), *range(16, 128), 130, len(packed) // 2, len(packed) - 1):
        broken = packed[:place] + bytes([packed[place] ^ 4]) + packed[place + 1 :]
        with pytest.raises(CudaError):
            cuda_library().kernels(replace(layer, packed=broken))


@each_packing
def test_what_is_cut_off_is_missed(packing: Packing) -> None:
    layer = some_layer(packing)
    for size in (128, 129, len(layer.packed) - 64, len(layer.packed) - 1):
        refused(replace(layer, packed=bytes(layer.packed[:size])))


@each_packing
def test_kernels_of_other_kinds_are_refused(packing: Packing) -> None:
    other = "gemv_masks_x1" if packing.kind == "tiles" else "gemm_tiles16_x64"
    for kernel in (other, "nothing"):
        layer = replace(some_layer(packing), kernel=kernel)
        assert f"no kernel '{kernel}' can do it" in refused(layer)


def test_unknown_activations_are_refused() -> None:
    assert "'swoosh'" in refused(replace(some_layer(), activation="swoosh"))


@needs_emulator
@pytest.mark.parametrize("capability", [(7, 5), (5, 2)])
def test_devices_that_are_too_old_are_refused(capability: tuple[int, int]) -> None:
    with emulated_device(*capability):
        text = refused(some_layer())
    assert f"compute capability {capability[0]}.{capability[1]}" in text
    assert "need 8.0 or newer" in text


@needs_emulator
@each_packing
def test_devices_without_shared_memory_are_refused(packing: Packing) -> None:
    with emulated_device(shared_memory=1 << 10):
        assert "no kernel for device 'emulated' can do it" in refused(some_layer(packing))


def run_with(memory: int, layer: CudaLayer) -> str:
    """Return why a layer is refused on a device with so much memory; nothing where it is not."""
    with emulated_device(memory=memory):
        try:
            cuda_library().run(layer)
        except CudaError as failure:
            return str(failure)
    return ""


@needs_emulator
@each_packing
def test_a_layer_fits_the_memory_or_is_refused(packing: Packing) -> None:
    layer = some_layer(packing)
    refusals = 0
    while problem := run_with(500 * refusals, layer):
        assert "out of memory" in problem
        assert emulated_bytes() == 0
        refusals += 1
    assert refusals > 3


@needs_emulator
def test_copies_that_do_not_fit_are_refused() -> None:
    layer = some_layer()
    with emulated_device(memory=200_000), pytest.raises(CudaError, match="out of memory"):
        cuda_library().prepare(layer, copies=1000)
    assert emulated_bytes() == 0
    with emulated_device(memory=1000), pytest.raises(CudaError, match="out of memory"):
        cuda_library().prepare_read(2000)


def native_refusal(layer: CudaLayer, **changed: Any) -> str:
    """Return why the library itself refuses sizes that :class:`CudaLayer` does not let through."""
    path = cuda_library().path
    error = ctypes.create_string_buffer(1000)
    y = np.empty(layer.y_shape, layer.x.dtype)
    with layer.native(y) as native:
        for name, value in changed.items():
            setattr(native, name, value)
        function = load_cuda_library(path).SpaCudaRun
        assert function(0, ctypes.pointer(native), error, len(error)) == 1
    return error.value.decode()


PAIR = Layer.input.size // ctypes.sizeof(ctypes.c_size_t)
Pair = ctypes.c_size_t * PAIR

LARGE: dict[str, tuple[str, dict[str, Any]]] = {
    "tokens": ("elements, too many", {"tokens": 2**63}),
    "outputs": ("elements, too many", {"tokens": 2**58}),
    "images": ("elements, too many", {"images": 2**62}),
    "a plane": ("elements, too many", {"input": Pair(2**40, 2**40)}),
    "a width": (r"at most 2^31 - 1", {"input": Pair(1, 2**31)}),
    "a stride": (r"at most 2^31 - 1", {"strides": Pair(1, 2**31)}),
    "no stride": ("strides must be at least 1", {"strides": Pair(0, 1)}),
    "tokens and images": ("tokens of a convolution", {"tokens": 3}),
}


@pytest.mark.parametrize("name", LARGE)
def test_sizes_that_overflow_are_refused(name: str) -> None:
    text, changed = LARGE[name]
    planes = convolution(TILES, (1, 100, 4, 4), 70).native
    layer = some_layer() if name in ("tokens", "outputs") else planes
    assert text in native_refusal(layer, **changed)


def test_a_layer_larger_than_any_memory_is_refused() -> None:
    assert "memory" in native_refusal(some_layer(), tokens=1 << 40)


def test_devices_that_are_not_there_are_refused() -> None:
    library = replace(cuda_library(), index=99)
    for ask in (library.run, library.kernels, library.prepare):
        with pytest.raises(CudaError):
            ask(some_layer())
