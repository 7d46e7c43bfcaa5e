"""Meet a budget in latency: allocate against an estimate, measure, correct the estimate, repeat.

    profiles ─ estimate ─ allocate ─ rewrite ─ measure ─ as fast as asked, and not much faster?
                   └──────────── no: another share of the estimate ───────┘
                        at last: some dims of one model, the others of another

An estimate from profiles orders widths well, but its sum is not the latency of the whole: caches,
layouts and the runtime's own work between nodes are not in it. So the share of the estimate that an
allocation may spend is searched, by regula falsi between shares whose widths were measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from spa_onnx.algebra.expression import IntArray
from spa_onnx.allocate.budget import MaxLatency
from spa_onnx.allocate.problem import Allocation, AllocationProblem, LatencyEstimate
from spa_onnx.cost.polynomial import Cost
from spa_onnx.errors import BudgetError, LatencyBudgetError
from spa_onnx.latency.measure import Comparison

PRECISION = 0.01
"""Share of the target by which a result may be faster."""

ROUNDS = 10
"""Models that are measured at most."""

BLENDS = 6
"""Models that are measured behind these, where none of them is close."""

MOST = ROUNDS + BLENDS

ALLOCATIONS = 24
"""Shares of the estimate that are tried at most; many give widths that were measured already."""

CLOSE = 5e-4
"""Distance of two shares of the estimate between which nothing is worth trying."""

FRACTIONS = (0.8, 0.55, 0.3, 0.1)
"""Shares of all widths at which the model is profiled, beside the widest and the narrowest.

They are no round ones, whose widths would be multiples of any vector."""


class Machine(Protocol):
    """What runs models."""

    @property
    def threads(self) -> int:
        """Return how many threads a node may use."""
        ...

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the inputs of a run."""
        ...

    def estimate(self, widths: Sequence[IntArray]) -> Cost:
        """Return a model of the time from profiles at some widths, the dense ones first."""
        ...

    def compare(self, widths: IntArray, goal: float | None = None) -> Comparison:
        """Time a model of these widths against the dense one, most precisely near the goal."""
        ...


@dataclass(frozen=True, slots=True)
class Trial:
    """A model that was measured.

    Attributes:
        widths: of the model.
        measured: its times.
    """

    widths: IntArray
    measured: Comparison


@dataclass(frozen=True, slots=True)
class Met:
    """Widths that meet a budget.

    Attributes:
        widths: of the dims.
        target: seconds that were asked for.
        dense: seconds of the original, the median of all its runs.
        estimated: seconds that the profiles let expect.
        rounds: models that were measured.
    """

    widths: IntArray
    target: float
    dense: float
    estimated: float
    rounds: int


