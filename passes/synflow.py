"""SynFlow: a lane is worth the flow that runs by it, in a network of absolute weights.

With every weight replaced by its absolute value, an input of ones gives ``R``, the sum of the
outputs; a weight is worth ``|w dR/dw|``. See :mod:`spa_onnx.flow` for what operators do to the
flow: it runs between channels, without borders and biases, and of a product of two activations
either takes half. A lane has the sum over the weights that make it and that read it.

Source: Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic
flow", NeurIPS 2020, arXiv 2006.05467, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Dim
from spa_onnx.analyse.dims import Analysis, PrunableDim
from spa_onnx.errors import InternalError, UsageError
from spa_onnx.flow.network import FlowNetwork
from spa_onnx.flow.units import UnitFlows
from spa_onnx.plan.lanes import Kept
from spa_onnx.score.weights import DimWeights

FloatArray = NDArray[np.float64]

NOT_REACHED = "the flow does not reach these lanes{}, so synflow ranks them by l2"
PARTLY = "the flow misses some weights of these lanes{}; synflow counts the others"


@dataclass(frozen=True, slots=True)
class SynFlow:
    """Score lanes by the flow at their removal, while the whole network shrinks round by round.

    The paper finds the weights to keep in rounds: after round ``k`` of ``n`` a share ``d**(k/n)``
    is left, and the flow is computed anew. Which lanes go in which round does not depend on how
    far one means to go, so one run to ``density`` ranks them for every budget: a lane's worth is
    the share of the flow by it in the round in which it goes, never below that of an earlier one.
    A threshold over all dims (allocation ``global``) then keeps what the paper's rounds would have
    left. Here lanes are counted, where the paper counts weights.

    Attributes:
        rounds: how many times the flow is computed anew; one scores all lanes at once.
        density: the share of lanes that is left in the end; these are ranked by their flow then.
    """

    rounds: int = 100
    density: float = 0.02

    comparable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise UsageError(f"rounds {self.rounds} is below one")
        if not 0 < self.density < 1:
            raise UsageError(f"density {self.density} is not between zero and one")

    def score(self, weights: DimWeights, rng: np.random.Generator) -> FloatArray:
        """Say that the whole network has to be seen first.

        Raises:
            InternalError: always; :meth:`prepare` makes what scores.
        """
        raise InternalError("synflow scores dims by what its prepare() returns")

    def prepare(self, analysis: Analysis, weights: Sequence[DimWeights]) -> Ranked:
        """Return the worth of all units, found in rounds over all dims; NaN where weights are."""
        with np.errstate(over="ignore", invalid="ignore"):
            shrinking = _Shrinking.of(analysis, weights)
            flows = shrinking.flows()
        if not all(np.isfinite(flow).all() for flow in flows):
            return Ranked({w.name: f.reshape(-1) for w, f in zip(weights, flows, strict=True)})
        whole = shrinking.left
        for k in range(1, self.rounds):
            count = shrinking.left - round(whole * self.density ** (k / self.rounds))
            if min(count, shrinking.spare) > 0:
                shrinking.remove(shrinking.flows(), count)
        shrinking.remove(shrinking.flows(), None)
        return Ranked(
            {w.name: s.worth.reshape(-1) for w, s in zip(weights, shrinking.dims, strict=True)}
        )


@dataclass(frozen=True, slots=True)
class Ranked:
    """Scores that were found for all dims at once.

    Attributes:
        worth: of every unit, by name of the dim.
    """

    worth: Mapping[str, FloatArray]

    def score(self, weights: DimWeights, rng: np.random.Generator) -> FloatArray:
        """Return the share of the flow by every unit when it went, shape ``(units,)``."""
        return self.worth[weights.name]


@dataclass(slots=True)
class _State:
    """One dim while it shrinks.

    Attributes:
        dim: the dim.
        energy: norms of the units' weights, for lanes that the flow does not reach.
        matrices: how many weights make the lanes or sum over them.
        alive: ``(rows, lanes)``, equally many in every row.
        worth: of the units that are gone, ``(rows, lanes)``.
        reached: whether the flow reaches any of the dim's layers.
    """

    dim: PrunableDim
    energy: FloatArray
    matrices: int
    alive: NDArray[np.bool_]
    worth: FloatArray
    reached: bool = True

    @property
    def left(self) -> int:
        """Return how many lanes are left of every row."""
        return int(self.alive[0].sum())

    def kept(self) -> Kept:
        """Return what is left."""
        rows = self.dim.rows
        return Kept(self.alive[0] if rows is None else self.alive, rows)

    def by_norm(self) -> FloatArray:
        """Return shares of norms; as much in all as the flow through as many matrices is."""
        held = np.where(self.alive.reshape(-1), self.energy, 0.0)
        made: FloatArray = held * (self.matrices / (held.sum() or 1.0))
        return made


@dataclass(slots=True)
class _Shrinking:
    """All dims while lanes go.

    Attributes:
        dims: one by one.
        network: runs the flow.
        units: adds it up.
        highest: worth of the last lane that went.
    """

    dims: list[_State]
    network: FlowNetwork
    units: UnitFlows
    highest: float = 0.0

    @staticmethod
    def of(analysis: Analysis, weights: Sequence[DimWeights]) -> _Shrinking:
        """Return the whole network, and tell of what the flow does not reach."""
        dims = []
        for dim, w in zip(analysis.dims, weights, strict=True):
            energy = np.sqrt(w.total(np.square, "produces", "consumes"))
            alive = np.ones((w.rows, w.lanes), bool)
            dims.append(_State(dim, energy, w.matrix_count, alive, np.zeros(alive.shape)))
        made = _Shrinking(dims, FlowNetwork(analysis), UnitFlows(analysis))
        reached = dict.fromkeys((d.dim for d in analysis.dims), 0)
        for found, _ in made.units.by_cut(made.network.cuts({})):
            reached[found] += 1
        operators = ", ".join(sorted(made.network.blocked))
        where = f" (not followed: {operators})" if operators else ""
        for state, w in zip(dims, weights, strict=True):
            state.reached = reached[state.dim.dim] > 0
            if not state.reached:
                w.note(NOT_REACHED.format(where))
            elif reached[state.dim.dim] < state.matrices:
                w.note(PARTLY.format(where))
        return made

    @property
    def left(self) -> int:
        """Return how many lanes are left of all dims."""
        return sum(state.left for state in self.dims)

    def flows(self) -> list[FloatArray]:
        """Return the share of the flow by every unit that is left, ``(rows, lanes)`` by dim."""
        kept: dict[Dim, Kept] = {s.dim.dim: s.kept() for s in self.dims if not s.alive.all()}
        total = {s.dim.dim: np.zeros(s.alive.size) for s in self.dims}
        for dim, flow in self.units.by_cut(self.network.cuts(kept)):
            total[dim] += flow
        return [
            (total[s.dim.dim] if s.reached else s.by_norm()).reshape(s.alive.shape)
            for s in self.dims
        ]

    @property
    def spare(self) -> int:
        """Return how many lanes may go while every dim keeps as many as it needs."""
        return sum(max(0, state.left - state.dim.least) for state in self.dims)

    def remove(self, flows: Sequence[FloatArray], count: int | None) -> None:
        """Remove so many lanes of least flow, all that are spare at most; None removes all.

        Where rows keep lanes of their own, a lane is one of every row.
        """
        orders, sums = [], []
        for state, flow in zip(self.dims, flows, strict=True):
            held = np.where(state.alive, flow, np.inf)
            orders.append(np.argsort(held, axis=1, kind="stable"))
            sums.append(np.sort(held, axis=1)[:, : state.left].sum(axis=0))
        owner = np.repeat(np.arange(len(self.dims)), [len(s) for s in sums])
        place = np.concatenate([np.arange(len(s)) for s in sums])
        values = np.concatenate(sums)
        order = np.lexsort((place, values))
        if count is not None:
            needed = np.array([state.left - state.dim.least for state in self.dims])
            order = order[place[order] < needed[owner[order]]][:count]
        for k in order:
            state, at = self.dims[owner[k]], orders[owner[k]][:, place[k]]
            self._advance(float(values[k]))
            rows = np.arange(len(at))
            state.alive[rows, at] = False
            state.worth[rows, at] = self.highest / len(at)

    def _advance(self, value: float) -> None:
        """Set the worth of the next lane that goes; of none that goes later it is more."""
        if value > self.highest:
            self.highest = value
        elif self.highest > 0:
            self.highest = float(np.nextafter(self.highest, np.inf))
