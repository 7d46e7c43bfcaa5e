"""Run the operators' tests with other releases of ONNX Runtime, each in an environment of its own.

    python tests/end_to_end/runtimes.py build/runtimes

makes or takes environments in that folder and needs an index of packages. The native library is the
one that the running Python finds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spa_onnx.runtime.library import CUDA_VARIABLE, library_path

ROOT = Path(__file__).parents[2]
COMMON = (
    "click>=8.2", "hypothesis>=6.100", "networkx>=3.4", "onnx>=1.23", "onnx-graphsurgeon>=0.6.1",
    "pytest>=9", "rich>=13.7",
)  # fmt: skip
TESTS = ("tests/runtime_kernels/custom_ops", "tests/spa_onnx/doctor/test_self_test.py")

REFUSED = """
import onnxruntime
options = onnxruntime.SessionOptions()
try:
    options.register_custom_ops_library({library!r})
except Exception as failure:
    assert "needs ONNX Runtime 1.17 or newer, this is 1.16.3" in str(failure), failure
else:
    raise SystemExit("1.16.3 takes the library")
print("refused, as it should be")
"""


@dataclass(frozen=True, slots=True)
class Release:
    """One release of the runtime.

    Attributes:
        name: of its environment.
        packages: that make the environment.
        refused: whether it must refuse the library.
        takes_cuda: whether it takes a library for CUDA, should the environment name one.
    """

    name: str
    packages: Sequence[str]
    refused: bool = False
    takes_cuda: bool = True

    def command(self, python: Path) -> list[str]:
        """Return what is run in the environment."""
        if self.refused:
            return [str(python), "-c", REFUSED.format(library=str(library_path()))]
        quiet = ("-q", "-p", "no:cacheprovider", "-W", "default", "--no-header")
        return [str(python), "-m", "pytest", *quiet, *TESTS]


RELEASES = (
    # numpy 2 came after these, and the kernels of their extension modules do not load with it
    Release("1.16.3", ("onnxruntime==1.16.3", "numpy<2"), refused=True),
    Release("1.17.3", ("onnxruntime==1.17.3", "numpy<2", *COMMON), takes_cuda=False),
    # the first one that takes a library for CUDA
    Release("1.18.1", ("onnxruntime==1.18.1", "numpy<2", *COMMON)),
    # the last one that is not asked to infer shapes
    Release("1.23.2", ("onnxruntime==1.23.2", *COMMON)),
    Release("newest", ("onnxruntime", "numpy", *COMMON)),
)


def prepare(release: Release, folder: Path) -> Path:
    """Return the Python of a release's environment, made where it is not there."""
    home = folder / release.name
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    done = home / "complete"
    if not done.exists():
        venv.create(home, clear=True, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--upgrade", *release.packages], check=True)
        done.touch()
    return python


def environment(release: Release) -> Mapping[str, str]:
    """Return variables with which the checkout's code and this library are used."""
    found = os.environ | {
        "SPA_ONNX_KERNELS": str(library_path()),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if not release.takes_cuda:
        found.pop(CUDA_VARIABLE, None)
    return found


def main(folder: Path) -> int:
    """Try every release; return how many did not do what they should."""
    failures = 0
    for release in RELEASES:
        start = time.perf_counter()
        python = prepare(release, folder.resolve())
        print(f"== onnxruntime {release.name}", flush=True)
        done = subprocess.run(
            release.command(python), cwd=ROOT, env=environment(release), check=False
        )
        failures += bool(done.returncode)
        verdict = "FAILED" if done.returncode else "passed"
        print(f"== {verdict} in {time.perf_counter() - start:.0f} s", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/runtimes")))
