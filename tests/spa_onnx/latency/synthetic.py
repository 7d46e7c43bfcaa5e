"""Machines without a clock: latency is a function of widths, noise is seeded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import IntArray
from spa_onnx.allocate.budget import MaxLatency
from spa_onnx.allocate.problem import AllocationProblem
from spa_onnx.cost.polynomial import CostPolynomial, Costs
from spa_onnx.latency.measure import Comparison

Latency = Callable[[IntArray], float]


def quadratic(sizes: Sequence[int]) -> CostPolynomial:
    """Return the cost of a chain of layers between dims of these sizes, with three inputs."""
    last = len(sizes)
    rows = [(0, last), *((k, k + 1) for k in range(last - 1))]
    return CostPolynomial(np.array([3.0, *[1.0] * (last - 1)]), np.array(rows))


def chain(
    sizes: Sequence[int], budget: MaxLatency, align: int = 1, seed: int = 0
) -> AllocationProblem:
    """Return the problem of a chain of layers, with lanes of random worth."""
    rng = np.random.default_rng(seed)
    worth = [np.sort(rng.exponential(size=n)) for n in sizes]
    cost = quadratic(sizes)
    return AllocationProblem(np.array(sizes), worth, Costs(cost, cost, cost), budget, align)


@dataclass
class SyntheticMachine:
    """A machine whose latency, in seconds, is ``latency`` of the widths.

    ``estimated`` is what its profiles say, by default the operations of a chain.
    """

    latency: Latency
    sizes: Sequence[int]
    noise: float = 0.0
    drift: float = 0.0
    threads: int = 1
    measured: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"x": (1, 3)}

    def estimate(self, widths: Sequence[IntArray]) -> CostPolynomial:
        assert np.array_equal(widths[0], self.sizes)
        return quadratic(self.sizes)

    def compare(self, widths: IntArray, goal: float | None = None) -> Comparison:
        rng = np.random.default_rng(len(self.measured))
        load = 1 + self.drift * rng.uniform()
        self.measured.append(tuple(widths.tolist()))
        return Comparison(
            self._runs(np.array(self.sizes), load, rng), self._runs(widths, load, rng)
        )

    def _runs(self, widths: IntArray, load: float, rng: np.random.Generator) -> NDArray[np.float64]:
        return self.latency(widths) * load * (1 + self.noise * rng.exponential(size=200))
