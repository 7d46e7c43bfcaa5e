"""Pattern and sparsity of every layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.algebra.size import product
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.calibrate.collect import LayerMoments, items_of
from spa_onnx.calibrate.distortion import curve_through
from spa_onnx.calibrate.engine import (
    COMPARED_WORK,
    LEAST_COMPARED,
    MOST_COMPARED,
    CalibrationEngine,
)
from spa_onnx.cost.polynomial import Lengths
from spa_onnx.execute.runtime import open_session
from spa_onnx.layers.find import layers_of
from spa_onnx.layers.layer import Layer
from spa_onnx.layers.variants import LayerEditor
from spa_onnx.registry import find_pass
from spa_onnx.sparse.allocation import allocate
from spa_onnx.sparse.config import AUTO, SparsifyConfig
from spa_onnx.sparse.curves import STEPS, OutputMeter, SparseLayer, sparse_layer
from spa_onnx.sparse.fit import Masking
from spa_onnx.sparse.gpu_speed import GpuSpeed
from spa_onnx.sparse.gpu_speed_table import GpuSpeedTable
from spa_onnx.sparse.layers import fits, weights_of
from spa_onnx.sparse.passes import SparsePasses
from spa_onnx.sparse.pattern import Pattern, neighbours
from spa_onnx.sparse.speed import (
    RelativeTime,
    TableOfSpeed,
    default_table,
    fastest,
    sparsity_for,
)

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
    speeds: GpuSpeedTable | None = None,
) -> Chosen:
    """Return pattern and sparsity of every layer; ``speeds`` are of the GPU that it is for."""
    tried = try_layers(state, layers, config, passes, engine)
    share, dense = config.share, dict[str, str]()
    if config.pattern == AUTO:
        tried, dense = _with_patterns(tried, config, _time(tried, config, engine, speeds))
        share = _mean_sparsity(tried)
    open_names = [name for name, m in tried.maskings.items() if m.pattern.sparsity is None]
    if passes.allocation is None or not open_names:
        return Chosen(tried.maskings, dense, tried.moments)
    layers = {name: layers[name] for name in open_names}
    sizes = {n: float(s) for n, s in sizes_of(state, layers, config.weigh).items()}
    local = {name: tried.layer(name).local() for name in layers}
    measured: dict[str, FloatArray] = {}
    if engine is not None and passes.measures_outputs:
        work = sum(sizes_of(state, layers, "operations").values())
        measured = _measured(tried, local, engine, work, share, tell)
    shares = allocate(passes.allocation, share, sizes, local, measured)
    chosen = {
        n: m.with_sparsity(shares[n]) if n in shares else m for n, m in tried.maskings.items()
    }
    return Chosen(chosen, dense, tried.moments)


def _time(
    tried: Tried,
    config: SparsifyConfig,
    engine: CalibrationEngine | None,
    speeds: GpuSpeedTable | None,
) -> RelativeTime:
    """Return what tells how long layers take with a pattern."""
    if config.speed is not None:
        time: RelativeTime = config.speed
        return time
    rows = _rows(tried, engine)
    if speeds is None:
        return TableOfSpeed(rows, default_table())
    return GpuSpeed({name: max(rows[name], n) for name, n in _nominal(tried).items()}, speeds)


def _with_patterns(
    tried: Tried, config: SparsifyConfig, time: RelativeTime
) -> tuple[Tried, dict[str, str]]:
    """Return each layer with the pattern that does least damage where all are equally fast.

    The time is that of the fastest pattern at the sparsity that is asked for. Also returned are
    the layers that stay dense, with reasons.
    """
    maskings: dict[str, Masking] = {}
    dense: dict[str, str] = {}
    for name, layer in tried.layers.items():
        patterns = [p for p in config.patterns if fits(layer, p)]
        wanted = fastest(layer, patterns, config.share, time)
        if wanted is None or wanted >= 1:
            dense[name] = f"no pattern is faster than dense at a sparsity of {config.share:g}"
            continue
        options: list[tuple[float, int, Masking]] = []
        for k, pattern in enumerate(patterns):
            sparsity = sparsity_for(layer, pattern, wanted, time)
            if sparsity is not None:
                selection = tried.maskings[name].selection
                masking = Masking(selection, pattern, order_of(layer, pattern), sparsity)
                of = tried.layer(name, masking)
                options.append((of.loss(of.at(sparsity)), k, masking))
        maskings[name] = min(options, key=lambda option: option[:2])[2]
    return replace(tried, maskings=maskings), dense


def _rows(tried: Tried, engine: CalibrationEngine | None) -> dict[str, int]:
    """Return how many samples of a layer one item of the inputs makes."""
    if engine is None:
        return _nominal(tried)
    names, feeds = list(tried.layers), next(iter(engine.batches.first(1)))
    memory = engine.config.proof_memory
    session = open_session(engine.model, engine.loaded.weights, names, memory=memory, short=True)
    grids = {
        name: tried.layers[name].grid_of_output(np.shape(y))
        for name, y in zip(names, session.run(names, feeds), strict=True)
    }
    return {name: max(1, prod(grid) // items_of(feeds)) for name, grid in grids.items()}


def _nominal(tried: Tried) -> dict[str, int]:
    """Return how many samples of a layer the nominal inputs make."""
    work = sizes_of(tried.state, tried.layers, "operations")
    return {n: max(1, work[n] // weights_of(la)) for n, la in tried.layers.items()}


def _mean_sparsity(tried: Tried) -> float:
    """Return the share that goes of the weights of layers whose pattern does not say it."""
    left = {n: m for n, m in tried.maskings.items() if m.pattern.sparsity is None}
    sizes = {name: weights_of(tried.layers[name]) for name in left}
    gone = sum(sizes[name] * m.sparsity for name, m in left.items())
    return gone / max(1, sum(sizes.values()))


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
    copy = onnx.ModelProto()
    copy.CopyFrom(state.graph.model)
    handles = LayerEditor(copy, state.graph.weights).handles(layers.values(), insert=False)
    biased = frozenset(name for name, handle in handles.items() if handle.bias)
    return Tried(state, maskings, layers, moments, biased)


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
    """Layers with what they see, for trying masks; chosen by what is cheap to compute.

    Attributes:
        state: the solved graph.
        maskings: of layers, by output.
        layers: the layers.
        moments: of what they see; None where nothing was run.
        biased: those that have a bias, or can get one.
    """

    state: Propagation
    maskings: Mapping[str, Masking]
    layers: Mapping[str, Layer]
    moments: LayerMoments | None
    biased: frozenset[str] = frozenset()

    def layer(self, name: str, masking: Masking | None = None) -> SparseLayer:
        """Return one layer."""
        layer = self.layers[name]
        graph = self.state.graph
        weight = layer.matrix(np.asarray(graph.array(layer.weight.name), np.float64))
        cheap = (masking or self.maskings[name]).with_selection(find_pass("sparsity", "wanda"))
        if self.moments is None:
            ones = np.ones((len(weight), weight.shape[2]))
            return SparseLayer(layer, cheap, weight, ones, np.zeros_like(ones))
        return sparse_layer(layer, cheap, weight, self.moments, biased=name in self.biased)


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
    local: Mapping[str, FloatArray],
    engine: CalibrationEngine,
    work: float,
    sparsity: float,
    tell: Tell | None,
) -> dict[str, FloatArray]:
    """Return how far the network's outputs move, by steps of sparsity of every layer."""
    if tried.moments is None:
        return {}
    runs = work * len(MARKS) * len(local)
    affordable = int(COMPARED_WORK / max(1.0, runs))
    few = engine.batches.first(min(MOST_COMPARED, max(LEAST_COMPARED, affordable)))
    marks = tuple(m for factor in MARKS if (m := 1 - factor * (1 - sparsity)) > 0)
    meter = OutputMeter(engine.model, tried.moments, few, tell)
    layers = {name: tried.layers[name] for name in local}
    found = meter.distances(layers, tried.layer, dict.fromkeys(layers, marks))
    return {
        name: curve_through(
            local[name], {round(s * STEPS): d for s, d in zip(marks, made, strict=True)}
        )
        for name, made in found.items()
    }


MARKS = (1.6, 1.0, 0.5)
"""Sparsities at which outputs are measured keep so many times the weights that are to stay."""
