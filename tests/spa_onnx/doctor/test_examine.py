"""An examination finds what is wrong, says what to do, and survives what it looks at."""

from __future__ import annotations

import ctypes.util
import sys
from pathlib import Path

import pytest

import spa_onnx
from spa_onnx.doctor import examine as examining
from spa_onnx.doctor.check import REINSTALL, Check
from spa_onnx.doctor.examine import examine, numeric, self_test
from tests.runtime_kernels.kernel_library import kernel_sets, needs_kernels


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave kernels for GPUs to the tests of their own."""
    monkeypatch.delenv("SPA_ONNX_CUDA_KERNELS", raising=False)


def ignore(_stage: str) -> None:
    """Be told of stages."""


def library_check(path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return what is found of a native library at ``path``; nothing is tried with it."""
    monkeypatch.setenv("SPA_ONNX_KERNELS", str(path))
    diagnosis = examine(ignore)
    assert not diagnosis.healthy
    assert diagnosis.checks[-1].name == "native library"
    return diagnosis.checks[-1]


@needs_kernels
def test_every_operator_of_an_install_is_as_numpy() -> None:
    diagnosis = examine(ignore)
    assert [check for check in diagnosis.checks if not check.passed] == []
    assert {check.group for check in diagnosis.checks} == {"", "SparseLinear", "SparseConv"}


@needs_kernels
def test_the_kernels_in_use_are_the_first_that_the_processor_runs() -> None:
    states = examine(ignore).kernels
    first = next(kernel.name for kernel in kernel_sets() if kernel.supported)
    assert [name for name, state in states.items() if "in use" in state] == [first]
    assert list(states) == [kernel.name for kernel in kernel_sets()]


def test_a_library_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = library_check(tmp_path / "gone.so", monkeypatch)
    assert "gone.so does not exist" in check.found
    assert "SPA_ONNX_KERNELS" in check.remedy


def test_a_library_that_does_not_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    check = library_check(broken, monkeypatch)
    assert "cannot be used as the native library" in check.found
    assert "--force-reinstall" in check.remedy


@pytest.mark.skipif(sys.platform != "linux", reason="a library that every Linux has")
def test_a_library_of_someone_else(monkeypatch: pytest.MonkeyPatch) -> None:
    name = ctypes.util.find_library("m")
    assert name is not None
    loaded = next(
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if name in line
    )
    check = library_check(Path(loaded), monkeypatch)
    assert "exports no RegisterCustomOps" in check.found


@needs_kernels
def test_a_library_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "library_version", lambda _path: "0.0.9")
    check = next(c for c in examine(ignore).checks if c.name == "native library")
    assert check.found == f"version 0.0.9 with Python code of {spa_onnx.__version__}"
    assert check.remedy == REINSTALL


def child(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    """Return what comes of a self-test whose process runs a script instead."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    return self_test()


PASSED = """echo '{"name": "a case", "passed": true, "found": "", "remedy": "", "group": "Op"}'"""


def test_the_self_test_takes_no_modules_from_where_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # an editable install would be found first anyway, so ask for Python's option
    (check,) = child(tmp_path, f'[ "$1" = -P ] && {PASSED}', monkeypatch)
    assert check.passed


def test_a_kernel_that_ends_the_process_is_told_with_the_last_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = child(tmp_path, f"{PASSED}; kill -ILL $$", monkeypatch)
    assert first == Check("a case", True, "", "", "Op")
    assert last == Check("self-test", False, "ended by SIGILL after 'a case'", REINSTALL)


def test_a_self_test_that_fails_gives_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (check,) = child(tmp_path, "echo first >&2; echo last words >&2; exit 3", monkeypatch)
    assert check.found == "failed at the start: last words"


def test_a_self_test_that_does_not_end_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examining, "SELF_TEST_SECONDS", 0.2)
    (check,) = child(tmp_path, "exec sleep 60", monkeypatch)
    assert check.found == "did not end within 0 s"


def test_an_old_runtime_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.__version__", "1.16.3")
    check = next(c for c in examine(ignore).checks if c.name == "onnxruntime")
    assert not check.passed
    assert "1.17 or newer" in check.remedy


def test_two_packages_of_the_runtime_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"onnxruntime": ["onnxruntime-gpu", "onnxruntime"]}
    monkeypatch.setattr("importlib.metadata.packages_distributions", lambda: owners)
    check = next(c for c in examine(ignore).checks if c.name == "onnxruntime")
    assert check.found == "installed by onnxruntime and onnxruntime-gpu"


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("1.17.3", (1, 17, 3)),
        ("1.17.3+cu12", (1, 17, 3)),
        ("1.18.0rc1", (1, 18, 0)),
        ("1.9", (1, 9)),
        ("unknown", ()),
    ],
)
def test_versions_are_compared_as_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert numeric(version) == numbers
