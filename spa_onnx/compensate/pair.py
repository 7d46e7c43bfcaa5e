"""What both sides of a product of activations become, so that fewer lanes make the same results.

    a ─┐                         T a ─┐
       ├─ a' b      becomes           ├─ a' T' U b        T, U (kept lanes, all lanes)
    b ─┘                         U b ─┘

The sides are outputs of layers, which take ``T`` and ``U`` into their weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import IntArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PairSamples:
    """What is known of one group of a product, such as a head.

    Attributes:
        left: ``E[a a']`` of the dense network, ``(lanes, lanes)``.
        right: ``E[b b']``.
        kept: the lanes that stay.
        left_free: whether the left side may be any combination of its lanes.
        right_free: the same of the right side.
    """

    left: FloatArray
    right: FloatArray
    kept: IntArray
    left_free: bool = True
    right_free: bool = True


@runtime_checkable
class PairCompensation(Protocol):
    """A compensation pass that also repairs products of activations."""

    def refit_pair(self, pair: PairSamples) -> tuple[FloatArray, FloatArray]:
        """Return what both sides are multiplied by, ``(kept lanes, lanes)`` each.

        A side that is not free keeps its lanes: rows of the identity.
        """
        ...


def nearest(pair: PairSamples, damping: float) -> tuple[FloatArray, FloatArray]:
    """Return the two matrices for which ``a' T' U b`` is nearest to ``a' b``.

    ``E (a' b - a' N b)^2 = |A^1/2 (1 - N) B^1/2|^2`` for rows that meet at random, so the best
    ``N`` of a rank is the truncated singular value decomposition ``U s V'`` of ``A^1/2 B^1/2``
    between the inverses of the roots. These are not needed: ``A^-1/2 U s = B^1/2 V``. With one side
    fixed to its kept lanes the other is a least squares fit, with a ridge of ``damping`` shares of
    the mean.

    Source: Eckart and Young, 1936; repair of logits by their second moments as in CORP, arXiv
    2602.05243, there with a matrix between the kept lanes of both sides.
    """
    identity = np.eye(len(pair.left))[pair.kept]
    if pair.left_free and pair.right_free:
        left, right = _root(pair.left), _root(pair.right)
        u, values, vt = np.linalg.svd(left @ right)
        count = len(pair.kept)
        scale = np.zeros(count)
        real = values[:count] > RANK * max(float(values[0]), float(np.finfo(float).tiny))
        scale[real] = values[:count][real] ** -0.5
        return scale[:, None] * (right @ vt[:count].T).T, scale[:, None] * (left @ u[:, :count]).T
    if pair.left_free:
        return _regressed(pair.right, pair.kept, damping), identity
    if pair.right_free:
        return identity, _regressed(pair.left, pair.kept, damping)
    return identity, identity


RANK = 1e-9
"""Singular values below this share of the largest one are rounding."""


def _root(second: FloatArray) -> FloatArray:
    """Return the symmetric root of a matrix of second moments."""
    values, vectors = np.linalg.eigh(second)
    root: FloatArray = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root


def _regressed(other: FloatArray, kept: IntArray, damping: float) -> FloatArray:
    """Return ``B[S, S]^-1 B[S, :]``: all lanes of the other side as its kept lanes tell them."""
    corner = other[np.ix_(kept, kept)]
    level = damping * max(float(np.diagonal(corner).mean()), float(np.finfo(np.float32).tiny))
    eye = np.eye(len(kept))
    right = other[kept] + level * np.eye(len(other))[kept]
    return np.asarray(np.linalg.solve(corner + level * eye, right), np.float64)
