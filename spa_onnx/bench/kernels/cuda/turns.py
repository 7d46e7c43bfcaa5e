"""Times on a device, of things that run in turns.

A turn is one CUDA graph of many runs, timed by the device's own events. Every run has other copies
of its tensors than the one before, so many that the second-level cache does not hold them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spa_onnx.bench.kernels.cuda.gpu import Timed
from spa_onnx.runtime.cuda import CudaDevice

FloatArray = NDArray[np.float64]
Name = TypeVar("Name")

MICRO = 1e-6

CACHES = 2
"""Second-level caches that copies fill at least, beside the copy that runs."""

MOST_COPIES = 1024

TURN = 2e-3
"""Seconds of a turn, at least."""

MOST_RUNS = 4096
"""Runs of a turn: nodes of a graph."""

SHORTEST = 1e-9
"""Seconds that any run takes; clocks may stand still."""


def copies_of(size: int, device: CudaDevice) -> int:
    """Return in how many copies something of so many bytes finds none of them in the cache."""
    return min(MOST_COPIES, 1 + ceil(CACHES * device.cache / size))


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that takes turns.

    Attributes:
        runner: what runs.
        runs: of a turn, each copy as often as any other.
    """

    runner: Timed
    runs: int

    @staticmethod
    def warmed(runner: Timed, copies: int, seconds: float) -> Turn:
        """Return a turn that takes so long, after a first one."""
        runner.time(copies)
        once = max(SHORTEST, MICRO * runner.time(copies))
        often = max(1, min(ceil(seconds / once), MOST_RUNS // copies))
        return Turn(runner, often * copies)

    def time(self) -> float:
        """Return the seconds of one run, the mean of a turn."""
        return max(SHORTEST, MICRO * self.runner.time(self.runs) / self.runs)


def in_turns(
    runners: Mapping[Name, tuple[Timed, int]], rounds: int, seconds: float = TURN
) -> dict[Name, FloatArray]:
    """Return the seconds of one run of each, ``(rounds,)``.

    Args:
        runners: what takes turns, and in how many copies. Each round begins with another one.
        rounds: in which each has one turn.
        seconds: of a turn.
    """
    turns = {name: Turn.warmed(*runner, seconds) for name, runner in runners.items()}
    names = list(turns)
    found = {name: np.empty(rounds) for name in names}
    for number in range(rounds):
        for place in range(len(names)):
            name = names[(place + number) % len(names)]
            found[name][number] = turns[name].time()
    return found
