"""What a product of two activations loses with a lane, when the lanes that stay make up for it.

Rows ``a`` and ``b`` with second moments ``A`` and ``B`` meet in ``a' b``. With lanes ``S`` alone
the best that a matrix between them can do is ``a_S' N b_S``, which explains

    tr(P_A P_B)    P_A = A[:, S] A[S, S]^-1 A[S, :],    P_B likewise,

of ``E (a' b)^2 = tr(A B)`` if rows meet at random. Removing lanes ``K`` takes ``V C^-1 V'`` from
``P_A``, where ``V = A[:, S] (A[S, S]^-1)[:, K]`` and ``C`` is the corner ``K`` of the inverse.

Source: the refit is CORP's, arXiv 2602.05243, for attention logits; the greedy removal follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import IntArray
from spa_onnx.score.consumers import Pair

FloatArray = NDArray[np.float64]


def pair_losses(pair: Pair, damping: float) -> Iterator[PairLoss]:
    """Yield the groups of a product with the units that they know, each as shares of its energy."""
    if pair.energy <= 0:
        return  # nothing but zeros: nothing to lose
    for left, right, units in zip(pair.left, pair.right, pair.units, strict=True):
        classes = unit_classes(units)
        if classes:
            left, right = _balanced(left, right)
            sides = _Side.of(left, damping), _Side.of(right, damping)
            yield PairLoss(*sides, units, 1.0 / pair.energy, classes)


def _balanced(left: FloatArray, right: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scale lanes of both sides to equal energy, which no product notices but the damping does.

    A lane that is zero on one side is made zero on both.
    """
    a, b = np.diagonal(left), np.diagonal(right)
    live = (a > 0) & (b > 0)
    scale = np.ones(len(a))
    scale[live] = (b[live] / a[live]) ** 0.25
    both, ours = np.outer(live, live), np.outer(scale, scale)
    return np.where(both, left * ours, 0.0), np.where(both, right / ours, 0.0)


@dataclass(slots=True)
class _Side:
    """One side while its lanes go.

    Attributes:
        full: second moments of all lanes, damped.
        inverse: of those of the lanes that stay; zero for the others.
        explained: what these explain of all.
    """

    full: FloatArray
    inverse: FloatArray
    explained: FloatArray

    @staticmethod
    def of(second: FloatArray, damping: float) -> _Side:
        """Return a side with all of its lanes."""
        level = damping * max(float(np.diagonal(second).mean()), 1e-30)
        full = second + level * np.eye(len(second))
        inverse: FloatArray = np.linalg.inv(full).astype(np.float64)
        return _Side(full, inverse, full.copy())

    def taken(self, own: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return ``V`` and ``C^-1`` for units with these lanes, ``(units, lanes of one)``."""
        columns = (self.full @ self.inverse)[:, own].transpose(1, 0, 2)
        corner = np.linalg.inv(self.inverse[own[:, :, None], own[:, None, :]])
        return columns, corner.astype(np.float64)

    def remove(self, lanes: IntArray) -> None:
        """Take lanes away."""
        columns, corner = (x[0] for x in self.taken(lanes[None]))
        self.explained -= columns @ corner @ columns.T
        self.inverse -= self.inverse[:, lanes] @ corner @ self.inverse[lanes]
        self.inverse[lanes] = 0.0
        self.inverse[:, lanes] = 0.0


@dataclass(slots=True)
class PairLoss:
    """One group of a product of activations while its lanes go.

    Attributes:
        left: the one side.
        right: the other.
        units: unit of every lane.
        scale: turns losses into shares of the product's energy.
        classes: units that own equally many lanes, with their lanes.
    """

    left: _Side
    right: _Side
    units: IntArray
    scale: float
    classes: list[tuple[IntArray, IntArray]]

    def add_costs(self, total: FloatArray, alive: NDArray[np.bool_]) -> None:
        """Add what each unit's removal costs now."""
        for names, lanes in self.classes:
            left = alive[names]
            own = lanes[left]
            if not len(own):
                continue
            va, ca = self.left.taken(own)
            vb, cb = self.right.taken(own)
            losses = _overlap(va, ca, self.right.explained) + _overlap(vb, cb, self.left.explained)
            both = va.transpose(0, 2, 1) @ vb
            losses -= np.einsum("uij,uji->u", ca @ both, cb @ both.transpose(0, 2, 1))
            np.add.at(total, names[left], self.scale * np.maximum(losses, 0.0) / 2)

    def remove(self, gone: IntArray) -> None:
        """Remove units; the others make up for them."""
        lanes = np.flatnonzero(np.isin(self.units, gone))
        if len(lanes):
            self.left.remove(lanes)
            self.right.remove(lanes)


def _overlap(columns: FloatArray, corner: FloatArray, explained: FloatArray) -> FloatArray:
    """Return ``tr(V C^-1 V' P)`` for every unit."""
    found: FloatArray = np.einsum(
        "uki,uij,kl,ulj->u", columns, corner, explained, columns, optimize=True
    )
    return found


def unit_classes(units: IntArray) -> list[tuple[IntArray, IntArray]]:
    """Return units with their features, those with equally many features together."""
    held = np.flatnonzero(units >= 0)
    order = held[np.argsort(units[held], kind="stable")]
    names, starts, counts = np.unique(units[order], return_index=True, return_counts=True)
    found = []
    for count in np.unique(counts):
        of = counts == count
        found.append((names[of], order[starts[of][:, None] + np.arange(count)]))
    return found
