"""Libraries in Python packages are found and loaded, the newest first."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from spa_onnx.runtime.nvidia_packages import load_nvidia_libraries, preload_for_provider


def some_library() -> str:
    """Return a library that loads: that of mathematics."""
    maps = Path("/proc/self/maps").read_text()
    return next(line.split()[-1] for line in maps.splitlines() if re.search(r"libm[.-].*so", line))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of packages that Python looks into."""
    monkeypatch.setattr(sys, "path", ["", str(tmp_path)])
    return tmp_path


def place(folder: Path, package: str, name: str, *, is_sound: bool = True) -> Path:
    path = folder / "nvidia" / package / "lib" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_sound:
        shutil.copy(some_library(), path)
    else:
        path.write_bytes(b"no library")
    return path


def test_without_packages_nothing_is_loaded(packages: Path) -> None:
    assert packages.is_dir()
    assert load_nvidia_libraries.__wrapped__() == ()


def test_the_newest_of_each_library_is_loaded(packages: Path) -> None:
    place(packages, "cublas", "libcublasLt.so.12")
    newest = place(packages, "cu13", "libcublasLt.so.13")
    other = place(packages, "cusparselt", "libcusparseLt.so.0")
    assert load_nvidia_libraries.__wrapped__() == (newest, other)


def test_what_does_not_load_is_passed_over(packages: Path) -> None:
    older = place(packages, "cublas", "libcublasLt.so.12")
    place(packages, "cu13", "libcublasLt.so.13", is_sound=False)
    assert load_nvidia_libraries.__wrapped__() == (older,)


class Runtime:
    """A runtime that counts what it is asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def preload_dlls(self) -> None:
        self.asked += 1


def test_the_runtime_loads_its_own_where_there_are_packages(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime()
    preload_for_provider(runtime)
    assert runtime.asked == 0
    place(packages, "cublas", "libcublasLt.so.12")
    monkeypatch.delitem(sys.modules, "nvidia", raising=False)
    preload_for_provider(runtime)
    assert runtime.asked == 1
    preload_for_provider(object())  # an older runtime
