"""Least squares with a ridge, in float64, for all groups of a layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def solve_kept(
    weight: FloatArray, covariance: FloatArray, kept: BoolArray, damping: float
) -> FloatArray:
    """Return the weight that keeps ``W X`` best with only the kept features; others are zero.

    Shapes: ``weight`` ``(groups, outputs, features)``, ``covariance`` ``(groups, features,
    features)``, ``kept`` ``(groups, features)``. The ridge draws towards the old weights. Of
    variances alone, ``(groups, features)``, nothing can be refitted.

    Source: the sum of all OBS updates, Hassibi and Stork, NIPS 1992, in closed form.
    """
    fitted = np.where(kept[:, None], weight, 0.0)
    for g, stays in enumerate(kept if covariance.ndim == 3 else ()):
        if stays.all() or not stays.any():
            continue
        gone = ~stays
        gram = covariance[g][np.ix_(stays, stays)]
        missing = weight[g][:, gone] @ covariance[g][np.ix_(gone, stays)]
        fitted[g][:, stays] += solve_ridge(gram, missing, damping)
    return fitted


def solve_ridge(gram: FloatArray, right: FloatArray, damping: float) -> FloatArray:
    """Return ``right (gram + damping * mean variance)^-1``, whatever the rank of ``gram``.

    Shapes: ``gram`` ``(features, features)``, ``right`` ``(outputs, features)``.
    """
    mean = float(np.diagonal(gram).mean())
    level = damping * max(mean, float(np.finfo(np.float32).tiny))
    while True:
        try:
            solution = np.linalg.solve(gram + level * np.eye(len(gram)), right.T)
        except np.linalg.LinAlgError:  # rounding made it singular: damp more
            level *= 10
        else:
            return np.asarray(solution.T, np.float64)
