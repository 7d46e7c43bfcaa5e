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
from onnx import helper

from spa_onnx.analyse.propagate import Propagation
from spa_onnx.calibrate.batches import Batches
from spa_onnx.calibrate.collect import draw, sample_count
from spa_onnx.calibrate.layers import Layer, Places, layers_of
from spa_onnx.calibrate.moments import Moments
from spa_onnx.calibrate.variants import Handle, LayerEditor
from spa_onnx.compensate.refit import Compensation, LayerSamples
from spa_onnx.compensate.shelf import Shelf
from spa_onnx.execute.pieces import Piece, cut_before, piece_model
from spa_onnx.execute.runtime import open_session
from spa_onnx.execute.session import WholeSession, create_session
from spa_onnx.load.store import WeightStore
from spa_onnx.normalise.graph import Graph
from spa_onnx.normalise.order import sort_nodes
from spa_onnx.plan.lanes import KeptLanes

Array = NDArray[Any]

HELD_OUT = 5
"""Every fifth sample is held out, to choose a ridge by."""


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
        memory: bytes that values between segments may take before they go to files.
        session_memory: bytes that weights may take in one session.
        observer: told how many layers are done, of how many.
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
    _grids: dict[tuple[str, int], tuple[int, ...]] = field(default_factory=dict)

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
        layers = self._layers(pruned)
        editor = LayerEditor(model, pruned.weights)
        handles = editor.handles(layers.values())
        with Shelf(self.memory) as shelf:
            self._store_targets(layers, handles, shelf)
            pieces = cut_before(model.graph, {h.product for h in handles.values()})
            walk = Walk(model, pruned.weights, self.batches, shelf, matched)
            done = 0
            for at, piece in enumerate(pieces):
                starts = [n for k in piece.nodes for n in model.graph.node[k].output]
                for name, handle in handles.items():
                    if handle.product in starts:
                        self._refit(layers[name], handle, editor, compensation, shelf)
                        done += 1
                        if self.observer is not None:
                            self.observer(done, len(layers))
                later = {n for p in pieces[at + 1 :] for n in p.inputs}
                walk.run(piece, later)
        return len(layers)

    def _layers(self, pruned: Graph) -> dict[str, Layer]:
        """Return by output the layers behind a cut that both networks have."""
        touched: set[str] = set()
        for node in pruned.nodes:
            for name in node.outputs:
                axes = self.dense.axes.get(name)
                cut = axes is not None and self.lanes.is_sliced(axes)
                if cut or any(n in touched for n in node.inputs):
                    touched.add(name)
        known = {layer.node.outputs[0] for layer in layers_of(self.dense.graph)}
        return {
            layer.node.outputs[0]: layer
            for layer in layers_of(pruned)
            if layer.node.inputs[0] in touched and layer.node.outputs[0] in known
        }

    def _store_targets(
        self, layers: Mapping[str, Layer], handles: Mapping[str, Handle], shelf: Shelf
    ) -> None:
        """Keep the dense outputs of the lanes that stayed, at the samples of each layer."""
        names = list(layers)
        if not names:
            return
        session = open_session(
            self.dense_model, self.weights, names, memory=self.session_memory, short=True
        )
        for number, feeds in enumerate(self.batches):
            items = len(next(iter(feeds.values())))
            made = session.run(names, feeds)
            for name, y in zip(names, made, strict=True):
                layer, axes = layers[name], self.dense.axes_of(name)
                y = y if axes is None else self.lanes.slice(y, axes)
                places = self._places(layer, layer.grid_of_output(y.shape), number, items)
                shelf.put((name, number, "target"), layer.outputs(y, places))

    def _places(self, layer: Layer, grid: tuple[int, ...], number: int, items: int) -> Places:
        wanted = sample_count(layer.positions().shape[1]) * items // self.batches.samples + 1
        return layer.places(grid, wanted, draw(layer, number, self.seed))

    def _refit(
        self,
        layer: Layer,
        handle: Handle,
        editor: LayerEditor,
        compensation: Compensation,
        shelf: Shelf,
    ) -> None:
        """Fit one layer to its targets, whose inputs lie on the shelf."""
        name, source = layer.node.outputs[0], layer.node.inputs[0]
        seen, held_out = Moments(), Moments()
        for number, feeds in enumerate(self.batches):
            items = len(next(iter(feeds.values())))
            x = np.asarray(feeds[source]) if source in feeds else shelf.get((source, number))
            places = self._places(layer, layer.grid(x.shape), number, items)
            features = layer.features(x, places)
            targets = shelf.get((name, number, "target"))
            shelf.drop((name, number, "target"))
            border = len(features) - len(features) // HELD_OUT
            seen.add(features[:border], targets[:border])
            if border < len(features):
                held_out.add(features[border:], targets[border:])
        stored = editor.value(handle.weight)
        weight = layer.matrix(stored.astype(np.float64))
        made = compensation.refit(LayerSamples(weight, seen, held_out))
        editor.set(handle.weight, layer.stored(made.weight))
        offset = made.offset.reshape(-1)
        old = editor.value(handle.bias).astype(np.float64).reshape(-1)
        editor.set(handle.bias, offset if handle.inside else old + offset)


@dataclass(slots=True)
class Walk:
    """Runs a network segment by segment, all batches through one before the next.

    Attributes:
        model: the sorted skeleton; its weights may change before a segment that reads them runs.
        weights: where they lie.
        batches: the inputs.
        shelf: where values between segments lie, under name and number of the batch.
        matched: turns a segment into the one that is run.
    """

    model: onnx.ModelProto
    weights: WeightStore
    batches: Batches
    shelf: Shelf
    matched: Callable[[onnx.ModelProto], onnx.ModelProto]
    _types: dict[str, onnx.TypeProto] = field(default_factory=dict)
    _alive: set[str] = field(default_factory=set)
    _count: int = 0

    def __post_init__(self) -> None:
        self._types = {v.name: v.type for v in self.model.graph.input}

    def run(self, piece: Piece, later: set[str]) -> None:
        """Run one segment on all batches; keep what is read later, forget the rest."""
        names = [n for n in piece.outputs if n in later]
        if names:
            made = self.matched(piece_model(self.model, piece, self._types))
            session = WholeSession(create_session(made, self.weights))
            for number, feeds in enumerate(self.batches):
                given = {
                    n: np.asarray(feeds[n]) if n in feeds else self.shelf.get((n, number))
                    for n in piece.inputs
                }
                for name, value in zip(names, session.run(names, given), strict=True):
                    self.shelf.put((name, number), value)
                    self._types[name] = _type_of(value)
                self._count = number + 1
            self._alive.update(names)
        for name in self._alive - later:
            for number in range(self._count):
                self.shelf.drop((name, number))
        self._alive &= later


def _type_of(value: Array) -> onnx.TypeProto:
    element = helper.np_dtype_to_tensor_dtype(value.dtype)
    made: onnx.TypeProto = helper.make_tensor_type_proto(element, [None] * value.ndim)
    return made
