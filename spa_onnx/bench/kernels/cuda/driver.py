"""The driver's own version, which CUDA does not tell."""

from __future__ import annotations

import ctypes

LIBRARIES = ("libnvidia-ml.so.1", "nvml.dll")
LONGEST = 80
"""Characters of a version, as NVML says."""


def driver_version() -> str:
    """Return the version of NVIDIA's driver, nothing where its management library is not there."""
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        text = ctypes.create_string_buffer(LONGEST)
        if library.nvmlInit_v2() == 0:
            failed = library.nvmlSystemGetDriverVersion(text, LONGEST)
            library.nvmlShutdown()
            return "" if failed else text.value.decode(errors="replace")
    return ""
