"""How many numbers this machine's processor computes at once."""

from __future__ import annotations

import platform
from pathlib import Path

WIDEST = {"avx512f": 16, "avx2": 8, "avx": 8}
"""Floats of 32 bits in a vector, by the instruction set that Linux names, widest first.

ONNX Runtime lays channels of convolutions out in blocks of 16 with AVX-512, else of 8.
Source: onnxruntime/core/mlas, ``MlasNchwcGetBlockSize``.
"""

CPU_INFO = Path("/proc/cpuinfo")


def vector_lanes(cpu_info: Path = CPU_INFO, machine: str | None = None) -> int:
    """Return how many floats fill a vector; where the system does not tell, what most have."""
    machine = platform.machine() if machine is None else machine
    if machine.lower() not in ("x86_64", "amd64"):
        return 4  # NEON, AltiVec and the like have 128 bits
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 8
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set[str]())
    return next((lanes for name, lanes in WIDEST.items() if name in flags), 4 if flags else 8)
