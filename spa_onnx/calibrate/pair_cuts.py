"""What the dense network's layers are fed when lanes go that products of activations sum over.

The layers that make the lanes make zeros in their place, and of the others what keeps the products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Dim, dims_in
from spa_onnx.analyse.dims import PrunableDim
from spa_onnx.calibrate.collect import draw, samples_wanted
from spa_onnx.calibrate.pair_moments import PairMoments
from spa_onnx.compensate.pair import FloatArray, PairSamples, nearest
from spa_onnx.compensate.pairs import PairedLayers
from spa_onnx.execute.runtime import open_session
from spa_onnx.inputs.batches import Batches
from spa_onnx.layers.layer import Layer
from spa_onnx.layers.variants import Handle, LayerEditor
from spa_onnx.plan.lanes import Kept, KeptLanes


@dataclass(slots=True)
class PairCuts:
    """Cuts lanes of products of activations in the dense network.

    Attributes:
        products: the products by dim.
        damping: of the refit.
    """

    products: PairMoments
    damping: float
    _paired: PairedLayers | None = None
    _by_dim: dict[Dim, list[str]] = field(default_factory=dict)

    def find(self, layers: list[Layer], batches: Batches) -> None:
        """Find the layers that make the lanes, and run the network once for what they make."""
        found, analysis = self.products, self.products.analysis
        state = analysis.propagation
        dims = [d for d in analysis.dims if found.pairings(d)]
        if not dims:
            return
        makers: dict[str, Layer] = {}
        for layer in layers:
            name = layer.node.outputs[0]
            axes = state.axes_of(name)
            here = [] if axes is None else dims_in(axes[layer.output_axis])
            if not layer.passes_through and any(d.dim in here for d in dims):
                makers[name] = layer
        kept = {d.dim: _first_only(d) for d in dims}
        paired = PairedLayers(state, found.weights)
        pairings = {p.name: p for d in dims for p in found.pairings(d)}
        paired.find(
            list(pairings.values()),
            KeptLanes(state.space, kept),
            found.model,
            batches,
            found.memory,
            found.session_memory,
            makers.values(),
        )
        self._paired = paired
        held = {n: dims_in(paired.output_axis(la)) for n, la in paired.layers.items()}
        self._by_dim = {d.dim: [n for n in held if d.dim in held[n]] for d in dims}
        self._add_up(paired, batches)

    def _add_up(self, paired: PairedLayers, batches: Batches) -> None:
        names = sorted({la.node.outputs[0] for joint in paired.joints for la in joint.layers})
        if not names:
            return
        found = self.products
        session = open_session(
            found.model, found.weights, names, memory=found.session_memory, short=True
        )
        for number, feeds in enumerate(batches):
            for name, y in zip(names, session.run(names, feeds), strict=True):
                layer = paired.layers[name]
                wanted = samples_wanted(layer, feeds, batches)
                grid = layer.grid_of_output(y.shape)
                places = layer.places(grid, wanted, draw(layer, number, 0))
                paired.add(name, layer.outputs(y, places))

    def layers(self, dim: PrunableDim) -> list[Layer]:
        """Return the layers that make a dim's lanes."""
        names = self._by_dim.get(dim.dim, [])
        return [] if self._paired is None else [self._paired.layers[n] for n in names]

    def feeds(
        self,
        dim: PrunableDim,
        kept: Mapping[Dim, Kept],
        editor: LayerEditor,
        handles: Mapping[str, Handle],
    ) -> dict[str, NDArray[Any]]:
        """Return weights and biases of the layers that make a dim's lanes, without some of them."""
        made: dict[str, NDArray[Any]] = {}
        if self._paired is None or not self.layers(dim):
            return made
        lanes = KeptLanes(self.products.analysis.propagation.space, kept)
        mixes = self._paired.mixes(lanes, self._fit)
        for layer in self.layers(dim):
            name = layer.node.outputs[0]
            places = lanes.places(self._paired.output_axis(layer))
            few, bias = self._paired.mixed(name, mixes[name], lanes)
            weight = np.zeros((1, layer.width, few.shape[-1]))
            weight[:, places] = few
            whole = np.zeros(layer.width)
            whole[places] = bias
            handle = handles[name]
            stored, old = editor.value(handle.weight), editor.value(handle.bias)
            made[handle.weight] = layer.stored(weight).astype(stored.dtype)
            made[handle.bias] = whole.reshape(old.shape).astype(old.dtype)
        return made

    def _fit(self, pair: PairSamples) -> tuple[FloatArray, FloatArray]:
        return nearest(pair, self.damping)


def _first_only(dim: PrunableDim) -> Kept:
    """Return a plan of one lane."""
    mask = np.zeros((1 if dim.rows is None else dim.rows.size, dim.dim.size), bool)
    mask[:, 0] = True
    return Kept(mask[0]) if dim.rows is None else Kept(mask, dim.rows)
