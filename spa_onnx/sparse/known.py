"""What is known of a layer that is to be fitted: second moments of features, and with its targets.

loss(W) = tr(W G W') - 2 tr(W C') + what no weight changes
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.layers.moments import Moments

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Known:
    """Moments of one layer, about the means where a bias takes these, about zero otherwise.

    Attributes:
        count: samples.
        gram: ``G``, ``(groups, features, features)``.
        cross: ``C``, ``(groups, outputs, features)``.
        mean: of the features, ``(groups, features)``.
        target_mean: of the targets, ``(groups, outputs)``.
        energy: of the targets, all together.
    """

    count: int
    gram: FloatArray
    cross: FloatArray
    mean: FloatArray
    target_mean: FloatArray
    energy: float

    def loss(self, weight: FloatArray) -> float:
        """Return what a weight leaves of the targets' energy, as a share of it."""
        inner = float(np.einsum("gok,gok->", weight @ self.gram, weight))
        gained = float(np.einsum("gok,gok->", weight, self.cross))
        tiny = float(np.finfo(np.float64).tiny)
        return max(0.0, 1.0 + (inner - 2 * gained) / max(self.energy, tiny))


def known(moments: Moments, *, centred: bool) -> Known:
    """Return what moments with all covariances tell."""
    gram, cross = moments.covariance, moments.cross
    mean, target = moments.mean, moments.target_mean
    energy = float(moments.target_variance.sum())
    if not centred:
        gram = gram + mean[:, :, None] * mean[:, None, :]
        cross = cross + target[:, :, None] * mean[:, None, :]
        energy += float(np.square(target).sum())
    return Known(moments.count, gram, cross, mean, target, energy)


def together(a: Moments, b: Moments, *, centred: bool) -> Known:
    """Return what two sets of samples tell as one."""
    if not b.count or not a.count:
        return known(a if a.count else b, centred=centred)
    shares = np.array([a.count, b.count]) / (a.count + b.count)
    parts = [known(m, centred=False) for m in (a, b)]

    def mixed(first: FloatArray, second: FloatArray) -> FloatArray:
        summed: FloatArray = shares[0] * first + shares[1] * second
        return summed

    one, two = parts
    mean, target = mixed(one.mean, two.mean), mixed(one.target_mean, two.target_mean)
    gram, cross = mixed(one.gram, two.gram), mixed(one.cross, two.cross)
    energy = float(shares[0] * one.energy + shares[1] * two.energy)
    if centred:
        gram = gram - mean[:, :, None] * mean[:, None, :]
        cross = cross - target[:, :, None] * mean[:, None, :]
        energy -= float(np.square(target).sum())
    return Known(a.count + b.count, gram, cross, mean, target, energy)
