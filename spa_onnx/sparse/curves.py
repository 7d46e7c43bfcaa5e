"""How much it costs to make one layer sparse: by its own loss, and by the network's outputs.

The own loss is that of masked least squares on what the dense network hands on. For three
sparsities the outputs of the whole network are measured with one layer sparse; in between they
follow the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.calibrate.collect import LayerMoments, thinness
from spa_onnx.calibrate.distance import output_distance
from spa_onnx.calibrate.resumed import ResumedRuns
from spa_onnx.inputs.batches import Batches
from spa_onnx.layers.layer import Layer
from spa_onnx.layers.variants import Handle, LayerEditor
from spa_onnx.sparse.fit import MASK_DAMPING, Masking, damped
from spa_onnx.sparse.known import known
from spa_onnx.sparse.masked import solve_masked

FloatArray = NDArray[np.float64]

STEPS = 1000
"""Into how many steps the sparsity of a layer is divided."""

LEVELS = (0.0, 0.4, 0.6, 0.8, 0.9, 0.97, 1.0)
"""Sparsities at which a layer's own loss is computed."""


@dataclass(frozen=True, slots=True)
class SparseLayer:
    """A layer with its weight and what it sees, for trying masks on it.

    Attributes:
        layer: the layer.
        masking: how its mask is chosen.
        weight: ``(groups, outputs, features)``.
        hessian: second moments, ``(groups, features, features)``, or their diagonal.
        mean: of what it sees, ``(groups, features)``; zeros where it has no bias.
    """

    layer: Layer
    masking: Masking
    weight: FloatArray
    hessian: FloatArray
    mean: FloatArray

    @property
    def worth(self) -> FloatArray:
        """Return the own part of every weight in the loss."""
        curvature = self.hessian
        if curvature.ndim == 3:
            curvature = np.diagonal(curvature, axis1=1, axis2=2)
        worth: FloatArray = np.square(self.weight) * curvature[:, None]
        return worth

    def at(self, sparsity: float) -> FloatArray:
        """Return the weight at a sparsity."""
        if sparsity <= 0:
            return self.weight
        mask = replace(self.masking, sparsity=sparsity).mask(self.weight, self.hessian)
        if self.hessian.ndim == 2:
            return np.where(mask, self.weight, 0.0)
        parts = zip(self.weight, self.hessian.astype(np.float32), mask, strict=True)
        return np.stack([solve_masked(*part, steps=TRIED_STEPS) for part in parts])

    def loss(self, weight: FloatArray) -> float:
        """Return the squared change of the outputs, as a share of that of no weight."""
        full, left = self._energy(self.weight), self._energy(weight - self.weight)
        return left / full if full > 0 else 0.0

    def _energy(self, weight: FloatArray) -> float:
        if self.hessian.ndim == 2:
            return float((np.square(weight) * self.hessian[:, None]).sum())
        return float(np.einsum("gok,gok->", weight @ self.hessian, weight))

    def local(self) -> FloatArray:
        """Return the loss by steps of sparsity, ``(STEPS + 1,)``, from dense to empty."""
        losses = [self.loss(self.at(s)) if s < 1 else 1.0 for s in LEVELS]
        rising = np.maximum.accumulate(np.maximum(losses, TINY))
        steps = np.arange(STEPS + 1) / STEPS
        curve: FloatArray = np.exp(np.interp(steps, LEVELS, np.log(rising)))
        return curve - TINY


TRIED_STEPS = 10
"""Conjugate gradient steps for a curve, which needs no exact weights."""

TINY = 1e-8
"""Loss of a dense layer, so that curves are straight where they are drawn by their logarithms."""


def sparse_layer(
    layer: Layer, masking: Masking, weight: FloatArray, moments: LayerMoments, *, biased: bool
) -> SparseLayer:
    """Return a layer with what it sees in the dense network."""
    found = moments.seen([layer])[0]
    if not found.count:
        ones = np.ones((len(weight), weight.shape[2]))
        return SparseLayer(layer, masking, weight, ones, np.zeros_like(ones))
    mean = found.mean if biased else np.zeros_like(found.mean)
    damping = MASK_DAMPING * thinness(weight.shape[2], found.count)
    if found.diagonal:
        second = found.covariance + (0.0 if biased else np.square(found.mean))
    else:
        second = known(found, centred=biased).gram
    return SparseLayer(layer, masking, weight, damped(second, damping), mean)


@dataclass(slots=True)
class OutputMeter:
    """Runs the dense network with single layers sparse.

    Attributes:
        model: the skeleton as it is run.
        moments: of all layers; also knows the weights.
        batches: inputs; their outputs are compared.
        observer: told how many layers are done, of how many.
    """

    model: onnx.ModelProto
    moments: LayerMoments
    batches: Batches
    observer: Callable[[int, int], None] | None = None

    def distances(
        self,
        layers: Mapping[str, Layer],
        made: Callable[[str], SparseLayer],
        marks: Mapping[str, tuple[float, ...]],
    ) -> dict[str, list[float]]:
        """Return squared changes of the outputs, in shares of their variance, at the marks."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        editor = LayerEditor(model, self.moments.weights)
        handles = editor.handles(layers.values(), insert=False)
        names = [n for h in handles.values() for n in (h.weight, h.bias) if n]
        editor.make_inputs(list(dict.fromkeys(names)))
        memory = self.moments.memory
        runs = ResumedRuns(model, self.moments.weights, self.batches, handles.values(), memory)
        runs.prepare()
        found: dict[str, list[float]] = {}
        for k, name in enumerate(layers):
            if self.observer is not None:
                self.observer(k, len(layers))
            of = made(name)
            feeds = [_feeds(of, of.at(s), editor, handles[name]) for s in marks[name]]
            found[name] = [output_distance(runs.dense, runs.run(f)) for f in feeds]
        return found


def _feeds(
    of: SparseLayer, weight: FloatArray, editor: LayerEditor, handle: Handle
) -> dict[str, NDArray[Any]]:
    """Return weight and bias of a layer to feed."""
    stored = editor.value(handle.weight)
    feeds: dict[str, NDArray[Any]] = {handle.weight: of.layer.stored(weight).astype(stored.dtype)}
    if handle.bias:
        old = editor.value(handle.bias)
        shift = np.einsum("gok,gk->go", of.weight - weight, of.mean).reshape(old.shape)
        feeds[handle.bias] = (old + shift / of.layer.bias_factor).astype(old.dtype)
    return feeds
