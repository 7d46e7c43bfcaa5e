"""The processor: its name, the instruction sets that kernels know, and the threads it gives us."""

from __future__ import annotations

import os
import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")

SETS = (
    *("sse4_2", "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512vl", "avx512_vnni"),
    *("avx512_bf16", "avx512_fp16", "amx_tile", "asimd", "asimdhp", "sve"),
)
"""Names of the Linux kernel for what makes kernels fast, x86 first."""


def processor() -> str:
    """Return the processor's name, or its architecture where the system keeps the name."""
    name = _field("model name") or platform.processor()
    return f"{name} ({platform.machine()})" if name else platform.machine()


def instruction_sets() -> str:
    """Return which of the instruction sets the system reports."""
    flags = (_field("flags") or _field("Features")).split()
    found = [name for name in SETS if name in flags]
    return ", ".join(found) if found else "not reported by the system"


def _field(name: str) -> str:
    if not CPU_INFO.is_file():
        return ""
    for line in CPU_INFO.read_text(errors="replace").splitlines():
        title, _, value = line.partition(":")
        if title.strip() == name:
            return value.strip()
    return ""


def threads() -> str:
    """Return how many threads can run at once."""
    cores = os.cpu_count() or 1
    text = f"{cores} logical processors"
    if hasattr(os, "sched_getaffinity"):
        text += f", {len(os.sched_getaffinity(0))} of them for this process"
    limit = _limit()
    return f"{text}, time of {limit:g} (control group)" if limit else text


def _limit() -> float:
    """Return how many processors' time a container may use; 0 without a limit."""
    try:
        quota, period = CPU_LIMIT.read_text().split()
        return 0.0 if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return 0.0
