"""Lanes that can go for nothing: nobody reads them, they are zero, or constant and made up for.

Whatever a criterion says of them, they are worth nothing, and allocation takes them first.

Source: always-zero and always-constant units as a step before all others: Hu et al., "Network
Trimming", arXiv 1607.03250; constants go to the bias as in FLAP, arXiv 2312.11983, section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from spa_onnx.algebra.expression import Dim, IntArray, dims_in
from spa_onnx.analyse.dims import Analysis, PrunableDim
from spa_onnx.calibrate.collect import LayerMoments
from spa_onnx.graph.node import Node
from spa_onnx.layers.find import Layer, layers_of
from spa_onnx.ops.rule import Coupling, Neutral
from spa_onnx.plan.lanes import BoolArray
from spa_onnx.score.consumers import units_of
from spa_onnx.score.zero_lanes import ZeroLanes, all_of, by_lane

CONSTANT = 1e-10
"""Variance, in shares of the mean square of all features, of what is constant but for rounding."""

ENOUGH = 128
"""Inputs below which a lane that did not move may still be alive; positions of one are alike."""


@dataclass(frozen=True, slots=True)
class Runs:
    """What runs on a user's inputs tell of lanes.

    Attributes:
        moments: of what layers see.
        offsets: a compensation puts means into biases, so constant lanes are as good as zero.
    """

    moments: LayerMoments
    offsets: bool


@dataclass(slots=True)
class DeadLanes:
    """Finds them.

    Attributes:
        analysis: the dims.
        runs: None finds only what weights prove.
    """

    analysis: Analysis
    runs: Runs | None = None
    _layers: dict[str, Layer] = field(default_factory=dict)
    _zeros: ZeroLanes = field(init=False)

    def __post_init__(self) -> None:
        state = self.analysis.propagation
        self._layers = {layer.node.outputs[0]: layer for layer in layers_of(state.graph)}
        self._zeros = ZeroLanes(state, self._layers, [d.dim for d in self.analysis.dims])

    def of(self, dim: PrunableDim) -> BoolArray:
        """Return the lanes of a dim that are free, ``(rows, lanes)``.

        A lane is where every node that mixes lanes of the dim loses nothing with it; of nodes that
        are no layers only sums over lanes of zero do.
        """
        rows = 1 if dim.rows is None else dim.rows.size
        readers = list(self._readers(dim.dim))
        free = np.full((rows, dim.dim.size), bool(readers))
        for node, coupling in readers:
            layer = self._layers.get(node.outputs[0]) if not node.scope else None
            if layer is not None and not layer.passes_through:
                free &= self._at_layer(dim, layer)
            else:
                free &= self._at_node(dim.dim, node, coupling)
            if not free.any():
                break
        return free

    def _readers(self, dim: Dim) -> Iterator[tuple[Node, Coupling]]:
        """Yield the nodes that sum over a dim, or mix its lanes otherwise."""
        state = self.analysis.propagation
        for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
            if coupling is None:
                continue
            summed = any(dim in dims_in(state.space.normal(e)) for e in coupling.consumed)
            if summed or any(True for _ in self._mixed(dim, node, coupling)):
                yield node, coupling

    def _mixed(self, dim: Dim, node: Node, coupling: Coupling) -> Iterator[tuple[str, Neutral]]:
        for mixed in coupling.mixed:
            name = node.inputs[mixed.input]
            axes = self.analysis.propagation.axes_of(name) or ()
            if any(dim in dims_in(axes[k]) for k in mixed.axes):
                yield name, mixed.neutral

    def _at_node(self, dim: Dim, node: Node, coupling: Coupling) -> BoolArray:
        found = list(self._mixed(dim, node, coupling))
        if not found or any(neutral is not Neutral.ZERO for _, neutral in found):
            return np.zeros(dim.size, bool)
        return all_of([self._zeros.of(name, dim) for name, _ in found])

    def _at_layer(self, dim: PrunableDim, layer: Layer) -> BoolArray:
        """Return the lanes without which a layer's output stays as it is."""
        state = self.analysis.propagation
        rows = 1 if dim.rows is None else dim.rows.size
        zero = np.broadcast_to(self._zeros.of(layer.source, dim.dim), (rows, dim.dim.size))
        units = units_of(state, layer, dim)
        if units is None:
            return zero
        weight = layer.matrix(state.graph.array(layer.weight.name))
        nothing = ~weight.astype(bool).any(axis=1)
        if self.runs is not None:
            nothing |= self._still(layer, self.runs)
        size = rows * dim.dim.size
        unread = by_lane(nothing.reshape(-1), units.reshape(-1), size)
        absent = np.bincount(units[units >= 0], minlength=size) == 0  # others read these lanes
        nothing_lost: BoolArray = zero | (unread | absent).reshape(zero.shape)
        return nothing_lost

    def _still(self, layer: Layer, runs: Runs) -> BoolArray:
        """Return the features that do not move on the inputs, ``(groups, features)``."""
        if runs.moments.batches.samples < ENOUGH:
            return np.zeros(layer.positions().shape, bool)
        (moments,) = runs.moments.seen([layer])
        if not moments.count:
            return np.zeros(layer.positions().shape, bool)
        variance = moments.covariance
        if variance.ndim == 3:
            variance = np.diagonal(variance, axis1=1, axis2=2)
        energy = variance + np.square(moments.mean)
        level = CONSTANT * energy.mean()
        still: BoolArray = (variance if runs.offsets else energy) <= level
        return still


def whole_orbits(free: BoolArray, labels: IntArray) -> BoolArray:
    """Return the lanes whose coupled lanes are all free."""
    alive: BoolArray = np.bincount(labels, ~free, len(labels)) > 0
    return ~alive[labels]
