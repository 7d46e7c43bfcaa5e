"""Sums over samples that are all a quadratic criterion needs of them.

Blocks of samples are multiplied in the precision they have and added up in float64, after a shift
by the first block's mean, so that large means do not swallow small variances.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Array = NDArray[Any]


@dataclass(slots=True)
class Moments:
    """Count, mean and second moments of features, and of what goes with them.

    Attributes:
        count: samples seen.
    """

    count: int = 0
    _shift: tuple[FloatArray, FloatArray] = field(default_factory=lambda: (_NOTHING, _NOTHING))
    _sums: list[FloatArray] = field(default_factory=list)

    def add(self, features: Array, targets: Array | None = None) -> None:
        """Add samples: ``(samples, groups, features)``, and targets ``(samples, groups, outputs)``.

        Samples with a number that is not finite are left out.
        """
        x = np.moveaxis(features, 0, 1)
        y = x[..., :0] if targets is None else np.moveaxis(targets, 0, 1)
        if not self._sums:
            self._shift = x.mean(axis=1, dtype=np.float64), y.mean(axis=1, dtype=np.float64)
        x = (x - self._shift[0][:, None]).astype(_precise(x.dtype))
        y = (y - self._shift[1][:, None]).astype(_precise(y.dtype))
        back = x.transpose(0, 2, 1)
        made = [x.sum(axis=1, dtype=np.float64), y.sum(axis=1, dtype=np.float64), back @ x]
        if targets is not None:
            made.append(y.transpose(0, 2, 1) @ x)
        if not self._sums:
            self._sums = [np.zeros(part.shape) for part in made]
        for total, part in zip(self._sums, made, strict=True):
            total += part
        self.count += x.shape[1]

    @property
    def mean(self) -> FloatArray:
        """Return the mean of the features, ``(groups, features)``."""
        return self._shift[0] + self._sums[0] / self.count

    @property
    def target_mean(self) -> FloatArray:
        """Return the mean of the targets, ``(groups, outputs)``."""
        return self._shift[1] + self._sums[1] / self.count

    @property
    def covariance(self) -> FloatArray:
        """Return the covariance of the features, ``(groups, features, features)``."""
        centre = self._sums[0] / self.count
        return self._sums[2] / self.count - centre[:, :, None] * centre[:, None, :]

    @property
    def cross(self) -> FloatArray:
        """Return the covariance of targets with features, ``(groups, outputs, features)``."""
        ours, theirs = self._sums[1] / self.count, self._sums[0] / self.count
        return self._sums[3] / self.count - ours[:, :, None] * theirs[:, None, :]


_NOTHING: FloatArray = np.zeros((0, 0))


def _precise(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type to multiply in: float64 where the numbers have it, float32 otherwise."""
    return np.dtype(np.float64) if dtype == np.float64 else np.dtype(np.float32)
