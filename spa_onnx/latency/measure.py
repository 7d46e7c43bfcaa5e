"""Time two models against each other: runs interleaved, medians, until the ratio is certain enough.

The load of a machine, its clock and its temperature change within seconds. Two models whose runs
take turns meet the same of it, so the ratio of their latencies is certain long before either
latency is. Where a session's tensors lie in memory is decided when it opens, and moves small models
by a percent; so models are opened several times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Run = Callable[[], object]
"""Runs a model once."""

Opened = Callable[[], AbstractContextManager[tuple[Run, Run]]]
"""Opens the original and the other model."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Wall-clock seconds of runs in turns: the original, the other one, the original...

    Attributes:
        dense: of the original, ``(runs,)``.
        pruned: of the other one, ``(runs,)``.
        sessions: median ratio of each time that the models were opened.
    """

    dense: FloatArray
    pruned: FloatArray
    sessions: Sequence[float] = ()

    @staticmethod
    def joined(parts: Sequence[Comparison]) -> Comparison:
        """Return the comparison of models that were opened several times."""
        dense, pruned = [p.dense for p in parts], [p.pruned for p in parts]
        ratios = [ratio for p in parts for ratio in (p.sessions or [p.ratio])]
        return Comparison(np.concatenate(dense), np.concatenate(pruned), ratios)

    @property
    def before(self) -> float:
        """Return the median of the original's runs."""
        return float(np.median(self.dense))

    @property
    def ratio(self) -> float:
        """Return the median of the pairs' ratios."""
        return float(np.median(self.pruned / self.dense))

    @property
    def spread(self) -> float:
        """Return how far the middle half of the pruned model's runs lie apart, over the median."""
        low, middle, high = np.quantile(self.pruned, (0.25, 0.5, 0.75))
        return float((high - low) / middle)

    @property
    def error(self) -> float:
        """Return the standard error of the ratio, as a share of it.

        That of a median of ``n`` normal numbers is ``sqrt(pi / 2 n)`` of their deviation, which is
        the distance of the quartiles over 1.349; that of ``n`` sessions is seen in their ratios.
        """
        low, middle, high = np.quantile(self.pruned / self.dense, (0.25, 0.5, 0.75))
        deviation = (high - low) / 1.349 / middle
        within = float(deviation * sqrt(np.pi / 2 / len(self.pruned)))
        if len(self.sessions) < 2:
            return within
        between = float(np.std(self.sessions, ddof=1) / middle / sqrt(len(self.sessions)))
        return max(within, between)


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Decides how often models run.

    Attributes:
        error: standard error of the ratio at which it is certain enough.
        least: pairs of runs at least, unless they take too long.
        most: pairs of runs of one session at most.
        seconds: after which a measurement ends, a session in a quarter of them.
        warm_up: pairs before the first one of a session that counts.
        clock: the time in seconds.
    """

    error: float = 0.002
    least: int = 40
    most: int = 500
    seconds: float = 12.0
    warm_up: int = 5
    clock: Callable[[], float] = field(default=time.perf_counter)

    def compare(self, opened: Opened, goal: float | None = None) -> Comparison:
        """Open and run two models; a ratio far from the ``goal`` need not be as certain."""
        parts: list[Comparison] = []
        start = self.clock()
        while True:
            with opened() as (dense, pruned):
                parts.append(self._session(dense, pruned))
            found = Comparison.joined(parts)
            if self.clock() - start > self.seconds or len(parts) >= MOST_SESSIONS:
                return found
            far = 0.0 if goal is None else abs(found.ratio / goal - 1) / FAR
            if len(parts) >= LEAST_SESSIONS and found.error <= max(self.error, far):
                return found

    def _session(self, dense: Run, pruned: Run) -> Comparison:
        """Run two models in turns; which comes first changes, for the first finds colder caches."""
        pairs: list[tuple[float, float]] = []
        for _ in range(self.warm_up):
            dense()
            pruned()
        start = self.clock()
        while True:
            if len(pairs) % 2:
                after, before = self.time(pruned), self.time(dense)
            else:
                before, after = self.time(dense), self.time(pruned)
            pairs.append((before, after))
            late = self.clock() - start > self.seconds / 4
            if len(pairs) >= self.most or (late and len(pairs) >= FEWEST):
                return Comparison(*np.array(pairs).T)
            if len(pairs) % self.least == 0:
                found = Comparison(*np.array(pairs).T)
                if found.error <= self.error:
                    return found
                dense()  # warm again after the arithmetic
                pruned()

    def time(self, run: Run) -> float:
        """Return how long one run takes."""
        start = self.clock()
        run()
        return max(self.clock() - start, RESOLUTION)


LEAST_SESSIONS, MOST_SESSIONS = 4, 12

FAR = 10
"""The error of a ratio is at most its distance from the goal over this, or what the watch asks."""

FEWEST = 7
"""Pairs of runs of a model that takes seconds."""

RESOLUTION = 1e-9
"""Seconds that any run takes; clocks may stand still."""
