"""Find the native library with the custom ops of domain ``ai.spa``."""

import os
import sys
from importlib.resources import files
from pathlib import Path

from spa_onnx.errors import SpaError

ENVIRONMENT_VARIABLE = "SPA_ONNX_KERNELS"


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


def installed_path() -> Path:
    """Return where an install puts the library, which an editable one keeps apart from the code.

    Modules built by CMake end in ``.so`` on macOS too.
    """
    name = "spa_onnx_kernels.dll" if sys.platform == "win32" else "libspa_onnx_kernels.so"
    return Path(str(files("spa_onnx") / "_kernels" / name))
