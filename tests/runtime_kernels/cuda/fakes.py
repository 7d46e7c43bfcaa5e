"""Libraries that stand in for NVIDIA's, compiled for a test and named in the environment."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[3] / "runtime_kernels"
COMPILER = shutil.which("c++")

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")


def compiled(source: str, folder: Path) -> Path:
    """Return the library made of a C++ file beside this one."""
    path = folder / f"{Path(source).stem}.so"
    command = [str(COMPILER), "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared"]
    command += ["-fPIC", "-fvisibility=hidden", "-I", str(NATIVE)]
    command += [str(Path(__file__).with_name(source)), "-o", str(path)]
    subprocess.run(command, check=True)
    return path


class Fake:
    """A compiled one: what it was asked, and what it should refuse."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.native = ctypes.CDLL(str(path))

    def refuse(self, function: str, status: int) -> None:
        """Let a function return a status until the next reset."""
        self.native.FakeRefuse(function.encode(), status)

    def calls(self, function: str) -> int:
        """Return how often a function was called since the last reset."""
        return int(self.native.FakeCalls(function.encode()))

    @property
    def alive(self) -> int:
        """Return how many of its objects were made and not destroyed."""
        return int(self.native.FakeAlive())
