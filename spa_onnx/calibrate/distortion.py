"""How far the network's outputs move as one dim alone shrinks, measured by running the network.

At a few widths the consumers of the dim lose the features that would go first and are refitted by
least squares; of queries and keys, which no stored weight consumes, the layers that make them. In
between, the curve follows the sum of the lanes' worth. Source: measured
rate-distortion curves with the output as the distance: layer-adaptive pruning by rate
and distortion, ICCV 2023 (there by layer and without refit).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Dim
from spa_onnx.allocate.problem import keep_best
from spa_onnx.analyse.dims import Analysis, PrunableDim
from spa_onnx.calibrate.collect import thinness
from spa_onnx.calibrate.distance import output_distance
from spa_onnx.calibrate.pair_cuts import PairCuts
from spa_onnx.calibrate.resumed import ResumedRuns
from spa_onnx.compensate.ridge import solve_kept
from spa_onnx.inputs.batches import Batches
from spa_onnx.layers.layer import Layer
from spa_onnx.layers.variants import Handle, LayerEditor
from spa_onnx.score.consumers import ConsumerReader

FloatArray = NDArray[np.float64]
Feeds = Mapping[str, NDArray[Any]]

MARKS = (0.125, 0.25, 0.5, 0.75)
"""Shares of a dim at which the network is run without them."""


@dataclass(slots=True)
class DistortionMeter:
    """Runs the dense network with single dims cut.

    Attributes:
        analysis: the dims.
        reader: their consumers, with second moments of the same inputs.
        batches: inputs; their outputs are compared.
        damping: of the refit, as a share of the mean variance.
        observer: told how many dims are done, of how many.
    """

    analysis: Analysis
    reader: ConsumerReader
    batches: Batches
    damping: float
    observer: Callable[[int, int], None] | None = None
    _pairs: PairCuts | None = None

    def curves(self, scores: Mapping[Dim, FloatArray]) -> dict[int, FloatArray]:
        """Return for every dim that has consumers the distortion by lanes removed, ``(size,)``.

        Distortion is the squared change of the outputs in shares of their variance.
        """
        moments = self.reader.moments
        if self.reader.products is not None:
            self._pairs = PairCuts(self.reader.products, self.damping)
            self._pairs.find(list(moments.layers), self.batches)
        tuned = [d for d in self.analysis.dims if self._can_be_fed(d)]
        layers = {layer.node.outputs[0]: layer for d in tuned for layer in self._layers(d)}
        model = onnx.ModelProto()
        model.CopyFrom(moments.model)
        editor = LayerEditor(model, moments.weights)
        handles = editor.handles(layers.values())
        editor.make_inputs([name for h in handles.values() for name in (h.weight, h.bias)])
        runs = ResumedRuns(model, moments.weights, self.batches, handles.values(), moments.memory)
        runs.prepare()
        found: dict[int, FloatArray] = {}
        for k, dim in enumerate(self.analysis.dims):
            if self.observer is not None:
                self.observer(k, len(self.analysis.dims))
            if dim not in tuned:
                continue
            local = np.concatenate([[0.0], np.cumsum(np.sort(scores[dim.dim], axis=1).mean(0))])
            points = {
                removed: _distance(runs, self._cut(dim, scores, removed, editor, handles))
                for removed in marks_of(dim)
            }
            found[k] = curve_through(local[:-1], points)
        return found

    def _layers(self, dim: PrunableDim) -> list[Layer]:
        """Return the layers whose weights change when lanes of a dim go."""
        made = [] if self._pairs is None else self._pairs.layers(dim)
        return [*(layer for layer, _ in self.reader.layers(dim)), *made]

    def _can_be_fed(self, dim: PrunableDim) -> bool:
        """Say whether a dim has such layers, whose weights numpy can hand to ONNX Runtime."""
        tensors = self.analysis.propagation.graph.tensors
        types = [tensors[layer.weight.name].data_type for layer in self._layers(dim)]
        return bool(types) and onnx.TensorProto.BFLOAT16 not in types

    def _cut(
        self,
        dim: PrunableDim,
        scores: Mapping[Dim, FloatArray],
        removed: int,
        editor: LayerEditor,
        handles: Mapping[str, Handle],
    ) -> dict[str, NDArray[Any]]:
        """Return weights and biases of a dim's consumers without its least worthy lanes."""
        widths = [d.dim.size - (removed if d is dim else 0) for d in self.analysis.dims]
        kept = keep_best(self.analysis, scores, np.array(widths))
        if dim.dim not in kept:
            return {}
        stays = kept[dim.dim].mask.reshape(-1)
        pairs = self.reader.layers(dim)
        feeds: dict[str, NDArray[Any]] = {}
        if self._pairs is not None:
            feeds |= self._pairs.feeds(dim, kept, editor, handles)
        moments = self.reader.moments.of([layer for layer, _ in pairs])
        for (layer, units), of in zip(pairs, moments, strict=True):
            handle = handles[layer.node.outputs[0]]
            stored = editor.value(handle.weight)
            weight = layer.matrix(stored.astype(np.float64))
            mask = np.where(units >= 0, stays[units], True)
            damping = self.damping * thinness(mask.shape[1], of.count)
            fitted = solve_kept(weight, of.covariance, mask, damping)
            shift = np.einsum("gok,gk->go", weight - fitted, of.mean).reshape(-1)
            old = editor.value(handle.bias)
            feeds[handle.weight] = layer.stored(fitted).astype(stored.dtype)
            shift = shift.reshape(old.shape) / layer.bias_factor
            feeds[handle.bias] = (old + shift).astype(old.dtype)
        return feeds


def marks_of(dim: PrunableDim) -> list[int]:
    """Return the numbers of lanes without which the network is run."""
    size = dim.dim.size
    return sorted({min(size - 1, max(1, round(share * size))) for share in MARKS})


def curve_through(local: FloatArray, points: Mapping[int, float]) -> FloatArray:
    """Return the local curve, scaled so that it goes through the measured points."""
    tiny = 1e-12
    told = {k: d for k, d in points.items() if local[k] > 0}  # lanes worth nothing tell no scale
    if not told:
        return np.maximum.accumulate(
            np.interp(np.arange(len(local)), [0, *points], [0, *points.values()])
        )
    ratios = [max(d, tiny) / max(float(local[k]), tiny) for k, d in told.items()]
    scale = np.exp(np.interp(np.arange(len(local)), list(told), np.log(ratios)))
    curve: FloatArray = np.maximum.accumulate(local * scale)
    return curve


def _distance(runs: ResumedRuns, changed: Feeds) -> float:
    """Return squared changes of the outputs over their variances, the mean over outputs."""
    return output_distance(runs.dense, runs.run(changed)) if changed else 0.0