def meet(
    problem: AllocationProblem,
    allocation: Allocation,
    machine: Machine,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Met:
    """Return widths whose model is at most as slow as the budget says, and close to it.

    Raises:
        LatencyBudgetError: even the narrowest model is slower.
    """
    if not isinstance(problem.budget, MaxLatency):
        raise TypeError("the budget is no latency")
    tell(0, MOST + 2)
    anchors = _anchors(problem)
    cost = machine.estimate(anchors)
    tell(1, MOST + 2)
    narrowest = Trial(anchors[-1], machine.compare(anchors[-1]))
    search = _Search(problem, allocation, machine, problem.budget, cost, [narrowest], tell)
    if search.goal < 1 and narrowest.measured.ratio > search.goal:
        raise LatencyBudgetError(
            search.goal * search.dense, search.dense, narrowest.measured.ratio * search.dense
        )
    found = search.run()
    estimated = search.expected(found.widths) * search.dense
    target = search.goal * search.dense
    return Met(found.widths, target, search.dense, estimated, len(search.trials))


def _anchors(problem: AllocationProblem) -> list[IntArray]:
    """Return the widths at which the model is profiled: all lanes first, the narrowest last."""
    widths = [np.ceil(problem.sizes * share).astype(np.int64) for share in FRACTIONS]
    found = [problem.sizes, *map(problem.feasible, widths)]
    narrowest = problem.feasible(np.ones_like(problem.sizes))
    distinct = {tuple(w.tolist()): w for w in found if not np.array_equal(w, narrowest)}
    return [*distinct.values(), narrowest]


@dataclass(slots=True)
class _Search:
    """Regula falsi on the share of the estimate.

    Attributes:
        problem: without an estimate.
        allocation: spends the estimate.
        machine: measures.
        budget: the target.
        cost: the estimate.
        trials: what was measured so far, the narrowest first.
        tell: told how many rounds are done.
        capped: the allocation refused a share, so it keeps more than the narrowest model has.
    """

    problem: AllocationProblem
    allocation: Allocation
    machine: Machine
    budget: MaxLatency
    cost: Cost
    trials: list[Trial]
    tell: Callable[[int, int], None]
    capped: bool = False

    @property
    def dense(self) -> float:
        """Return the seconds of the original, over all its runs so far."""
        return float(np.median(np.concatenate([t.measured.dense for t in self.trials])))

    @property
    def goal(self) -> float:
        """Return the target as a share of the original's latency."""
        if self.budget.share is not None:
            return self.budget.share
        return float(self.budget.seconds or 0.0) / self.dense

    def expected(self, widths: IntArray) -> float:
        """Return the share of the original's latency that profiles let expect.

        They hold the profiler's own work too, which the narrowest model tells from the rest.
        """
        low, high = self.cost.at(self.trials[0].widths), self.cost.at(self.problem.sizes)
        least = self.trials[0].measured.ratio
        if high <= low:
            return 1.0
        return least + (1 - least) * (self.cost.at(widths) - low) / (high - low)

    def run(self) -> Trial:
        """Return the slowest of the measured models that are fast enough."""
        if self.goal >= 1:  # the original does
            dense = self.trials[0].measured.dense
            return Trial(self.problem.sizes, Comparison(dense, dense))
        total = self.cost.at(self.problem.sizes) or 1.0
        narrowest = self.trials[0]
        met = _Point(self.cost.at(narrowest.widths) / total, narrowest.measured.ratio)
        missed, repeated = _Point(1.0, 1.0), False
        for _ in range(ALLOCATIONS):
            if len(self.trials) > ROUNDS or self._is_close() or missed.share - met.share < CLOSE:
                break
            share = between(met, missed, self.goal * (1 - PRECISION / 2), halve=repeated)
            try:
                trial, repeated = self._try(share)
            except BudgetError:  # the allocation keeps more, by a cap of its own
                met, repeated, self.capped = replace(met, share=share), True, True
                continue
            point = _Point(share, trial.measured.ratio)
            met, missed = (point, missed) if point.ratio <= self.goal else (met, point)
        self._blend()
        return self._best()

    def _blend(self) -> None:
        """Where no share comes close, mix the dims of a model that is too slow with another's.

        Kernels change with widths, so between two shares the latency may jump; from one dim to the
        next it jumps less.
        """
        slow = [t for t in self.trials if t.measured.ratio > self.goal]
        slowest = min(slow, key=lambda t: t.measured.ratio, default=None)
        above = self.problem.sizes if slowest is None else slowest.widths
        below = self._best().widths
        other = np.flatnonzero(above != below)
        low, high = 0, len(other)
        for _ in range(BLENDS):
            if high - low < 2 or self._is_close():
                return
            middle = (low + high) // 2
            widths = below.copy()
            widths[other[:middle]] = above[other[:middle]]
            trial, _ = self._measured(self.problem.feasible(widths))
            low, high = (middle, high) if trial.measured.ratio <= self.goal else (low, middle)

    def _try(self, share: float) -> tuple[Trial, bool]:
        """Return the trial of a share of the estimate, and whether it was made before."""
        problem = replace(self.problem, latency=LatencyEstimate(self.cost, share))
        return self._measured(self.allocation.allocate(problem))

    def _measured(self, widths: IntArray) -> tuple[Trial, bool]:
        """Return the trial of widths, and whether it was made before."""
        for trial in self.trials:
            if np.array_equal(trial.widths, widths):
                return trial, True
        measured = self.machine.compare(widths, self.goal)
        if self._is_near(measured.ratio):  # perhaps by luck
            again = self.machine.compare(widths, self.goal)
            measured = Comparison.joined([measured, again])
        self.trials.append(Trial(widths, measured))
        self.tell(len(self.trials), MOST + 2)
        return self.trials[-1], False

    def _is_close(self) -> bool:
        return any(self._is_near(trial.measured.ratio) for trial in self.trials)

    def _is_near(self, ratio: float) -> bool:
        return self.goal * (1 - PRECISION) <= ratio <= self.goal

    def _best(self) -> Trial:
        """Return the slowest that is fast enough; the original's runs may have moved the goal.

        Raises:
            LatencyBudgetError: the allocation keeps so much that none is.
        """
        trials = self.trials[1:] if self.capped else self.trials
        fast = [t for t in trials if t.measured.ratio <= self.goal]
        if self.capped and not fast:
            least = min((t.measured.ratio for t in trials), default=1.0)
            raise LatencyBudgetError(self.goal * self.dense, self.dense, least * self.dense)
        return max(fast or trials[:1], key=lambda t: t.measured.ratio)


@dataclass(frozen=True, slots=True)
class _Point:
    """A share of the estimate, and what came of it: a share of the original's latency."""

    share: float
    ratio: float


def between(met: _Point, missed: _Point, aim: float, *, halve: bool) -> float:
    """Return the share at which a line through two points has the ratio aimed at.

    It stays off the points themselves, which would bring nothing new. Where the last share brought
    nothing new the middle is taken, since widths change in steps.
    """
    gap = missed.share - met.share
    if halve or missed.ratio <= met.ratio:
        return met.share + gap / 2
    place = (aim - met.ratio) / (missed.ratio - met.ratio)
    return met.share + gap * min(0.95, max(0.05, place))
