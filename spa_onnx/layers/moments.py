"""Sums over samples that are all a quadratic criterion needs of them.

Blocks of samples are multiplied in float32, in float64 where their numbers have that precision or
are large, and added up in float64, after a shift by the first block's mean, so that large means do
not swallow small variances.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Array = NDArray[Any]

LARGE = 1e12
"""Numbers above are multiplied in float64, for their products may overflow float32."""

LEAST_BLOCK = 512
"""Samples that wait until they are multiplied; more where there are many features, for then adding
a product to the sums costs more than making it."""


@dataclass(slots=True)
class Moments:
    """Count, mean and second moments of features, and of what goes with them.

    Attributes:
        diagonal: keep the variance of every feature alone, where all covariances are too many.
        count: samples seen.
    """

    diagonal: bool = False
    count: int = 0
    _shift: tuple[Array, Array] = field(default_factory=lambda: (_NOTHING, _NOTHING))
    _totals: list[FloatArray] = field(default_factory=list)
    _waiting: list[tuple[Array, Array]] = field(default_factory=list)
    _waiting_count: int = 0

    def add(self, features: Array, targets: Array | None = None) -> None:
        """Add samples: ``(samples, groups, features)``, and targets ``(samples, groups, outputs)``.

        Samples with a number that is not finite are left out.
        """
        x, y = _finite(features, features[..., :0] if targets is None else targets)
        if not len(x):
            return
        self.count += len(x)
        self._waiting.append((x, y))
        self._waiting_count += len(x)
        if self.diagonal or self._waiting_count >= max(LEAST_BLOCK, x.shape[2] // 2):
            self._add_waiting()

    def _add_waiting(self) -> None:
        x, y = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting, self._waiting_count = [], 0
        if not self._totals:
            self._shift = _mean(x), _mean(y)
        x, y = _shifted(x, self._shift[0]), _shifted(y, self._shift[1])
        made = [x.sum(axis=1, dtype=np.float64), y.sum(axis=1, dtype=np.float64)]
        if self.diagonal:
            made.append(np.square(x).sum(axis=1, dtype=np.float64))
        else:
            made.append(x.transpose(0, 2, 1) @ x)
            made.append(y.transpose(0, 2, 1) @ x)
        made.append(np.square(y).sum(axis=1, dtype=np.float64))
        if not self._totals:
            self._totals = [np.zeros(part.shape) for part in made]
        for total, part in zip(self._totals, made, strict=True):
            total += part

    @property
    def _sums(self) -> list[FloatArray]:
        if self._waiting:
            self._add_waiting()
        return self._totals

    @property
    def mean(self) -> FloatArray:
        """Return the mean of the features, ``(groups, features)``."""
        summed = self._sums[0]
        return self._shift[0] + summed / self.count

    @property
    def target_mean(self) -> FloatArray:
        """Return the mean of the targets, ``(groups, outputs)``."""
        summed = self._sums[1]
        return self._shift[1] + summed / self.count

    @property
    def target_variance(self) -> FloatArray:
        """Return the variance of every target, ``(groups, outputs)``."""
        centre = self._sums[1] / self.count
        return np.maximum(self._sums[-1] / self.count - np.square(centre), 0.0)

    @property
    def covariance(self) -> FloatArray:
        """Return the covariance of the features, ``(groups, features, features)``.

        Of diagonal moments the variances, ``(groups, features)``.
        """
        centre = self._sums[0] / self.count
        if self.diagonal:
            return np.maximum(self._sums[2] / self.count - np.square(centre), 0.0)
        return self._sums[2] / self.count - centre[:, :, None] * centre[:, None, :]

    @property
    def cross(self) -> FloatArray:
        """Return the covariance of targets with features, ``(groups, outputs, features)``."""
        ours, theirs = self._sums[1] / self.count, self._sums[0] / self.count
        return self._sums[3] / self.count - ours[:, :, None] * theirs[:, None, :]

    @property
    def arrays(self) -> list[Array]:
        """Return all that is known, for :meth:`of`."""
        sums = self._sums
        return [*self._shift, *sums]

    @staticmethod
    def of(arrays: list[Array], count: int, diagonal: bool) -> Moments:
        """Return the moments that had these arrays."""
        return Moments(diagonal, count, (arrays[0], arrays[1]), arrays[2:])


_NOTHING: FloatArray = np.zeros((0, 0))


def _finite(x: Array, y: Array) -> tuple[Array, Array]:
    """Return the samples without a NaN or infinity, in a type that numpy can add."""
    x, y = (a if a.dtype == np.float64 else a.astype(np.float32, copy=False) for a in (x, y))
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(x.sum()) or not np.isfinite(y.sum())
    if suspicious:
        good = np.isfinite(x).all(axis=(1, 2)) & np.isfinite(y).all(axis=(1, 2))
        x, y = x[good], y[good]
    return x, y


def _mean(x: Array) -> Array:
    """Return the means, ``(groups, numbers)``, rounded to the type of ``x``."""
    mean: Array = x.mean(axis=0, dtype=np.float64).astype(x.dtype)
    return mean


def _shifted(x: Array, shift: Array) -> Array:
    """Return ``(groups, samples, numbers)`` less a shift, in the type to multiply in.

    What is in ``x`` is lost.
    """
    if max(x.max(initial=0.0), -x.min(initial=0.0)) > LARGE:
        x = x.astype(np.float64)
    x -= shift
    high = max(x.max(initial=0.0), -x.min(initial=0.0))
    exact = high > LARGE or 0 < high < 1 / LARGE
    wanted = np.float64 if exact else np.float32
    return np.ascontiguousarray(np.moveaxis(x, 0, 1), wanted)
