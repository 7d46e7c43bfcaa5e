"""From a pass to comparable scores: one array per dim, mean one, coupled lanes joined."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Dim
from spa_onnx.analyse.dims import Analysis
from spa_onnx.errors import InternalError, NonFiniteWeightsError
from spa_onnx.score.consumers import ConsumerReader
from spa_onnx.score.protocol import Importance
from spa_onnx.score.weights import WeightReader

FloatArray = NDArray[np.float64]


def score(
    analysis: Analysis,
    importance: Importance,
    seed: int,
    consumers: ConsumerReader | None = None,
) -> Mapping[Dim, FloatArray]:
    """Return for every prunable dim scores of shape ``(rows, lanes)`` with mean one.

    Division by the mean makes dims comparable: without it those with more members would win.
    Source: Fang et al., "DepGraph", CVPR 2023, normalised group importance. Scores of a pass that
    declares them ``comparable`` are left as they are, but for dims with rows of their own, where a
    lane of the dim is one of every row: they are multiplied by the number of rows.

    Args:
        analysis: the dims.
        importance: the pass.
        seed: for passes that draw numbers.
        consumers: what activations tell, for passes that need it.

    Raises:
        NonFiniteWeightsError: weights are NaN, infinite or overflow when summed.
        InternalError: a pass returned scores of the wrong shape or sign.
    """
    found: dict[Dim, FloatArray] = {}
    reader = WeightReader(analysis, consumers)
    comparable: bool = getattr(importance, "comparable", False)
    for dim in analysis.dims:
        weights = reader.weights(dim)
        rng = np.random.default_rng([seed, zlib.crc32(dim.name.encode())])
        with np.errstate(over="ignore", invalid="ignore"):
            raw = np.asarray(importance.score(weights, rng), np.float64)
        if raw.shape == (weights.units,) and not np.isfinite(raw).all():
            raise NonFiniteWeightsError(dim.name, sorted({m.tensor for m in dim.members}))
        if raw.shape != (weights.units,) or (raw < 0).any():
            text = f"pass {type(importance).__name__} scored {dim.name} with shape {raw.shape}"
            raise InternalError(f"{text}, expected {weights.units} non-negative numbers")
        mean = 1 / weights.rows if comparable else raw.mean()
        scores = (raw / mean if mean > 0 else raw).reshape(weights.rows, weights.lanes)
        labels = analysis.propagation.space.orbits(dim.dim)
        if labels is not None:
            count = np.maximum(1, np.bincount(labels, minlength=dim.dim.size))
            mean_of = np.bincount(labels, scores[0], dim.dim.size) / count
            scores = mean_of[labels][None]
        found[dim.dim] = scores
    return found
