"""Find the native libraries with the custom ops of domain ``ai.spa``."""

import os
import sys
from importlib.resources import files
from pathlib import Path

from spa_onnx.errors import SpaError

ENVIRONMENT_VARIABLE = "SPA_ONNX_KERNELS"

CUDA_VARIABLE = "SPA_ONNX_CUDA_KERNELS"
"""Names another library with the operators for CUDA; tests name the emulated one."""


class KernelsMissingError(SpaError):
    """The native library is not where it should be, usually because it was not built."""

    def __init__(self, path: Path, *, chosen: bool) -> None:
        self.problem = f"the native kernel library {path} does not exist"
        self.remedy = (
            f"the environment variable {ENVIRONMENT_VARIABLE} names it; correct or unset it"
            if chosen
            else "spa-onnx was installed where no C++ compiler worked; provide one, then repeat "
            "the pip install with --force-reinstall --no-cache-dir --verbose"
        )
        super().__init__(f"{self.problem}: {self.remedy}")


class CudaKernelsMissingError(SpaError):
    """The library with the operators for CUDA is not where it should be."""

    def __init__(self, path: Path, *, chosen: bool) -> None:
        self.problem = f"the CUDA kernel library {path} does not exist"
        self.remedy = (
            f"the environment variable {CUDA_VARIABLE} names it; correct or unset it"
            if chosen
            else "spa-onnx was installed where no CUDA compiler (nvcc) was found; install the CUDA "
            "toolkit, then repeat the pip install with --force-reinstall --no-cache-dir --verbose"
        )
        super().__init__(f"{self.problem}: {self.remedy}")


def library_path() -> Path:
    """Return the path of the shared library; ``SPA_ONNX_KERNELS`` overrides the installed one.

    Raises:
        KernelsMissingError: if there is no file, as after an install without a compiler.
    """
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    path = Path(chosen) if chosen else installed_path()
    if not path.is_file():
        raise KernelsMissingError(path, chosen=bool(chosen))
    return path


def cuda_library_path() -> Path:
    """Return the path of the library for CUDA, which lies beside the other one.

    ``SPA_ONNX_CUDA_KERNELS`` overrides it.

    Raises:
        CudaKernelsMissingError: if there is no file, as after an install without ``nvcc``.
    """
    chosen = os.environ.get(CUDA_VARIABLE)
    beside = Path(os.environ.get(ENVIRONMENT_VARIABLE) or installed_path())
    path = Path(chosen) if chosen else beside.with_name(_file_name("spa_onnx_cuda"))
    if not path.is_file():
        raise CudaKernelsMissingError(path, chosen=bool(chosen))
    return path


def installed_path() -> Path:
    """Return where an install puts the library, which an editable one keeps apart from the code."""
    return Path(str(files("spa_onnx") / "_kernels" / _file_name("spa_onnx_kernels")))


def _file_name(name: str) -> str:
    """Return the file of a library; modules built by CMake end in ``.so`` on macOS too."""
    return f"{name}.dll" if sys.platform == "win32" else f"lib{name}.so"
