"""The C++ example, compiled where the runtime's headers are found.

The Python wheel of ONNX Runtime has its library but no headers: SPA_ONNX_ORT_HEADERS names their
folder, or they are among the system's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from spa_onnx.doctor.self_test import cases
from spa_onnx.runtime.library import library_path
from spa_onnx.runtime.session import session
from tests.runtime_kernels.kernel_library import needs_kernels

EXAMPLE = Path(__file__).parents[3] / "runtime_kernels" / "examples" / "run_lowered.cc"
HEADER = "onnxruntime_cxx_api.h"
SYSTEM = ("/usr/include", "/usr/local/include")


def headers() -> Path | None:
    """Return the folder of the runtime's headers, if there is one."""
    folders = [Path(os.environ.get("SPA_ONNX_ORT_HEADERS", "")), *map(Path, SYSTEM)]
    inside = ("", "onnxruntime", "onnxruntime/core/session")
    places = (folder / part for folder in folders for part in inside)
    return next((place for place in places if (place / HEADER).is_file()), None)


def wheel_library() -> Path | None:
    """Return the library of C and C++ programs that the wheel brings."""
    found = sorted((Path(ort.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    return found[0] if found else None


HEADERS, LIBRARY, COMPILER = headers(), wheel_library(), shutil.which("c++")

pytestmark = [
    needs_kernels,
    pytest.mark.slow,
    pytest.mark.skipif(HEADERS is None, reason="no headers of ONNX Runtime"),
    pytest.mark.skipif(LIBRARY is None, reason="no library of ONNX Runtime for programs"),
    pytest.mark.skipif(COMPILER is None, reason="no C++ compiler"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the compiled example, with the runtime under the name that it is linked by."""
    folder = tmp_path_factory.mktemp("example")
    (folder / "libonnxruntime.so").symlink_to(str(LIBRARY))
    (folder / "libonnxruntime.so.1").symlink_to(str(LIBRARY))
    path = folder / "run_lowered"
    command = [COMPILER, "-std=c++17", EXAMPLE, "-I", HEADERS, "-L", folder, "-lonnxruntime"]
    command += [f"-Wl,-rpath,{folder}", "-o", path]
    subprocess.run(list(map(str, command)), check=True)
    return path


def run(program: Path, *arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["bit mask, 1 token", "3x3 depthwise"])
def test_the_example_computes_what_python_does(program: Path, tmp_path: Path, name: str) -> None:
    case = next(c for c in cases() if c.name == name)
    assert case.residual is None
    path = tmp_path / "model.onnx"
    path.write_bytes(case.model().SerializeToString())
    opened: Any = session(path)
    (y,) = opened.run(None, {"x": np.ones_like(case.x)})
    done = run(program, path, library_path())
    assert done.returncode == 0, done.stderr
    *shape, total = done.stdout.split()
    assert tuple(map(int, shape)) == y.shape
    assert float(total) == pytest.approx(y.sum(dtype=np.float64), rel=1e-4)


def test_the_example_tells_what_is_wrong(program: Path, tmp_path: Path) -> None:
    done = run(program, tmp_path / "gone.onnx", library_path())
    assert done.returncode == 1
    assert "gone.onnx" in done.stderr
