"""Step ``build``: the native libraries, by CMake and nvcc alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from tests.end_to_end.gpu_check.place import CPU_LIBRARY, ROOT, Place
from tests.end_to_end.gpu_check.result import StepResult

WARNING = re.compile(r"warning[ :#]", re.IGNORECASE)
SECONDS = 200.0

NATIVE = "native"
FIRST_WITH_NATIVE = (3, 24)
"""Of CMake: before, all architectures are built that an install builds."""


@dataclass(frozen=True, slots=True)
class Build:
    """Builds both libraries.

    Attributes:
        architectures: of GPUs, as CMake takes them.
    """

    architectures: str = NATIVE

    def __call__(self, place: Place) -> StepResult:
        """Configure and build; CMake and a generator are all that is needed."""
        cmake = shutil.which("cmake")
        if cmake is None:
            return StepResult("cmake is not on the PATH: install it, or `pip install cmake`")
        folder = place.libraries
        configure = [cmake, "-S", str(ROOT / "runtime_kernels"), "-B", str(folder)]
        configure += ["-DCMAKE_BUILD_TYPE=Release", *self._options(place, _version(cmake))]
        if shutil.which("ninja") and not (folder / "Makefile").exists():
            configure += ["-G", "Ninja"]
        targets = ["spa_onnx_kernels", place.cuda_library.stem.removeprefix("lib")]
        build = [cmake, "--build", str(folder), "--parallel", str(os.cpu_count() or 1)]
        output = ""
        for command in (configure, [*build, "--target", *targets]):
            done = place.run(command, SECONDS)
            output += done.output
            if done.problem:
                return StepResult(done.problem)
        return self._found(place, output)

    def _options(self, place: Place, version: tuple[int, ...]) -> Sequence[str]:
        if place.emulated:
            return ["-DSPA_CUDA=OFF"]
        if self.architectures == NATIVE and version < FIRST_WITH_NATIVE:
            return ["-DSPA_CUDA=ON"]
        return ["-DSPA_CUDA=ON", f"-DCMAKE_CUDA_ARCHITECTURES={self.architectures}"]

    def _found(self, place: Place, output: str) -> StepResult:
        missing = [
            path.name
            for path in (place.libraries / CPU_LIBRARY, place.cuda_library)
            if not path.is_file()
        ]
        if missing:
            return StepResult(f"the build made no {' and no '.join(missing)}")
        warnings = [line for line in output.splitlines() if WARNING.search(line)]
        facts = {"warnings": warnings, "architectures": self.architectures}
        return StepResult(facts=facts, line=f"{len(warnings)} warnings")


def _version(cmake: str) -> tuple[int, ...]:
    """Return the numbers of CMake's version; none if it does not tell."""
    told = subprocess.run([cmake, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", told)
    return (int(found[1]), int(found[2])) if found else ()
