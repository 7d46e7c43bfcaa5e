"""Seconds of things that run in turns, so that a busy moment of the machine meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Name = TypeVar("Name")
Clock = Callable[[], float]

RESOLUTION = 1e-9
"""Seconds that any run takes; clocks may stand still."""


def clock_for(threads: int) -> Clock:
    """Return the clock: one thread's own time, for more the time on the wall."""
    return time.thread_time if threads == 1 else time.perf_counter


def in_turns(
    runs: Mapping[Name, Callable[[], object]], rounds: int, seconds: float, clock: Clock
) -> dict[Name, FloatArray]:
    """Return the seconds of one run of each, ``(rounds,)``.

    Args:
        runs: what takes turns. Each round begins with another one.
        rounds: in which each has one turn.
        seconds: that a turn takes, at least; short runs are repeated.
        clock: to read.
    """
    repeats = {name: max(1, int(seconds / _once(run))) for name, run in runs.items()}
    names = list(runs)
    found = {name: np.empty(rounds) for name in names}
    for number in range(rounds):
        for place in range(len(names)):
            name = names[(place + number) % len(names)]
            run = runs[name]
            start = clock()
            for _ in range(repeats[name]):
                run()
            found[name][number] = max(RESOLUTION, (clock() - start) / repeats[name])
    return found


def _once(run: Callable[[], object]) -> float:
    """Return the seconds of one run, after a warm-up."""
    run()
    start = time.perf_counter()
    run()
    return max(RESOLUTION, time.perf_counter() - start)
