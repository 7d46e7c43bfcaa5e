"""Where a check runs: folders, libraries, and how long it may take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]

CPU_LIBRARY = "libspa_onnx_kernels.so"
GPU_LIBRARY = "libspa_onnx_cuda.so"
EMULATED_LIBRARY = "libspa_onnx_cuda_emulated.so"

TAIL = 4000
"""Characters of a failed command's output that are kept."""

LEAST = 5.0
"""Seconds below which nothing is begun."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended.

    Attributes:
        status: that it returned; None where it was ended because it took too long.
        seconds: that it took.
        output: of both streams.
    """

    status: int | None
    seconds: float
    output: str

    @property
    def problem(self) -> str:
        """Return what went wrong; nothing where it did not."""
        if self.status == 0:
            return ""
        ending = f"after {self.seconds:.0f} s" if self.status is None else f"with {self.status}"
        return f"it ended {ending}: ...{self.output[-TAIL:].strip()}"


def _without_places(output: str) -> str:
    """Return an output without the folders of this machine, which say nothing to others."""
    for folder, name in ((str(ROOT), "."), (sys.prefix, "python"), (str(Path.home()), "~")):
        output = output.replace(folder, name) if len(folder) > 1 else output
    return output


@dataclass(frozen=True, slots=True)
class Place:
    """Where steps run.

    Attributes:
        folder: for what they write.
        libraries: folder of the native libraries.
        emulated: take the emulated library in place of that for GPUs.
        deadline: when the whole must be done, by the monotonic clock.
    """

    folder: Path
    libraries: Path
    emulated: bool
    deadline: float

    @property
    def cuda_library(self) -> Path:
        """Return the library with kernels for CUDA."""
        return self.libraries / (EMULATED_LIBRARY if self.emulated else GPU_LIBRARY)

    @property
    def left(self) -> float:
        """Return the seconds that are left."""
        return self.deadline - time.monotonic()

    def environment(self) -> dict[str, str]:
        """Return the environment in which Python finds the package and the libraries."""
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "SPA_ONNX_KERNELS": str(self.libraries / CPU_LIBRARY),
            "SPA_ONNX_CUDA_KERNELS": str(self.cuda_library),
            "SPA_ONNX_CACHE": str(self.folder / "cache"),
        }

    def run(self, command: Sequence[str], limit: float) -> Finished:
        """Run a command, at most so many seconds and until the deadline."""
        begun = time.monotonic()
        allowed = min(limit, self.left)
        if allowed < LEAST:
            return Finished(None, 0.0, "no time was left to begin it")
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=allowed)
                status: int | None = process.returncode
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
                status = None
        return Finished(status, time.monotonic() - begun, _without_places(output))

    def python(self, *words: str | Path, limit: float) -> Finished:
        """Run Python."""
        return self.run([sys.executable, *map(str, words)], limit)
