"""The native library as tests use it."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import pytest

from spa_onnx.runtime import kernels
from spa_onnx.runtime.kernels import KernelSet, list_kernels
from spa_onnx.runtime.library import KernelsMissingError, library_path

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet


def load_library() -> ctypes.CDLL:
    """Return the library that the ops run from."""
    return kernels.load_library(library_path())


def kernel_sets() -> tuple[KernelSet, ...]:
    """Return the kernels of every instruction set, fastest first."""
    return list_kernels(library_path())


def is_built() -> bool:
    """Return whether there is a library to test."""
    try:
        library_path()
    except KernelsMissingError:
        return False
    return True


needs_kernels = pytest.mark.skipif(not is_built(), reason="the kernel library was not built")


def kernel_params() -> list[ParameterSet]:
    """Return one pytest parameter per set of kernels; unsupported hardware is a skip."""
    if not is_built():
        return []
    return [
        pytest.param(
            kernel,
            id=kernel.name,
            marks=pytest.mark.skipif(
                not kernel.supported, reason=f"needs {kernel.instruction_set}"
            ),
        )
        for kernel in kernel_sets()
    ]
