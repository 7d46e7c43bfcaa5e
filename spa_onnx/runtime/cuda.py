"""Layers on a GPU without ONNX Runtime: run once, or timed by the device's own events.

Tests, benchmarks and the choice of packings use it; models run in sessions. Every function of
``runtime_kernels/include/spa_onnx_cuda.h`` that can fail raises :class:`CudaError` with its text.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from ml_dtypes import bfloat16

from spa_onnx.errors import SpaError
from spa_onnx.runtime.cuda_abi import Dense, Device, load_cuda_library
from spa_onnx.runtime.cuda_layer import CudaLayer, CudaLayerError
from spa_onnx.runtime.library import cuda_library_path
from spa_onnx.runtime.nvidia_packages import load_nvidia_libraries

__all__ = [
    "CudaDevice",
    "CudaError",
    "CudaLayer",
    "CudaLayerError",
    "CudaLibrary",
    "Half",
    "Runner",
    "dtype_of",
]

Half = Literal["float16", "bfloat16"]

ERROR_BYTES = 4096
NAMES_BYTES = 1 << 16


class CudaError(SpaError):
    """The library could not do what was asked; carries its reason."""


def dtype_of(name: Half) -> np.dtype[Any]:
    """Return the numpy type of that name."""
    return np.dtype(np.float16 if name == "float16" else bfloat16)


@dataclass(frozen=True, slots=True)
class CudaDevice:
    """A GPU as its driver describes it.

    Attributes:
        name: of the product.
        major: of the compute capability.
        minor: of the compute capability.
        multiprocessors: how many it has.
        emulated: there is no GPU; the threads of kernels run on the CPU, and times mean nothing.
        driver_version: of CUDA that the driver supports, 12040 for 12.4.
        runtime_version: of CUDA that the library was built with.
        memory: bytes.
        cache: bytes of the second level.
        shared_memory: bytes that a block of threads may have.
    """

    name: str
    major: int
    minor: int
    multiprocessors: int
    emulated: bool
    driver_version: int
    runtime_version: int
    memory: int
    cache: int
    shared_memory: int


class Runner:
    """Something that can be timed, in copies on the device; to be closed when done."""

    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
        self._library = library
        self._handle: ctypes.c_void_p | None = handle

    def time(self, runs: int) -> float:
        """Return the microseconds between the events around so many runs, one copy after another.

        Raises:
            CudaError: a run failed.
        """
        if self._handle is None:
            raise CudaError("a runner that is closed cannot be timed")
        if runs < 1:
            raise CudaError(f"{runs} runs cannot be timed, at least 1 is needed")
        microseconds = ctypes.c_double()
        _call(self._library, "SpaCudaTime", self._handle, runs, ctypes.byref(microseconds))
        return microseconds.value

    def close(self) -> None:
        """Free what it has on the device."""
        if self._handle is not None:
            self._library.SpaCudaRelease(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class CudaLibrary:
    """The library with the kernels for CUDA, and the device that it runs them on.

    Attributes:
        path: of the library.
        index: of the device.
    """

    path: Path
    index: int = 0

    @staticmethod
    def open(path: Path | None = None, index: int = 0) -> CudaLibrary:
        """Return the library at a path, or the installed one.

        Raises:
            CudaKernelsMissingError: there is none.
            CudaLibraryError: it cannot be loaded.
        """
        library = CudaLibrary(path or cuda_library_path(), index)
        load_nvidia_libraries()
        load_cuda_library(library.path)
        return library

    @property
    def version(self) -> str:
        """Return the version of spa-onnx that it was built as."""
        text: bytes = load_cuda_library(self.path).SpaCudaVersion()
        return text.decode()

    def device(self, index: int | None = None) -> CudaDevice:
        """Return what is known of a device, its own one unless told another.

        Raises:
            CudaError: there is no such device, or no driver.
        """
        found = Device()
        self._call("SpaCudaDescribe", ctypes.byref(found), index=index)
        return CudaDevice(
            found.name.decode(errors="replace"),
            found.major,
            found.minor,
            found.multiprocessors,
            bool(found.emulated),
            found.driver_version,
            found.runtime_version,
            found.memory,
            found.cache,
            found.shared_memory,
        )

    def run(self, layer: CudaLayer) -> npt.NDArray[Any]:
        """Return what a layer computes, in the type of its input.

        Raises:
            CudaError: it is refused, or the device failed.
        """
        y = np.empty(layer.y_shape, layer.x.dtype)
        with layer.native(y) as native:
            self._call("SpaCudaRun", ctypes.byref(native))
        return y

    def kernels(self, layer: CudaLayer) -> tuple[str, ...]:
        """Return the names of the kernels that can run a layer, the one that is chosen first.

        Raises:
            CudaError: the layer is refused.
        """
        names = ctypes.create_string_buffer(NAMES_BYTES)
        with layer.native() as native:
            self._call("SpaCudaKernels", ctypes.byref(native), names, len(names))
        return tuple(names.value.decode().split())

    def prepare(self, layer: CudaLayer, copies: int = 1) -> Runner:
        """Return a layer in so many copies on the device.

        Raises:
            CudaError: it is refused, or does not fit the device's memory.
        """
        with layer.native() as native:
            return self._prepared("SpaCudaPrepareLayer", ctypes.byref(native), _positive(copies))

    def prepare_dense(
        self, rows: int, columns: int, tokens: int, dtype: Half, copies: int = 1
    ) -> Runner:
        """Return ``(tokens, columns) x (columns, rows)`` of random numbers by cuBLASLt.

        Raises:
            CudaError: the device's memory does not hold it.
        """
        sizes = [_positive(n) for n in (rows, columns, tokens)]
        dense = Dense(int(dtype == "bfloat16"), *sizes)
        return self._prepared("SpaCudaPrepareDense", ctypes.byref(dense), _positive(copies))

    def prepare_read(self, size: int) -> Runner:
        """Return the reading of so many bytes of the device's memory.

        Raises:
            CudaError: the device's memory does not hold them.
        """
        return self._prepared("SpaCudaPrepareRead", _positive(size))

    def _prepared(self, name: str, *arguments: Any) -> Runner:
        handle = ctypes.c_void_p()
        self._call(name, *arguments, ctypes.byref(handle))
        return Runner(load_cuda_library(self.path), handle)

    def _call(self, name: str, *arguments: Any, index: int | None = None) -> None:
        device = self.index if index is None else index
        _call(load_cuda_library(self.path), name, device, *arguments)


def _call(library: ctypes.CDLL, name: str, *arguments: Any) -> None:
    """Call a function that returns 0 or writes why not.

    Raises:
        CudaError: with what it wrote.
    """
    error = ctypes.create_string_buffer(ERROR_BYTES)
    if getattr(library, name)(*arguments, error, len(error)):
        raise CudaError(error.value.decode(errors="replace") or f"{name} failed without a reason")


def _positive(number: int) -> int:
    if number < 1:
        raise CudaError(f"a size or number of copies is {number}, at least 1 is needed")
    return number
