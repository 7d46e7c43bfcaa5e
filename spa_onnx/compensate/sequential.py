"""Layer by layer: each is refitted on the already repaired prefix towards the dense outputs.

The dense network runs once and leaves, for every layer, its outputs at a few sampled positions. The
pruned one runs in segments, each beginning with a layer; between segments only the tensors that
later ones read are kept, of all batches. So every batch passes every node once, however many layers
are fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.analyse.propagate import Propagation
from spa_onnx.compensate.left import left_as_cut
from spa_onnx.compensate.pair import PairCompensation
from spa_onnx.compensate.pairs import PairedLayers, store
from spa_onnx.compensate.refit import Compensation, LayerSamples
from spa_onnx.compensate.sampled import SampledTargets
from spa_onnx.compensate.walk import Walk, in_turn
from spa_onnx.execute.pieces import cut_before, stored_names
from spa_onnx.execute.shelf import Shelf
from spa_onnx.inputs.batches import Batches
from spa_onnx.layers.find import Layer, layers_of
from spa_onnx.layers.moments import Moments
from spa_onnx.layers.pairing import Pairing, lane_axis, pairings_of
from spa_onnx.layers.variants import Handle, LayerEditor
from spa_onnx.load.store import WeightStore
from spa_onnx.normalise.graph import Graph
from spa_onnx.normalise.order import sort_nodes
from spa_onnx.plan.lanes import KeptLanes
from spa_onnx.report.report import LeftAsCut

Array = NDArray[Any]


@dataclass(slots=True)
class SequentialRepair:
    """Repairs a pruned skeleton in place.

    Attributes:
        dense: the solved dense graph.
        dense_model: the dense skeleton to run, perhaps with batch statistics in place of stored.
        weights: where the dense weights lie.
        lanes: what the plan left.
        batches: the inputs.
        seed: for the choice of samples.
        memory: bytes that values between segments may take before they go to files, and that the
            second moments of one layer may take; of a layer above it the bias alone is repaired.
        session_memory: bytes that weights may take in one session.
        observer: told how many layers are done, of how many.
        coarse: after a run, layers of which the bias alone was repaired for want of memory.
        products: after a run, how many products of activations were repaired.
        left: after a run, what was left as it was cut.
    """

    dense: Propagation
    dense_model: onnx.ModelProto
    weights: WeightStore
    lanes: KeptLanes
    batches: Batches
    seed: int
    memory: int
    session_memory: int
    observer: Callable[[int, int], None] | None = None
    coarse: list[str] = field(default_factory=list)
    products: int = 0
    left: tuple[LeftAsCut, ...] = ()

    def run(
        self,
        pruned: Graph,
        compensation: Compensation,
        matched: Callable[[onnx.ModelProto], onnx.ModelProto] = lambda model: model,
    ) -> int:
        """Refit every layer that sees the consequences of a cut; return how many.

        ``matched`` turns a part of the pruned model into the one that is run.
        """
        model = pruned.model
        sort_nodes(model)
        behind = self._behind(pruned)
        layers = self._layers(pruned, behind)
        editor = LayerEditor(model, pruned.weights)
        pairs = PairedLayers(self.dense, self.weights)
        if isinstance(compensation, PairCompensation):
            cut = list(filter(self._is_cut, pairings_of(self.dense)))
            pairs.find(
                cut, self.lanes, self.dense_model, self.batches, self.memory, self.session_memory
            )
            self.products = len(pairs.joints)
        self.left = left_as_cut(self.dense, behind, set(layers), pairs.left)
        mixed = {n: la for la in layers_of(pruned) if (n := la.node.outputs[0]) in pairs.layers}
        handles = editor.handles((mixed | layers).values())
        mixes: dict[str, Array] = {}
        with Shelf(self.memory) as shelf:
            targets = self._targets(shelf)
            self._store_targets(targets, layers, pairs)
            if isinstance(compensation, PairCompensation):
                mixes = dict(pairs.mixes(self.lanes, compensation.refit_pair))
                for name, layer in mixed.items():
                    made = pairs.mixed(name, mixes[name], self.lanes)
                    store(layer, handles[name], editor, made)
            pieces = cut_before(model.graph, {handles[name].product for name in layers})
            walk = Walk(model, pruned.weights, self.batches, shelf, matched)
            for name, layer in in_turn(layers, handles, pieces, walk, self.observer):
                seen, held_out = targets.moments(layer, walk, mixes.get(name))
                _refit(layer, handles[name], editor, compensation, seen, held_out)
        return len(layers)

    def _behind(self, pruned: Graph) -> set[str]:
        """Return the tensors that lost lanes, or are computed of such."""
        behind: set[str] = set()
        for node in pruned.nodes:
            for name in node.outputs:
                axes = self.dense.axes.get(name)
                cut = axes is not None and self.lanes.is_sliced(axes)
                if cut or any(n in behind for n in node.inputs):
                    behind.add(name)
        return behind

    def _layers(self, pruned: Graph, behind: set[str]) -> dict[str, Layer]:
        """Return by output the layers behind a cut that both networks have.

        What is computed of weights alone, such as queries of a detector, is no activation that one
        segment hands to the next; layers that read it stay as they are.
        """
        stored = stored_names(pruned.model.graph)
        known = {layer.node.outputs[0] for layer in layers_of(self.dense.graph)}
        return {
            layer.node.outputs[0]: layer
            for layer in layers_of(pruned)
            if layer.source in behind - stored and layer.node.outputs[0] in known
        }

    def _is_cut(self, pairing: Pairing) -> bool:
        """Say whether a product of activations lost lanes that it sums over."""
        axes = self.dense.axes_of(pairing.source(pairing.left)) or ()
        return self.lanes.is_cut(lane_axis(pairing.left, axes))

    def _targets(self, shelf: Shelf) -> SampledTargets:
        return SampledTargets(
            self.dense_model,
            self.weights,
            self.batches,
            self.seed,
            self.memory,
            self.session_memory,
            shelf,
            self.coarse,
        )

    def _store_targets(
        self, targets: SampledTargets, layers: Mapping[str, Layer], pairs: PairedLayers
    ) -> None:
        """Keep the dense outputs of the lanes that stayed, at the samples of each layer.

        Of layers in front of products of activations all outputs are kept, for any mixture of them
        may be wanted.
        """

        def sliced(name: str, y: Array) -> Array:
            axes = self.dense.axes_of(name)
            if name in pairs.layers:
                return pairs.sliced(name, y, axes or (), self.lanes)
            if axes is not None and self.lanes.is_sliced(axes):
                return self.lanes.slice(y, axes)
            return y

        def seen(name: str, outputs: Array) -> bool:
            if name in pairs.layers:
                pairs.add(name, outputs)
            return name in layers

        targets.store({**pairs.layers, **layers}, sliced, seen)


def _refit(
    layer: Layer,
    handle: Handle,
    editor: LayerEditor,
    compensation: Compensation,
    seen: Moments,
    held_out: Moments,
) -> None:
    """Store new numbers of one layer; of one without second moments the bias alone."""
    if not seen.count:
        return  # nothing finite reaches it
    stored = editor.value(handle.weight)
    weight = layer.matrix(stored.astype(np.float64))
    if seen.diagonal:
        offset = seen.target_mean - np.einsum("gok,gk->go", weight, seen.mean)
    else:
        made = compensation.refit(LayerSamples(weight, seen, held_out))
        offset = made.offset
        editor.set(handle.weight, layer.stored(made.weight))
    old = editor.value(handle.bias).astype(np.float64)
    shift = offset.reshape(old.shape) / layer.bias_factor
    editor.set(handle.bias, shift if handle.inside else old + shift)
