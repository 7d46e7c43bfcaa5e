"""From a pass to comparable scores: one array per dim, mean one, coupled lanes joined."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Dim
from spa_onnx.analyse.dims import Analysis
from spa_onnx.errors import InternalError, NonFiniteWeightsError
from spa_onnx.plan.lanes import Kept
from spa_onnx.score.consumers import ConsumerReader
from spa_onnx.score.dead import DeadLanes, Runs, whole_orbits
from spa_onnx.score.protocol import Importance, WholeNetwork
from spa_onnx.score.weights import DimWeights, WeightReader

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scores:
    """What is known of the lanes of all prunable dims.

    Attributes:
        worth: scores by dim, ``(rows, lanes)``; lanes that can go for nothing have zero.
        free: lanes of dims that weights prove to be worth nothing, as many in every row; they go
            whatever the budget is.
        notes: what passes had to say, with the number of dims that it is about.
        dead: the same with those that did not move on the inputs, which are only first to go.
    """

    worth: Mapping[Dim, FloatArray]
    free: Mapping[Dim, int]
    notes: tuple[str, ...] = ()
    dead: Mapping[Dim, int] = field(default_factory=dict)


def score(
    analysis: Analysis,
    importance: Importance,
    seed: int,
    consumers: ConsumerReader | None = None,
    runs: Runs | None = None,
) -> Scores:
    """Return scores of every prunable dim with mean one.

    Division by the mean makes dims comparable: without it those with more members would win.
    Source: Fang et al., "DepGraph", CVPR 2023, normalised group importance. Scores of a pass that
    declares them ``comparable`` are left as they are, but for dims with rows of their own, where a
    lane of the dim is one of every row: they are multiplied by the number of rows.

    Args:
        analysis: the dims.
        importance: the pass.
        seed: for passes that draw numbers.
        consumers: what activations tell, for passes that need it.
        runs: shows which lanes are constant; without it only weights tell which are dead.

    Raises:
        NonFiniteWeightsError: weights are NaN, infinite or overflow when summed.
        InternalError: a pass returned scores of the wrong shape or sign.
    """
    worth: dict[Dim, FloatArray] = {}
    free: dict[Dim, int] = {}
    reader = WeightReader(analysis, consumers)
    dead, certain = DeadLanes(analysis, runs), DeadLanes(analysis)
    counts: dict[Dim, int] = {}
    comparable: bool = getattr(importance, "comparable", False)
    seen = [reader.weights(dim) for dim in analysis.dims]
    if isinstance(importance, WholeNetwork):
        importance = importance.prepare(analysis, seen)
    for dim, weights in zip(analysis.dims, seen, strict=True):
        raw = _raw(importance, weights, seed)
        if not np.isfinite(raw).all():
            raise NonFiniteWeightsError(dim.name, sorted({m.tensor for m in dim.members}))
        nothing, proved = dead.of(dim), certain.of(dim)
        mean = 1 / weights.rows if comparable else raw.mean()
        scores = (raw / mean if mean > 0 else raw).reshape(nothing.shape)
        labels = analysis.propagation.space.orbits(dim.dim)
        if labels is not None:
            members = np.maximum(1, np.bincount(labels, minlength=dim.dim.size))
            scores = (np.bincount(labels, scores[0], dim.dim.size) / members)[labels][None]
            nothing = whole_orbits(nothing[0], labels)[None]
            proved = whole_orbits(proved[0], labels)[None]
        if nothing.any():
            scores = np.where(nothing, 0.0, np.maximum(scores, np.finfo(np.float64).tiny))
        worth[dim.dim] = scores
        counts[dim.dim] = int(nothing.sum(axis=1).min())
        if proved.any():
            free[dim.dim] = int(proved.sum(axis=1).min())
    return Scores(worth, {d: n for d, n in free.items() if n}, reader.notes(), counts)


def _raw(importance: Importance, weights: DimWeights, seed: int) -> FloatArray:
    """Return what a pass says of a dim.

    Raises:
        InternalError: it is not what a pass may say.
    """
    rng = np.random.default_rng([seed, zlib.crc32(weights.name.encode())])
    with np.errstate(over="ignore", invalid="ignore"):
        raw = np.asarray(importance.score(weights, rng), np.float64)
    if raw.shape != (weights.units,) or (raw < 0).any():
        text = f"pass {type(importance).__name__} scored {weights.name} with shape {raw.shape}"
        raise InternalError(f"{text}, expected {weights.units} non-negative numbers")
    return raw


def notes_of(scores: Scores, kept: Mapping[Dim, Kept]) -> tuple[str, ...]:
    """Return what to tell of the scores: notes of passes, and lanes that went for nothing."""
    dead = {dim: count for dim, count in scores.dead.items() if count}
    if not dead:
        return scores.notes
    found = sum(dead.values())
    gone = sum(
        min(count, dim.size - (kept[dim].count if dim in kept else dim.size))
        for dim, count in dead.items()
    )
    where = f"{found} dead or constant lanes were found in {len(dead)} dims"
    return (*scores.notes, f"{where}, and {gone} of them removed before any other lane")
