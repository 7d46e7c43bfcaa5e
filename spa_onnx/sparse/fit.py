"""One layer under a mask: the best weights without it, the mask, the best weights under it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import IntArray
from spa_onnx.calibrate.collect import thinness
from spa_onnx.compensate.ridge import solve_ridge
from spa_onnx.layers.moments import Moments
from spa_onnx.sparse.known import Known, known, together
from spa_onnx.sparse.masked import solve_masked
from spa_onnx.sparse.pattern import Pattern
from spa_onnx.sparse.selection import BoolArray, MaskProblem, Selection

FloatArray = NDArray[np.float64]

DAMPING = (1e-4, 1e-3, 1e-2, 1e-1)
"""Ridges to choose from by the loss on samples held out, as shares of the mean curvature."""

MASK_DAMPING = 1e-2
"""The ridge with which masks are chosen."""


@dataclass(frozen=True, slots=True)
class Masking:
    """How the mask of one layer is chosen.

    Attributes:
        selection: the pass.
        pattern: what stays or goes together.
        order: features in the order in which they are neighbours, ``(groups, places)``.
        sparsity: share of the weights that goes.
    """

    selection: Selection
    pattern: Pattern
    order: IntArray
    sparsity: float

    def with_sparsity(self, sparsity: float) -> Masking:
        """Return the same at another sparsity."""
        return replace(self, sparsity=sparsity)

    def with_selection(self, selection: Selection) -> Masking:
        """Return the same with another pass."""
        return replace(self, selection=selection)

    def mask(self, optimum: FloatArray, hessian: FloatArray) -> BoolArray:
        """Return what stays, ``(groups, outputs, features)``."""
        problem = MaskProblem(optimum, hessian, self.pattern, self.order, self.sparsity)
        return self.selection.select(problem)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A layer under its mask.

    Attributes:
        weight: ``(groups, outputs, features)``.
        offset: what is added to ``W X``, ``(groups, outputs)``; None changes no bias.
        damage: what it leaves of the targets' energy, as a share; None where nothing was seen.
    """

    weight: FloatArray
    offset: FloatArray | None = None
    damage: float | None = None


def plain_mask(weight: FloatArray, masking: Masking, moments: Moments | None) -> Fitted:
    """Return a layer's own weights under a mask; ``moments`` are those of its inputs."""
    if moments is None or not moments.count:
        ones = np.ones((len(weight), weight.shape[2]))
        return Fitted(np.where(masking.mask(weight, ones), weight, 0.0))
    second = moments.covariance
    mean = moments.mean
    if second.ndim == 2:
        hessian = damped(second + np.square(mean), MASK_DAMPING)
    else:
        hessian = damped(second + mean[:, :, None] * mean[:, None, :], MASK_DAMPING)
    return Fitted(np.where(masking.mask(weight, hessian), weight, 0.0))


def fit(
    weight: FloatArray, masking: Masking, seen: Moments, held_out: Moments, *, biased: bool
) -> Fitted:
    """Return a layer fitted to targets under a mask.

    ``biased`` layers take the difference of the means into their bias.
    """
    if seen.diagonal:
        curvature = damped(seen.covariance + np.square(seen.mean), MASK_DAMPING)
        masked = np.where(masking.mask(weight, curvature), weight, 0.0)
        offset = seen.target_mean - np.einsum("gok,gk->go", masked, seen.mean)
        return Fitted(masked, offset if biased else None)
    of, test = (
        known(seen, centred=biased),
        known(held_out, centred=biased) if held_out.count else None,
    )
    every = together(seen, held_out, centred=biased)
    thin = thinness(weight.shape[2], every.count)
    mask = masking.mask(
        optimum(weight, every, thin * MASK_DAMPING), damped(every.gram, thin * MASK_DAMPING)
    )
    best = MASK_DAMPING
    start = np.where(mask, weight, 0.0)
    if test is not None:
        losses = {}
        for damping in sorted(DAMPING, reverse=True):
            start = solve(weight, of, mask, damping, start, TRIED_STEPS)
            losses[damping] = test.loss(start)
        best = min(losses, key=lambda damping: losses[damping])
    fitted = solve(weight, every, mask, best, start)
    offset = every.target_mean - np.einsum("gok,gk->go", fitted, every.mean)
    return Fitted(fitted, offset if biased else None, every.loss(fitted))


TRIED_STEPS = 100
"""Conjugate gradient steps for one ridge of several, each from the weights of the one before; so
many that they arrive, for weights that stop on the way hide what a small ridge overfits."""


def solve(
    weight: FloatArray,
    of: Known,
    mask: BoolArray,
    damping: float,
    start: FloatArray,
    steps: int | None = None,
) -> FloatArray:
    """Return the best weights under a mask, drawn towards the old ones by a ridge.

    After so many ``steps`` from the ``start`` they may be near it only.
    """
    hessian, free = damped(of.gram, damping), optimum(weight, of, damping)
    if steps is None:
        made = [solve_masked(*group) for group in zip(free, hessian, mask, start, strict=True)]
    else:
        single = hessian.astype(np.float32)
        groups = zip(free, single, mask, start, strict=True)
        made = [solve_masked(*group, steps=steps) for group in groups]
    return np.stack(made)


def optimum(weight: FloatArray, of: Known, damping: float) -> FloatArray:
    """Return the best weights without a mask, ``(groups, outputs, features)``."""
    fitted = weight.copy()
    for g, gram in enumerate(of.gram):
        fitted[g] += solve_ridge(gram, of.cross[g] - weight[g] @ gram, damping)
    return fitted


def damped(second: FloatArray, damping: float) -> FloatArray:
    """Return second moments, ``(groups, features[, features])``, with a ridge on the diagonal."""
    diagonal = second if second.ndim == 2 else np.diagonal(second, axis1=1, axis2=2)
    level = damping * np.maximum(diagonal.mean(axis=1), np.finfo(np.float32).tiny)
    ridge = level[:, None] if second.ndim == 2 else level[:, None, None] * np.eye(second.shape[1])
    made: FloatArray = second + ridge
    return made
