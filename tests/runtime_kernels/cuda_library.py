"""The CUDA library as tests use it: on a GPU, or emulated on the processor."""

from __future__ import annotations

import ctypes
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from spa_onnx.lower.cuda.ways import CUSPARSELT
from spa_onnx.runtime.cuda import CudaDevice, CudaError, CudaLayer, CudaLibrary
from spa_onnx.runtime.library import CUDA_VARIABLE, CudaKernelsMissingError

KERNELS = Path("runtime_kernels/kernels")
"""Where the lists of kernels are, seen from the root of the repository."""

HOPPER = (9, 0, 227 << 10, 1 << 30)
"""Compute capability, shared memory of a block and memory of the emulated device, in bytes."""


@cache
def opened() -> tuple[CudaLibrary | None, CudaDevice | None, str]:
    """Return the library, its device, and why there is none."""
    try:
        library = CudaLibrary.open()
    except CudaKernelsMissingError as missing:
        return None, None, f"{missing.problem}; {CUDA_VARIABLE} may name an emulated one"
    try:
        return library, library.device(), ""
    except CudaError as failure:
        return library, None, str(failure)


def cuda_library() -> CudaLibrary:
    """Return the library; for tests that :data:`needs_cuda_library` marks."""
    library, _, _ = opened()
    assert library is not None
    return library


def own_kernels(layer: CudaLayer) -> tuple[str, ...]:
    """Return our kernels that can run a layer, the one that is chosen first.

    NVIDIA's, which may be there too, round in other places, and have tests of their own.
    """
    return tuple(name for name in cuda_library().kernels(layer) if name != CUSPARSELT)


_LIBRARY, _DEVICE, _PROBLEM = opened()
_EMULATED = _DEVICE is not None and _DEVICE.emulated

needs_cuda_library = pytest.mark.skipif(_DEVICE is None, reason=_PROBLEM or "there is one")

needs_emulator = pytest.mark.skipif(not _EMULATED, reason="needs the emulated CUDA library")

needs_gpu = (
    pytest.mark.cuda,
    pytest.mark.skipif(_DEVICE is None or _EMULATED, reason=_PROBLEM or "the device is emulated"),
)


def emulated_bytes() -> int:
    """Return how many bytes of the emulated device are allocated."""
    function = ctypes.CDLL(str(cuda_library().path)).SpaEmulatedBytes
    function.restype = ctypes.c_uint64
    return int(function())


@contextmanager
def emulated_device(
    major: int = 9, minor: int = 0, shared_memory: int = HOPPER[2], memory: int = HOPPER[3]
) -> Generator[None]:
    """Let the emulated device be another one for a while."""
    function = ctypes.CDLL(str(cuda_library().path)).SpaEmulateDevice
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_uint64, ctypes.c_uint64]
    function.restype = None
    function(major, minor, shared_memory, memory)
    try:
        yield
    finally:
        function(*HOPPER)
