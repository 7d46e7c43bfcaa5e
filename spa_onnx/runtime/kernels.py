"""What kernels the native library holds, and which of them this processor runs.

``runtime_kernels/include/spa_onnx_kernels.h`` declares what is called here.
"""

from __future__ import annotations

import ctypes
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
        ("name", ctypes.c_char_p),
        ("instruction_set", ctypes.c_char_p),
        ("supported", ctypes.c_int),
        ("chosen", ctypes.c_int),
    )


@dataclass(frozen=True, slots=True)
class KernelSet:
    """All kernels as compiled for one instruction set: a line of kernels.inc.

    Attributes:
        name: of the set.
        instruction_set: that it needs.
        supported: whether this processor has it.
        chosen: whether the operators run it.
    """

    name: str
    instruction_set: str
    supported: bool
    chosen: bool


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


def list_kernels(path: Path) -> tuple[KernelSet, ...]:
    """Return the kernels of every instruction set, fastest first.

    Raises:
        LibraryError: the library cannot be loaded.
    """
    listed: Any = load_library(path).SpaListKernels
    listed.restype = ctypes.POINTER(_Entry)
    listed.argtypes = [ctypes.POINTER(ctypes.c_size_t)]
    count = ctypes.c_size_t()
    entries = listed(ctypes.byref(count))
    return tuple(
        KernelSet(
            entry.name.decode(),
            entry.instruction_set.decode(),
            bool(entry.supported),
            bool(entry.chosen),
        )
        for entry in entries[: count.value]
    )


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
