"""Libraries of NVIDIA's that Python packages bring, in folders where the system does not look.

What is loaded once is found by its name afterwards, whoever asks for it.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

LIBRARIES = ("libcublasLt.so.*", "libcusparseLt.so.*")


@cache
def load_nvidia_libraries() -> tuple[Path, ...]:
    """Load cuBLASLt and cuSPARSELt from Python packages; return those that could be loaded."""
    loaded = []
    for pattern in LIBRARIES:
        places = [Path(folder) / "nvidia" for folder in sys.path if folder]
        found = [file for place in places for file in place.glob(f"*/lib/{pattern}")]
        for file in sorted(found, key=lambda file: file.name, reverse=True):  # the newest first
            with suppress(OSError):
                ctypes.CDLL(str(file))
                loaded.append(file)
                break
    return tuple(loaded)


def preload_for_provider(runtime: Any) -> None:
    """Let ONNX Runtime load what its CUDA provider needs from Python packages, if there are any."""
    preload = getattr(runtime, "preload_dlls", None)
    if preload is not None and find_spec("nvidia") is not None:
        preload()
