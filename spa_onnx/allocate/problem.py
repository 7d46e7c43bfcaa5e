"""The allocation problem: lanes in order of worth, costs, a budget; the answer is a width a dim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Dim, IntArray
from spa_onnx.allocate.budget import (
    Budget,
    KeepFlops,
    KeepParams,
    KeepSize,
    MaxLatency,
    Ratio,
)
from spa_onnx.analyse.dims import Analysis
from spa_onnx.cost.polynomial import Cost, Costs
from spa_onnx.errors import BudgetError, InternalError
from spa_onnx.plan.lanes import BoolArray, Kept

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """What widths are expected to take, and the share of the original's that may be taken.

    Attributes:
        cost: seconds of a run.
        share: of the cost of all lanes.
    """

    cost: Cost
    share: float


@dataclass(frozen=True, slots=True)
class AllocationProblem:
    """What an allocation pass decides on; dims are numbered in the order of the analysis.

    Attributes:
        sizes: lanes of every dim.
        worth: for every dim the score of its lanes in ascending order; of a dim with uneven rows
            the mean over its rows. Dims are comparable: the mean worth of each is one.
        costs: cost polynomials over the dims' widths.
        budget: what is to be met.
        align: kept widths are multiples of this where the dim is that long.
        least: for dims of which lanes are chosen how many must stay.
        reachable: for dims with coupled lanes the widths that whole orbits give, ascending.
        distortion: for dims where it was measured, how far the network's outputs move by the
            number of lanes removed, ``(size,)``.
        free: for dims with lanes that can go for nothing how many; they are first in ``worth``.
        latency: for a budget in latency what widths take.
    """

    sizes: IntArray
    worth: Sequence[FloatArray]
    costs: Costs
    budget: Budget
    align: int
    reachable: Mapping[int, IntArray] = field(default_factory=dict)
    least: Mapping[int, int] = field(default_factory=dict)
    distortion: Mapping[int, FloatArray] = field(default_factory=dict)
    free: Mapping[int, int] = field(default_factory=dict)
    latency: LatencyEstimate | None = None

    @property
    def widest(self) -> IntArray:
        """Return the widths without the lanes that can go for nothing; no wider ones are kept."""
        widths = self.sizes.copy()
        for k, count in self.free.items():
            widths[k] = max(1, widths[k] - count)
        return self.above(widths)

    def above(self, widths: IntArray) -> IntArray:
        """Return the nearest widths above that can be kept."""
        result = np.minimum(-(-widths // self.align) * self.align, self.sizes)
        for k, reachable in self.reachable.items():
            result[k] = reachable[np.searchsorted(reachable, widths[k])]
        return self.enough(result)

    def curve(self, k: int) -> FloatArray:
        """Return the distortion of a dim by lanes removed; where none was measured, their worth."""
        if k in self.distortion:
            return self.distortion[k]
        return np.concatenate([[0.0], np.cumsum(self.worth[k])[:-1]])

    def cost_of(self, widths: IntArray) -> float:
        """Return the cost that the budget is about; for a plain ratio the number of lanes."""
        if isinstance(self.budget, Ratio):
            return float(widths.sum())
        return self.quantity()[1].at(widths)

    def is_met(self, widths: IntArray) -> bool:
        """Say whether widths are within the budget."""
        if isinstance(self.budget, Ratio):
            return bool(widths.sum() <= self.sizes.sum() * (1 - self.budget.removed))
        _, cost, share = self.quantity()
        return cost.at(widths) <= share * cost.at(self.sizes) * (1 + 1e-12)

    def reach(self, widths: IntArray) -> tuple[str, float, float]:
        """Return what the budget is about, the share that it asks for and the one that is kept."""
        kept = self.cost_of(widths) / max(self.cost_of(self.sizes), 1.0)
        if isinstance(self.budget, Ratio):
            return "lanes", 1 - self.budget.removed, kept
        name, _, share = self.quantity()
        return name, share, kept

    def feasible(self, widths: NDArray[np.int64]) -> IntArray:
        """Return the nearest widths below that can be kept, or the least ones that can.

        Lanes that can go for nothing go. Whole dims stay as they are; others are multiples of the
        alignment where they are as long, and of dims with coupled lanes only whole orbits stay.
        """
        widest = self.widest
        widths = np.minimum(widths, widest)
        floor = np.minimum(self.sizes, self.align)
        rounded = np.where(widths >= widest, widest, widths // self.align * self.align)
        result = np.maximum(rounded, floor)
        for k, reachable in self.reachable.items():
            result[k] = reachable[max(0, int(np.searchsorted(reachable, widths[k], "right")) - 1)]
        return self.enough(result)

    def enough(self, widths: IntArray) -> IntArray:
        """Return the widths, no dim below the number of its lanes that must stay."""
        for k, least in self.least.items():
            widths[k] = max(least, widths[k])
        return widths

    def quantity(self) -> tuple[str, Cost, float]:
        """Return name, cost and kept share of a cost budget.

        Raises:
            InternalError: the budget is a plain ratio, or a latency that nobody estimated.
        """
        if isinstance(self.budget, KeepFlops):
            return "operations", self.costs.operations, self.budget.share
        if isinstance(self.budget, KeepParams):
            return "parameters", self.costs.parameters, self.budget.share
        if isinstance(self.budget, KeepSize):
            return "bytes", self.costs.bytes, self.budget.share
        if isinstance(self.budget, MaxLatency) and self.latency is not None:
            return "latency", self.latency.cost, self.latency.share
        raise InternalError(f"{self.budget} is no cost budget")


class Allocation(Protocol):
    """Spends a budget. Entry point group ``spa_onnx.allocation``."""

    def allocate(self, problem: AllocationProblem) -> IntArray:
        """Return the kept width of every dim, shape ``(dims,)``.

        Raises:
            BudgetError: no widths meet the budget.
        """
        ...


def check_reachable(problem: AllocationProblem) -> None:
    """Raise if even the narrowest model is above the budget.

    Raises:
        BudgetError: says what can be reached.
    """
    if isinstance(problem.budget, Ratio):
        return
    name, cost, share = problem.quantity()
    narrowest = problem.feasible(np.ones_like(problem.sizes))
    least = cost.at(narrowest) / (cost.at(problem.sizes) or 1.0)
    if least > share:
        raise BudgetError(name, share, least)


def make_problem(
    analysis: Analysis,
    scores: Mapping[Dim, FloatArray],
    model_costs: Costs,
    budget: Budget,
    align: int,
    distortion: Mapping[int, FloatArray] | None = None,
    free: Mapping[Dim, int] | None = None,
) -> AllocationProblem:
    """Return the problem of a scored model."""
    sizes = np.array([d.dim.size for d in analysis.dims], np.int64)
    worth = [np.sort(scores[d.dim], axis=1).mean(axis=0) for d in analysis.dims]
    reachable = {}
    for k, d in enumerate(analysis.dims):
        labels = analysis.propagation.space.orbits(d.dim)
        if labels is not None:
            _, counts = _ranked_orbits(scores[d.dim][0], labels)
            reachable[k] = np.cumsum(counts)
    least = {k: d.least for k, d in enumerate(analysis.dims) if d.least > 1}
    measured = distortion or {}
    gone = {k: free[d.dim] for k, d in enumerate(analysis.dims) if free and d.dim in free}
    return AllocationProblem(
        sizes, worth, model_costs, budget, align, reachable, least, measured, gone
    )


def keep_best(
    analysis: Analysis, scores: Mapping[Dim, FloatArray], widths: NDArray[np.int64]
) -> dict[Dim, Kept]:
    """Return the best lanes of every dim at its width; lanes that are coupled stay together."""
    kept: dict[Dim, Kept] = {}
    for d, given in zip(analysis.dims, widths.tolist(), strict=True):
        width = max(d.least, given)
        if width >= d.dim.size:
            continue
        labels = analysis.propagation.space.orbits(d.dim)
        if labels is not None:
            mask = _best_orbits(scores[d.dim][0], labels, width)
            if not mask.all():
                kept[d.dim] = Kept(mask)
            continue
        mask = np.zeros(scores[d.dim].shape, bool)
        best = np.argsort(-scores[d.dim], axis=1, kind="stable")[:, :width]
        np.put_along_axis(mask, best, True, axis=1)
        kept[d.dim] = Kept(mask[0]) if d.rows is None else Kept(mask, d.rows)
    return kept


def _best_orbits(scores: FloatArray, labels: IntArray, width: int) -> BoolArray:
    """Keep whole orbits, best first, up to the width; at least one."""
    names, counts = _ranked_orbits(scores, labels)
    number = max(1, int(np.searchsorted(np.cumsum(counts), width, side="right")))
    return np.isin(labels, names[:number])


def _ranked_orbits(scores: FloatArray, labels: IntArray) -> tuple[IntArray, IntArray]:
    """Return labels and sizes of orbits, best first."""
    names, first, counts = np.unique(labels, return_index=True, return_counts=True)
    order = np.argsort(-scores[first], kind="stable")
    return names[order], counts[order]
