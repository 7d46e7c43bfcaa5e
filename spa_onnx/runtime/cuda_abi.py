"""The structures and functions of ``runtime_kernels/include/spa_onnx_cuda.h`` for ctypes."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_double, c_float, c_int, c_size_t, c_void_p
from functools import cache
from pathlib import Path

from spa_onnx.errors import SpaError


class CudaLibraryError(SpaError):
    """A file that is no CUDA library of ours, or one that this system cannot load."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path} cannot be used as the CUDA library: {problem}; install spa-onnx again where "
            "the CUDA toolkit is, with --force-reinstall --no-cache-dir"
        )


class Device(ctypes.Structure):
    """SpaCudaDevice."""

    _fields_ = (
        ("name", ctypes.c_char * 256),
        ("major", ctypes.c_int32),
        ("minor", ctypes.c_int32),
        ("multiprocessors", ctypes.c_int32),
        ("emulated", ctypes.c_int32),
        ("driver_version", ctypes.c_int32),
        ("runtime_version", ctypes.c_int32),
        ("memory", ctypes.c_uint64),
        ("cache", ctypes.c_uint64),
        ("shared_memory", ctypes.c_uint64),
    )


class Layer(ctypes.Structure):
    """SpaCudaLayer."""

    _fields_ = (
        ("packed", c_void_p),
        ("packed_size", c_size_t),
        ("x", c_void_p),
        ("bias", c_void_p),
        ("residual", c_void_p),
        ("y", c_void_p),
        ("activation", c_char_p),
        ("clip_min", c_float),
        ("clip_max", c_float),
        ("tokens", c_size_t),
        ("images", c_size_t),
        ("input", c_size_t * 2),
        ("strides", c_size_t * 2),
        ("kernel", c_char_p),
    )


class Dense(ctypes.Structure):
    """SpaCudaDense."""

    _fields_ = (
        ("bfloat16", ctypes.c_int32),
        ("rows", c_size_t),
        ("columns", c_size_t),
        ("tokens", c_size_t),
    )


TEXT = (c_char_p, c_size_t)
"""Where a function writes a text, and how many bytes it may write."""

ARGUMENTS = {
    "SpaCudaDescribe": (c_int, POINTER(Device), *TEXT),
    "SpaCudaRun": (c_int, POINTER(Layer), *TEXT),
    "SpaCudaKernels": (c_int, POINTER(Layer), *TEXT, *TEXT),
    "SpaCudaPrepareLayer": (c_int, POINTER(Layer), c_size_t, POINTER(c_void_p), *TEXT),
    "SpaCudaPrepareDense": (c_int, POINTER(Dense), c_size_t, POINTER(c_void_p), *TEXT),
    "SpaCudaPrepareRead": (c_int, c_size_t, POINTER(c_void_p), *TEXT),
    "SpaCudaTime": (c_void_p, c_size_t, POINTER(c_double), *TEXT),
}
"""What functions take that return 0, or 1 with the reason in the last text."""


@cache
def load_cuda_library(path: Path) -> ctypes.CDLL:
    """Return the library with the types of its functions.

    Raises:
        CudaLibraryError: it cannot be loaded, or lacks what ours has.
    """
    try:
        library = ctypes.CDLL(str(path))
    except OSError as failure:
        raise CudaLibraryError(path, str(failure)) from failure
    for name in (*ARGUMENTS, "SpaCudaAddOps", "SpaCudaVersion", "SpaCudaRelease"):
        if not hasattr(library, name):
            raise CudaLibraryError(path, f"it exports no {name}")
    for name, arguments in ARGUMENTS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = list(arguments), c_int
    library.SpaCudaRelease.argtypes, library.SpaCudaRelease.restype = [c_void_p], None
    library.SpaCudaVersion.restype = c_char_p
    return library
