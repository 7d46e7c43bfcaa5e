"""What kernels the native library holds, and which of them this processor runs.

``runtime_kernels/include/spa_onnx_kernels.h`` declares what is called here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from spa_onnx.errors import SpaError


class LibraryError(SpaError):
    """A file that is no native library of ours, or one that this system cannot load."""

    def __init__(self, path: Path, problem: str) -> None:
        self.problem = f"{path} cannot be used as the native library: {problem}"
        self.remedy = "install spa-onnx again, with --force-reinstall --no-cache-dir"
        super().__init__(f"{self.problem}; {self.remedy}")


class _Entry(ctypes.Structure):
    """SpaKernelEntry."""

    _fields_ = (
        ("operation", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("instruction_set", ctypes.c_char_p),
        ("supported", ctypes.c_int),
        ("kernel", ctypes.c_void_p),
    )


@dataclass(frozen=True, slots=True)
class Kernel:
    """One variant of one operation: a line of a kernels.inc file.

    Attributes:
        operation: what it computes.
        name: of the variant.
        instruction_set: that it needs.
        supported: whether this processor has it.
        address: of the operation's kernel struct.
    """

    operation: str
    name: str
    instruction_set: str
    supported: bool
    address: int


@cache
def load_library(path: Path) -> ctypes.CDLL:
    """Return the library as ctypes sees it.

    Raises:
        LibraryError: it cannot be loaded, or lacks what ours has.
    """
    try:
        library = ctypes.CDLL(str(path))
    except OSError as failure:
        raise LibraryError(path, str(failure)) from failure
    for name in ("RegisterCustomOps", "SpaListKernels"):
        if not hasattr(library, name):
            raise LibraryError(path, f"it exports no {name}")
    return library


def list_kernels(path: Path) -> tuple[Kernel, ...]:
    """Return every variant of every operation, each operation's fastest first.

    Raises:
        LibraryError: the library cannot be loaded.
    """
    listed: Any = load_library(path).SpaListKernels
    listed.restype = ctypes.POINTER(_Entry)
    listed.argtypes = [ctypes.POINTER(ctypes.c_size_t)]
    count = ctypes.c_size_t()
    entries = listed(ctypes.byref(count))
    return tuple(
        Kernel(
            entry.operation.decode(),
            entry.name.decode(),
            entry.instruction_set.decode(),
            bool(entry.supported),
            entry.kernel,
        )
        for entry in entries[: count.value]
    )


def kernels_in_use(kernels: Sequence[Kernel]) -> dict[str, Kernel]:
    """Return the variant of every operation that this processor runs: the first that it can."""
    found: dict[str, Kernel] = {}
    for kernel in kernels:
        if kernel.supported:
            found.setdefault(kernel.operation, kernel)
    return found


def library_version(path: Path) -> str | None:
    """Return the version that the library was built as; None where it does not say.

    Raises:
        LibraryError: the library cannot be loaded.
    """
    library = load_library(path)
    if not hasattr(library, "SpaVersion"):
        return None
    version: Any = library.SpaVersion
    version.restype = ctypes.c_char_p
    text: bytes = version()
    return text.decode()
