"""The kernel library as ctypes sees it; struct layouts restate the C headers."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from spa_onnx.runtime.library import KernelsMissingError, library_path

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet


class KernelEntry(ctypes.Structure):
    """SpaKernelEntry of spa_onnx_kernels.h."""

    _fields_ = (
        ("operation", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("instruction_set", ctypes.c_char_p),
        ("supported", ctypes.c_int),
        ("kernel", ctypes.c_void_p),
    )


@dataclass(frozen=True, slots=True)
class Variant:
    """One line of a kernels.inc file."""

    operation: str
    name: str
    instruction_set: str
    supported: bool
    address: int


@cache
def load_library() -> ctypes.CDLL:
    """Return the library that the ops run from.

    Raises:
        KernelsMissingError: if it was not built.
    """
    return ctypes.CDLL(str(library_path()))


@cache
def variants(operation: str) -> tuple[Variant, ...]:
    """Return every variant of an operation, fastest first."""
    list_kernels: Any = load_library().SpaListKernels
    list_kernels.restype = ctypes.POINTER(KernelEntry)
    list_kernels.argtypes = [ctypes.POINTER(ctypes.c_size_t)]
    count = ctypes.c_size_t()
    entries = list_kernels(ctypes.byref(count))
    found = [
        Variant(
            entry.operation.decode(),
            entry.name.decode(),
            entry.instruction_set.decode(),
            bool(entry.supported),
            entry.kernel,
        )
        for entry in entries[: count.value]
    ]
    return tuple(v for v in found if v.operation == operation)


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
