"""What this machine can do at most, from two simple loops measured in the same run.

- Operations: a dense product of two square matrices in ONNX Runtime, the best of some runs. It
  comes close to what the processor multiplies and adds, and every sparse kernel stays below it.
- Bytes: numpy's maximum over an array, every thread over a part of its own, the best of some
  passes. Arrays as large as what a layer's copies touch are read, since caches differ.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spa_onnx.bench.kernels.bound import Bound, aligned
from spa_onnx.bench.kernels.models import dense_sessions
from spa_onnx.bench.kernels.shapes import Linear
from spa_onnx.bench.kernels.turns import RESOLUTION, Clock, clock_for

SQUARE = Linear(1024, 1024, 1024)
RUNS = 12
PASS_SECONDS = 0.01
"""That passes over an array take together, at least."""

MEGABYTE = 2**20
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
USUAL_L2 = 2 * MEGABYTE
"""Bytes of the second-level cache where the system does not tell."""


@dataclass(frozen=True, slots=True)
class Roofline:
    """The machine's limits.

    Attributes:
        threads: that work together.
        peak: operations a second of the dense product.
        bandwidths: bytes a second by size of the array in MiB, as far as they were needed.
    """

    threads: int
    peak: float
    bandwidths: dict[int, float] = field(default_factory=dict)

    @staticmethod
    def measured(threads: int) -> Roofline:
        """Measure the dense product; arrays are read when their size is asked for."""
        random = np.random.default_rng(0)
        x, weight = random.standard_normal((2, 1024, 1024), np.float32)
        _, session = next(iter(dense_sessions(SQUARE, [weight], threads)))
        product = Bound(session, [x], SQUARE)
        seconds = _best(product.run, 1, clock_for(threads))
        return Roofline(threads, 2 * SQUARE.rows * SQUARE.columns * SQUARE.tokens / seconds)

    def bandwidth(self, size: float) -> float:
        """Return the bytes a second at which arrays of about so many bytes are read."""
        megabytes = 1 << max(0, round(float(np.log2(max(1.0, size) / MEGABYTE))))
        if megabytes not in self.bandwidths:
            self.bandwidths[megabytes] = self._read(megabytes * MEGABYTE)
        return self.bandwidths[megabytes]

    def _read(self, size: int) -> float:
        numbers = aligned((size // 4,))
        numbers.fill(1)
        parts = np.array_split(numbers, self.threads)
        clock = clock_for(self.threads)
        with ThreadPoolExecutor(self.threads) as pool:

            def pass_over() -> None:
                if self.threads == 1:
                    numbers.max()
                else:
                    list(pool.map(np.max, parts))

            start = clock()
            pass_over()
            repeats = max(1, int(PASS_SECONDS / max(RESOLUTION, clock() - start)))
            return size / _best(pass_over, repeats, clock)


def _best(run: Callable[[], object], repeats: int, clock: Clock) -> float:
    """Return the seconds of the fastest of some runs."""
    run()
    fastest = float("inf")
    for _ in range(RUNS):
        start = clock()
        for _ in range(repeats):
            run()
        fastest = min(fastest, (clock() - start) / repeats)
    return max(RESOLUTION, fastest)


def second_level_cache(caches: Path = CACHES) -> int:
    """Return the bytes of a core's second-level cache."""
    for index in sorted(caches.glob("index*")):
        try:
            level = (index / "level").read_text().strip()
            size = (index / "size").read_text().strip()
        except OSError:
            continue
        if level == "2" and size.endswith("K") and size[:-1].isdigit():
            return int(size[:-1]) * 1024
    return USUAL_L2
