"""Channels in another order, so that those that go together stand together.

    W1 (lanes, in)   W2 (out, lanes)     becomes     W1[order]   W2[:, order]

The order of a dim's lanes is free inside the network: every weight, bias and statistic that holds
them is put in the same order, so outputs stay what they are and nothing is added at run time. For
blocks over outputs the weights that make the lanes decide, for blocks over inputs and N:M those
that read them. Blocks over both go by their outputs, whose worths are added up over the inputs of a
block as these stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Dim, Expr, IntArray, Permuted, dims_in, sole_factor
from spa_onnx.analyse.dims import Analysis
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.layers.layer import Layer
from spa_onnx.plan.lanes import Kept
from spa_onnx.sparse.exchange import Alike, BestOf, Blocks, Floats, grouped, threshold
from spa_onnx.sparse.layers import fits
from spa_onnx.sparse.pattern import Pattern, neighbours

FloatArray = NDArray[np.float64]

PLACES = 1024
"""Places of a weight, drawn, by which lanes are compared."""


def rearranged(
    analysis: Analysis,
    layers: Mapping[str, Layer],
    pattern: Pattern,
    sparsity: float,
    worth: Callable[[str], FloatArray],
    seed: int,
) -> dict[Dim, Kept]:
    """Return a better order of the lanes of dims.

    Args:
        analysis: the dims.
        layers: those that will be sparse, by output.
        pattern: of the zeros.
        sparsity: share of the weights that goes.
        worth: what each weight of a layer is worth, ``(groups, outputs, features)``.
        seed: for what is drawn.
    """
    state = analysis.propagation
    free = {d.dim for d in (*analysis.dims, *analysis.spared)} - _tied(state)
    members: dict[Dim, list[str]] = {}
    for name, layer in layers.items():
        dim = _dim_of(state, layer, pattern)
        if dim is not None and dim in free and fits(layer, pattern):
            members.setdefault(dim, []).append(name)
    found: dict[Dim, Kept] = {}
    for dim, names in members.items():
        rng = np.random.default_rng([seed, dim.index])
        views = [_view(layers[n], pattern, worth(n), rng) for n in names]
        order = _order(views, pattern, sparsity, rng)
        if (order != np.arange(dim.size)).any():
            found[dim] = Kept(np.ones(dim.size, bool), order=order)
    return found


def _tied(state: Propagation) -> set[Dim]:
    """Return the dims whose order means something: inside permutations, or numbered."""
    found: set[Dim] = set()
    exprs = [e for axes in state.axes.values() for e in axes or ()] + list(state.numbers.values())
    for expr in exprs:
        found |= _permuted(state.space.normal(expr))
    for expr in state.numbers.values():
        found |= set(dims_in(state.space.normal(expr)))
    return found


def _permuted(expr: Expr) -> set[Dim]:
    inner = [f for term in expr for f in term if isinstance(f, Permuted)]
    return {d for f in inner for d in dims_in(f.expr)}


def _dim_of(state: Propagation, layer: Layer, pattern: Pattern) -> Dim | None:
    """Return the dim whose order decides which weights are blocks, if it is one dim's."""
    if len(layer.positions()) != 1 or pattern.outputs == pattern.inputs == 1:
        return None
    makes = pattern.outputs > 1
    name = layer.node.outputs[0] if makes else layer.source
    axes = state.axes_of(name)
    if axes is None:
        return None
    factor = sole_factor(axes[layer.output_axis if makes else layer.axis])
    return factor if isinstance(factor, Dim) else None


def _view(layer: Layer, pattern: Pattern, worth: FloatArray, rng: np.random.Generator) -> Floats:
    """Return worths by lane, ``(lanes, places)``, which add up to one."""
    if pattern.outputs > 1:
        view = _over_inputs(layer, pattern, worth[0])
    else:
        channels = layer.positions()[0]
        by_channel = np.argsort(channels, kind="stable")
        lanes = int(channels.max()) + 1
        taps = len(channels) // lanes
        sorted_ = worth[0][:, by_channel].reshape(len(worth[0]), lanes, taps)
        view = sorted_.transpose(1, 0, 2).reshape(lanes, -1)
    if view.shape[1] > PLACES:
        view = view[:, rng.choice(view.shape[1], PLACES, replace=False)]
    total = max(float(view.sum()), float(np.finfo(np.float32).tiny))
    return np.asarray(view / total, np.float32)


def _over_inputs(layer: Layer, pattern: Pattern, worth: FloatArray) -> FloatArray:
    """Return worths of outputs by blocks of inputs, ``(outputs, blocks)``."""
    if pattern.inputs == 1:
        return worth
    order = neighbours(layer.positions(), pattern.inputs)[0]
    inside = np.where(order >= 0, worth[:, np.maximum(order, 0)], 0.0)
    summed: FloatArray = inside.reshape(len(worth), -1, pattern.inputs).sum(axis=2)
    return summed


def _order(
    views: list[Floats], pattern: Pattern, sparsity: float, rng: np.random.Generator
) -> IntArray:
    """Return the lanes in the order in which a pattern loses least of all views."""
    size = pattern.outputs if pattern.outputs > 1 else pattern.inputs
    if pattern.kept:
        return grouped([(v, BestOf(pattern.kept)) for v in views], size, rng)
    alike = grouped([(v / np.sqrt(np.square(v).sum()), Alike()) for v in views], size, rng)
    blocks = [(v, Blocks(threshold(v[alike], size, sparsity))) for v in views]
    return grouped(blocks, size, rng, alike)
