"""Latency as a function of widths: a sum over nodes, each piecewise linear in its own work.

Profiles of the model at a few widths give every node points ``(work, microseconds)``. Between them
its time is interpolated; time that falls while work grows is noise, and is averaged away.

Kernels compute whole vectors or tiles, so for many nodes a few lanes more cost nothing until the
next vector. Of several roundings of widths each node takes what makes its times straight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import IntArray
from spa_onnx.algebra.size import Polynomial, Size, terms_of
from spa_onnx.latency.features import NodeFeatures

FloatArray = NDArray[np.float64]

ROUNDINGS = (1, 4, 8, 16)
"""Numbers of lanes that kernels may compute together; 16 floats are the widest vector."""

LEAST_SLOPE = 0.05
"""The least that a node gains by less work, in shares of time proportional to work.

On a busy machine times may seem not to depend on widths at all; then work alone decides, instead of
nothing."""


@dataclass(frozen=True, slots=True)
class Work:
    """The work of nodes as polynomials in widths.

    Attributes:
        coefficients: of monomials, ``(monomials,)``.
        variables: of monomials, ``(monomials, degree)`` numbers of dims; one past the last dim
            stands for the constant one.
        owners: the node that each monomial belongs to, ``(monomials,)``.
        nodes: how many there are.
    """

    coefficients: FloatArray
    variables: IntArray
    owners: IntArray
    nodes: int

    @staticmethod
    def of(sizes: Sequence[Size], dims: int) -> Work:
        """Lay polynomials out as arrays, padded with the constant's number."""
        terms = [(k, m, n) for k, size in enumerate(sizes) for m, n in terms_of(size)]
        degree = max((len(m) for _, m, _ in terms), default=0)
        rows = [[*map(int, m), *[dims] * (degree - len(m))] for _, m, _ in terms]
        return Work(
            np.array([n for _, _, n in terms], np.float64),
            np.array(rows, np.int64).reshape(len(terms), degree),
            np.array([k for k, _, _ in terms], np.int64),
            len(sizes),
        )

    def at(self, widths: NDArray[np.int64], roundings: IntArray) -> FloatArray:
        """Return the work of every node with widths rounded up for it, ``(nodes,)``."""
        rounded = -(-widths // roundings[:, None]) * roundings[:, None]
        extended = np.ones((len(roundings), len(widths) + 1))
        extended[:, :-1] = rounded
        factors = extended[self.owners[:, None], self.variables]
        terms = self.coefficients * factors.prod(axis=1)
        return np.bincount(self.owners, terms, self.nodes).astype(np.float64)


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """Microseconds of a run at any widths.

    Attributes:
        work: of every node whose time depends on widths.
        roundings: lanes that each of them computes together, ``(nodes,)``.
        knots: work at which times are known, ascending, ``(nodes, points)``.
        slopes: microseconds by work between two of them, ``(nodes, points - 1)``.
        constant: microseconds of all nodes at their first knots.
    """

    work: Work
    roundings: IntArray
    knots: FloatArray
    slopes: FloatArray
    constant: float

    def at(self, widths: NDArray[np.int64]) -> float:
        """Return the microseconds when dim ``k`` keeps ``widths[k]`` lanes."""
        work = self.work.at(widths, self.roundings)
        spans = np.diff(self.knots, axis=1)
        inside = np.clip(work[:, None] - self.knots[:, :-1], 0.0, spans)
        return self.constant + float((inside * self.slopes).sum())

    def marginal(self, widths: NDArray[np.int64], dim: int) -> float:
        """Return what one lane less of ``dim`` saves."""
        fewer = widths.copy()
        fewer[dim] -= 1
        return self.at(widths) - self.at(fewer)


def fit(
    features: NodeFeatures, widths: Sequence[IntArray], profiles: Sequence[Mapping[int, float]]
) -> LatencyModel:
    """Return the model of profiles at some widths, the dense model's first."""
    homes = features.homes(list(profiles[0]))
    members: dict[int, list[int]] = {}
    for number, home in homes.items():
        members.setdefault(home, []).append(number)
    times = [_by_home(profile, homes) for profile in profiles]
    sizes = {home: features.of(home, inside) for home, inside in members.items()}
    moving = [home for home, size in sizes.items() if isinstance(size, Polynomial)]
    still = [*(members.keys() - moving), ELSEWHERE]
    constant = sum(float(np.median([t.get(home, 0.0) for t in times])) for home in still)
    taken = np.array([[t.get(home, 0.0) for t in times] for home in moving])
    work = Work.of([sizes[home] for home in moving], len(widths[0]))
    return _curves(work, widths, taken.reshape(len(moving), len(widths)), constant)


def _curves(
    work: Work, widths: Sequence[IntArray], taken: FloatArray, constant: float
) -> LatencyModel:
    """Fit the times of every node, ``(nodes, points)``, at every rounding, and choose one."""
    roundings = np.ones(work.nodes, np.int64)
    knots, heights = np.zeros(taken.shape), np.zeros(taken.shape)
    least = np.full(work.nodes, np.inf)
    for rounding in ROUNDINGS:
        each = np.full(work.nodes, rounding)
        at = np.array([work.at(w, each) for w in widths]).T.reshape(taken.shape)
        for k in range(work.nodes):
            bent = crookedness(at[k], taken[k])
            if bent < least[k] * (1 - 1e-6):
                order, risen = rising(at[k], taken[k])
                least[k], roundings[k], knots[k], heights[k] = bent, rounding, at[k, order], risen
    spans, rises = np.diff(knots, axis=1), np.diff(heights, axis=1)
    slopes = np.divide(rises, spans, out=np.zeros_like(rises), where=spans > 0)
    proportional = heights.mean(axis=1) / np.maximum(knots.max(axis=1, initial=0.0), 1.0)
    slopes = np.maximum(slopes, LEAST_SLOPE * proportional[:, None])
    return LatencyModel(work, roundings, knots, slopes, constant + float(heights[:, 0].sum()))


def crookedness(work: FloatArray, times: FloatArray) -> float:
    """Return the squared distance of times from a line over work, in shares of the times."""
    centred, rest = work - work.mean(), times - times.mean()
    energy = float(centred @ centred)
    slope = float(centred @ rest) / energy if energy > 0 else 0.0
    error = rest - slope * centred
    return float(error @ error) / max(float(times @ times), np.finfo(float).tiny)


ELSEWHERE = -1
"""Key of the time of nodes that the dense graph lacks."""


def _by_home(profile: Mapping[int, float], homes: Mapping[int, int]) -> dict[int, float]:
    """Add up the times of nodes that were fused in the dense model's profile."""
    found: dict[int, float] = {}
    for number, time in profile.items():
        home = homes.get(number, ELSEWHERE)
        found[home] = found.get(home, 0.0) + time
    return found


def rising(work: FloatArray, times: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return points in order of work, and times that never fall along it, nearest in least squares.

    Points of the same work get the same time.
    Source: pool adjacent violators, Ayer et al., Annals of Mathematical Statistics 26 (1955).
    """
    order = np.argsort(work, kind="stable")
    pools: list[tuple[float, int]] = []
    for place, k in enumerate(order):
        mean, count = float(times[k]), 1
        tied = place > 0 and work[k] == work[order[place - 1]]
        while pools and (tied or pools[-1][0] > mean):
            before, many = pools.pop()
            mean, count, tied = (before * many + mean * count) / (many + count), many + count, False
        pools.append((mean, count))
    heights = np.repeat([mean for mean, _ in pools], [count for _, count in pools])
    return order, heights.astype(np.float64)
