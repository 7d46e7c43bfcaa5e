"""Group Optimal Brain Surgeon: a lane is worth what its consumers lose without it.

For a consumer ``Y = W X`` with features of covariance ``H``, removing the features ``P`` of a lane
and refitting the others costs ``tr(W_P (H^-1)_PP^-1 W_P') / 2``. Lanes go one after another, or a
few at a time, and what is left is refitted in between; the worth of a lane is the cost at the
moment of its removal, summed over all consumers, each relative to the variance of its output. Lanes
of queries and keys, which only a product of activations sums over, cost what it loses, see
:mod:`spa_onnx.score.pair_loss`.

Source: OBS of sets of weights: Frantar and Alistarh, "Optimal Brain Compression", NeurIPS 2022,
section 4; groups of coupled channels: "Structurally Prune Anything", arXiv 2403.18955.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import IntArray
from spa_onnx.errors import UsageError
from spa_onnx.score.consumers import Consumer
from spa_onnx.score.pair_loss import pair_losses, unit_classes
from spa_onnx.score.protocol import Need
from spa_onnx.score.weights import DimWeights

FloatArray = NDArray[np.float64]

DEAD = 1e-10
"""Variance, in shares of the mean of all, at which a feature is constant but for rounding."""

NO_CONSUMERS = "no stored weight sums over these lanes, so obspa ranks them by their own weights"
CONSTANT_CONSUMERS = "what reads these lanes is constant, so obspa ranks them by their weights"


@dataclass(frozen=True, slots=True)
class GroupObs:
    """Score lanes by the loss of their consumers, greedily.

    Attributes:
        damping: added to the diagonal of every covariance, as a share of its mean.
        rounds: about how many times lanes are scored anew while a dim shrinks.
    """

    damping: float = 0.01
    rounds: int = 24

    needs: ClassVar[frozenset[Need]] = frozenset({"moments"})
    comparable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.damping <= 0:
            raise UsageError(f"damping {self.damping} is not a positive number")
        if self.rounds < 1:
            raise UsageError(f"rounds {self.rounds} is below one")

    def score(self, weights: DimWeights, rng: np.random.Generator) -> FloatArray:
        """Return the cost of every unit at its removal, in shares of its consumers' variance."""
        consumers = weights.consumers()
        blocks: list[Block] = [b for c in consumers for b in _blocks(c, self.damping)]
        blocks += [b for pair in weights.pairs() for b in pair_losses(pair, self.damping)]
        shape = (weights.rows, weights.lanes)
        if any(c.covariance.ndim == 2 for c in consumers):
            weights.note(
                "obspa knows variances alone of what reads these lanes, for want of memory"
            )
        if not blocks:  # nothing that sums over the lanes is known
            weights.note(NO_CONSUMERS if not consumers else CONSTANT_CONSUMERS)
            energy = weights.total(np.square)
            share: FloatArray = energy / max(energy.sum(), np.finfo(float).tiny)
            return share
        return _remove_all(blocks, shape, max(1, weights.lanes // self.rounds)).reshape(-1)


class Block(Protocol):
    """What loses by the removal of units."""

    def add_costs(self, total: FloatArray, alive: NDArray[np.bool_]) -> None:
        """Add what each unit's removal costs now."""
        ...

    def remove(self, gone: IntArray) -> None:
        """Remove units."""
        ...


def _remove_all(blocks: list[Block], shape: tuple[int, int], step: int) -> FloatArray:
    """Remove all lanes of every row, and return what each cost; later ones never cost less."""
    rows, lanes = shape
    costs, alive = np.zeros(shape), np.ones(shape, bool)
    highest = np.zeros(rows)
    removed = 0
    while removed < lanes:
        now = np.zeros(rows * lanes)
        for block in blocks:
            block.add_costs(now, alive.reshape(-1))
        open_costs = np.where(alive, now.reshape(shape), np.inf)
        count = min(step, lanes - removed)
        best = np.argsort(open_costs, axis=1, kind="stable")[:, :count]
        for k in range(count):
            cost = open_costs[np.arange(rows), best[:, k]]
            highest = np.nextafter(np.maximum(highest, cost), np.inf)
            costs[np.arange(rows), best[:, k]] = highest
        np.put_along_axis(alive, best, False, axis=1)
        removed += count
        gone = (np.arange(rows)[:, None] * lanes + best).reshape(-1)
        if removed < lanes:
            for block in blocks:
                block.remove(gone)
    return costs


@dataclass(slots=True)
class _Block:
    """One group of a consumer while its features go.

    Attributes:
        weight: ``(outputs, features)``, refitted; of many outputs a matrix with the same Gram.
        inverse: of the damped covariance, ``(features, features)``.
        units: unit of every feature that is left.
        scale: turns losses into shares of the consumer's variance.
        classes: units that own equally many features, with their features.
    """

    weight: FloatArray
    inverse: FloatArray
    units: IntArray
    scale: float
    classes: list[tuple[IntArray, IntArray]]

    def add_costs(self, total: FloatArray, alive: NDArray[np.bool_]) -> None:
        """Add what each unit's removal costs now."""
        for names, features in self.classes:
            left = alive[names]
            own = features[left]
            if not len(own):
                continue
            inner = np.linalg.inv(self.inverse[own[:, :, None], own[:, None, :]])
            weight = self.weight[:, own].transpose(1, 0, 2)
            losses = np.einsum("uof,uof->u", weight @ inner, weight) / 2
            np.add.at(total, names[left], self.scale * np.maximum(losses, 0.0))

    def remove(self, gone: IntArray) -> None:
        """Remove units and refit what is left."""
        removed = np.isin(self.units, gone)
        if not removed.any():
            return
        out, left = np.flatnonzero(removed), np.flatnonzero(~removed)
        rows = self.inverse[out]
        solved = np.linalg.solve(rows[:, out], rows[:, left])
        self.weight = self.weight[:, left] - self.weight[:, out] @ solved
        self.inverse = self.inverse.take(left, 0).take(left, 1)  # faster than indexing
        self.inverse -= rows[:, left].T @ solved
        self.units = self.units[left]
        self.classes = unit_classes(self.units)


def _alone(
    weight: FloatArray,
    variance: FloatArray,
    units: IntArray,
    scale: float,
    classes: list[tuple[IntArray, IntArray]],
) -> _Separate:
    """Return what is lost with each unit: the variance that its features alone bring."""
    names = np.concatenate([names for names, _ in classes])
    loss = np.square(weight).sum(axis=0) * variance
    held = units >= 0
    total = np.zeros(int(names.max()) + 1)
    np.add.at(total, units[held], loss[held])
    return _Separate(names, total[names] * scale / 2)


@dataclass(slots=True)
class _Separate:
    """A group of a consumer of which only variances are known: nothing is refitted.

    Attributes:
        names: units.
        costs: of their removal.
    """

    names: IntArray
    costs: FloatArray

    def add_costs(self, total: FloatArray, alive: NDArray[np.bool_]) -> None:
        """Add what each unit's removal costs."""
        left = alive[self.names]
        total[self.names[left]] += self.costs[left]

    def remove(self, gone: IntArray) -> None:
        """Do nothing: no unit's cost depends on another."""


def _blocks(consumer: Consumer, damping: float) -> Iterator[_Block | _Separate]:
    damping *= consumer.thinness
    scale = 1.0 / max(consumer.energy, np.finfo(float).tiny)
    if consumer.energy <= 0:
        return  # constant outputs: nothing to lose
    groups = zip(consumer.weight, consumer.covariance, consumer.units, strict=True)
    for weight, covariance, units in groups:
        classes = unit_classes(units)
        if not classes:
            continue
        if covariance.ndim == 1:  # variances alone, for want of memory
            yield _alone(weight, covariance, units, scale, classes)
            continue
        mean = float(np.diagonal(covariance).mean())
        dead = np.diagonal(covariance) <= DEAD * mean
        damped = covariance + damping * max(mean, 1e-30) * np.eye(len(covariance))
        weight = np.where(dead, 0.0, weight)  # constant features cost nothing: a bias replaces them
        if weight.shape[0] > weight.shape[1]:
            weight = np.asarray(np.linalg.qr(weight, mode="r"), np.float64)
        yield _Block(weight.copy(), np.linalg.inv(damped), units, scale, classes)
