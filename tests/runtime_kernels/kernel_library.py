"""The kernel library as tests use it; struct layouts restate the C headers."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING

import pytest

from spa_onnx.runtime import kernels
from spa_onnx.runtime.kernels import Kernel, list_kernels
from spa_onnx.runtime.library import KernelsMissingError, library_path

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

Variant = Kernel


def load_library() -> ctypes.CDLL:
    """Return the library that the ops run from."""
    return kernels.load_library(library_path())


@cache
def variants(operation: str) -> tuple[Variant, ...]:
    """Return every variant of an operation, fastest first."""
    return tuple(v for v in list_kernels(library_path()) if v.operation == operation)


def is_built() -> bool:
    """Return whether there is a library to test."""
    try:
        library_path()
    except KernelsMissingError:
        return False
    return True


needs_kernels = pytest.mark.skipif(not is_built(), reason="the kernel library was not built")


def variant_params(operation: str) -> list[ParameterSet]:
    """Return one pytest parameter per variant; unsupported hardware is a skip."""
    if not is_built():
        return []
    return [
        pytest.param(
            variant,
            id=variant.name,
            marks=pytest.mark.skipif(
                not variant.supported, reason=f"needs {variant.instruction_set}"
            ),
        )
        for variant in variants(operation)
    ]
