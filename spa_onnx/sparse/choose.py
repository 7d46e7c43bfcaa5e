"""Pattern and sparsity of every layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.size import product
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.calibrate.collect import LayerMoments
from spa_onnx.calibrate.distortion import curve_through
from spa_onnx.calibrate.engine import (
    COMPARED_WORK,
    LEAST_COMPARED,
    MOST_COMPARED,
    CalibrationEngine,
)
from spa_onnx.cost.polynomial import Lengths
from spa_onnx.layers.find import layers_of
from spa_onnx.layers.layer import Layer
from spa_onnx.layers.variants import LayerEditor
from spa_onnx.registry import find_pass
from spa_onnx.sparse.allocation import allocate
from spa_onnx.sparse.config import SparsifyConfig
from spa_onnx.sparse.curves import STEPS, OutputMeter, SparseLayer, sparse_layer
from spa_onnx.sparse.fit import Masking
from spa_onnx.sparse.layers import weights_of
from spa_onnx.sparse.passes import SparsePasses
from spa_onnx.sparse.pattern import Pattern, neighbours

FloatArray = NDArray[np.float64]
Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was decided.

    Attributes:
        maskings: by output of the layer, in the order in which they run.
        dense: layers that stay dense after all, with reasons.
        moments: of what layers see in the dense network; None where nothing was run.
        notes: for the report.
    """

    maskings: Mapping[str, Masking]
    dense: Mapping[str, str] = field(default_factory=dict)
    moments: LayerMoments | None = None
    notes: tuple[str, ...] = ()


def choose(
    state: Propagation,
    layers: Mapping[str, Layer],
    config: SparsifyConfig,
    passes: SparsePasses,
    engine: CalibrationEngine | None,
    tell: Tell | None = None,
) -> Chosen:
    """Return pattern and sparsity of every layer."""
    tried = try_layers(state, layers, config, passes, engine)
    maskings, moments = tried.maskings, tried.moments
    if passes.allocation is None:
        return Chosen(maskings, moments=moments)
    sizes = {n: float(s) for n, s in sizes_of(state, layers, config.weigh).items()}
    local = {name: tried.layer(name).local() for name in layers}
    measured: dict[str, FloatArray] = {}
    if engine is not None and moments is not None and passes.measures_outputs:
        measured = _measured(
            tried, layers, local, engine, moments, sum(sizes.values()), config, tell
        )
    shares = allocate(passes.allocation, config.share, sizes, local, measured)
    chosen = {n: m.with_sparsity(shares[n]) for n, m in maskings.items() if shares[n] > 0}
    dense = {n: "the allocation leaves it dense" for n in maskings if n not in chosen}
    return Chosen(chosen, dense, moments)


def try_layers(
    state: Propagation,
    layers: Mapping[str, Layer],
    config: SparsifyConfig,
    passes: SparsePasses,
    engine: CalibrationEngine | None,
) -> Tried:
    """Return the layers with what they see, all at the sparsity that is asked for."""
    moments = _moments(state, engine, config) if engine is not None else None
    pattern = config.patterns[0]
    maskings = {
        name: Masking(passes.selection, pattern, order_of(layer, pattern), config.share)
        for name, layer in layers.items()
    }
    return Tried(state, maskings, layers, moments)


def order_of(layer: Layer, pattern: Pattern) -> NDArray[np.int64]:
    """Return the features of a layer in the order in which a pattern takes them for neighbours."""
    return neighbours(layer.positions(), pattern.inputs)


def sizes_of(state: Propagation, layers: Mapping[str, Layer], weigh: str) -> dict[str, int]:
    """Return the weights of layers, or their operations at the nominal input size."""
    if weigh == "parameters":
        return {name: weights_of(layer) for name, layer in layers.items()}
    lengths = Lengths(state.space, {}, {})
    found: dict[str, int] = {}
    for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
        if node.outputs and node.outputs[0] in layers and coupling is not None:
            work = sum(product(map(lengths.of, factors)) for factors in coupling.work)
            found[node.outputs[0]] = work if isinstance(work, int) else 0
    return {name: found.get(name) or weights_of(layer) for name, layer in layers.items()}


@dataclass(slots=True)
class Tried:
    """Layers with what they see, for trying masks; chosen by what is cheap to compute."""

    state: Propagation
    maskings: Mapping[str, Masking]
    layers: Mapping[str, Layer]
    moments: LayerMoments | None

    def layer(self, name: str, masking: Masking | None = None) -> SparseLayer:
        """Return one layer."""
        layer = self.layers[name]
        graph = self.state.graph
        weight = layer.matrix(np.asarray(graph.array(layer.weight.name), np.float64))
        cheap = (masking or self.maskings[name]).with_selection(find_pass("sparsity", "wanda"))
        if self.moments is None:
            ones = np.ones((len(weight), weight.shape[2]))
            return SparseLayer(layer, cheap, weight, ones, np.zeros_like(ones))
        editor = LayerEditor(graph.model, graph.weights)
        biased = bool(editor.added_bias(layer)) or len(layer.node.inputs) > 2
        return sparse_layer(layer, cheap, weight, self.moments, biased=biased)


def _moments(state: Propagation, engine: CalibrationEngine, config: SparsifyConfig) -> LayerMoments:
    return LayerMoments(
        engine.model,
        engine.loaded.weights,
        list(layers_of(state.graph)),
        engine.batches,
        config.statistics_memory,
        config.seed,
        config.proof_memory,
        engine.tell,
    )


def _measured(
    tried: Tried,
    layers: Mapping[str, Layer],
    local: Mapping[str, FloatArray],
    engine: CalibrationEngine,
    moments: LayerMoments,
    work: float,
    config: SparsifyConfig,
    tell: Tell | None,
) -> dict[str, FloatArray]:
    """Return how far the network's outputs move, by steps of sparsity of every layer."""
    runs = work * len(MARKS) * max(1, len(layers))
    few = engine.batches.first(
        min(MOST_COMPARED, max(LEAST_COMPARED, int(COMPARED_WORK / max(1.0, runs))))
    )
    kept = 1 - config.share
    marks = tuple(sorted({max(0.0, 1 - factor * kept) for factor in MARKS} - {0.0}))
    meter = OutputMeter(engine.model, moments, few, tell)
    found = meter.distances(layers, tried.layer, dict.fromkeys(layers, marks))
    return {
        name: curve_through(
            local[name], {round(s * STEPS): d for s, d in zip(marks, made, strict=True)}
        )
        for name, made in found.items()
    }


MARKS = (1.6, 1.0, 0.5)
"""Sparsities at which outputs are measured keep so many times the weights that are to stay."""
