"""Masks layer by layer: each is chosen and repaired on what the sparse prefix hands on.

The dense network leaves its layers' outputs at a few places; the sparse one runs in segments, and
before a segment runs, its first layer is fitted to them under a mask of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.compensate.sampled import SampledTargets
from spa_onnx.compensate.streams import Stream, streams_of
from spa_onnx.compensate.walk import Walk, in_turn
from spa_onnx.execute.pieces import cut_before, stored_names
from spa_onnx.execute.shelf import Shelf
from spa_onnx.inputs.batches import Batches
from spa_onnx.layers.find import layers_of
from spa_onnx.layers.layer import Layer
from spa_onnx.layers.moments import Moments
from spa_onnx.layers.variants import Handle, LayerEditor
from spa_onnx.normalise.graph import Graph
from spa_onnx.normalise.order import sort_nodes
from spa_onnx.sparse.fit import Fitted, Masking, fit, plain_mask

Matched = Callable[[onnx.ModelProto], onnx.ModelProto]


@dataclass(slots=True)
class SparseRepair:
    """Puts masks on the layers of a graph and fits what stays, in place.

    Attributes:
        dense_model: the dense skeleton to run, perhaps with batch statistics in place of stored.
        batches: the inputs.
        seed: for the choice of samples.
        memory: bytes that values between segments may take before they go to files, and that the
            second moments of one layer may take; a layer above it is masked and not refitted.
        session_memory: bytes that weights may take in one session.
        observer: told how many layers are done, of how many.
        coarse: after a run, layers above the memory.
    """

    dense_model: onnx.ModelProto
    batches: Batches
    seed: int
    memory: int
    session_memory: int
    observer: Callable[[int, int], None] | None = None
    coarse: list[str] = field(default_factory=list)

    def run(
        self, graph: Graph, maskings: Mapping[str, Masking], matched: Matched
    ) -> dict[str, Fitted]:
        """Mask and refit the layers with these outputs; return what became of each.

        ``graph`` is that of the model to change, ``matched`` turns a part of it into what is run.
        """
        model = graph.model
        sort_nodes(model)
        editor = LayerEditor(model, graph.weights)
        stored = stored_names(model.graph)
        every = {layer.node.outputs[0]: layer for layer in layers_of(graph)}
        layers = {name: every[name] for name in maskings}
        seeing = {name: la for name, la in layers.items() if la.source not in stored}
        handles = editor.handles(layers.values(), insert=False)
        streams = streams_of(model.graph, {name: handles[name] for name in seeing})
        made: dict[str, Fitted] = {}
        with Shelf(self.memory) as shelf:
            targets = self._targets(graph, shelf, streams)
            targets.store(seeing)
            pieces = cut_before(model.graph, {handles[name].product for name in seeing})
            walk = Walk(model, graph.weights, self.batches, shelf, matched)
            for name, layer in in_turn(seeing, handles, pieces, walk, self.observer):
                seen, held_out = targets.moments(layer, walk, bias=_added(editor, streams, name))
                if seen.count:
                    weight = layer.matrix(editor.value(handles[name].weight).astype(np.float64))
                    biased = bool(handles[name].bias)
                    made[name] = fit(weight, maskings[name], seen, held_out, biased=biased)
                    put(editor, handles[name], layer, made[name])
        blind = {name: layer for name, layer in layers.items() if name not in made}
        return made | mask_plainly(editor, blind, handles, maskings, lambda _: None)

    def _targets(self, graph: Graph, shelf: Shelf, streams: Mapping[str, Stream]) -> SampledTargets:
        return SampledTargets(
            self.dense_model,
            graph.weights,
            self.batches,
            self.seed,
            self.memory,
            self.session_memory,
            shelf,
            self.coarse,
            streams,
        )


def mask_plainly(
    editor: LayerEditor,
    layers: Mapping[str, Layer],
    handles: Mapping[str, Handle],
    maskings: Mapping[str, Masking],
    moments: Callable[[Layer], Moments | None],
) -> dict[str, Fitted]:
    """Put masks on layers whose weights otherwise stay as they are."""
    made: dict[str, Fitted] = {}
    for name, layer in layers.items():
        weight = layer.matrix(editor.value(handles[name].weight).astype(np.float64))
        made[name] = plain_mask(weight, maskings[name], moments(layer))
        put(editor, handles[name], layer, made[name])
    return made


def put(editor: LayerEditor, handle: Handle, layer: Layer, made: Fitted) -> None:
    """Store weight and bias of a layer."""
    editor.set(handle.weight, layer.stored(made.weight))
    if made.offset is None:
        return
    old = editor.value(handle.bias).astype(np.float64)
    shift = made.offset.reshape(old.shape) / layer.bias_factor
    editor.set(handle.bias, shift if handle.inside else old + shift)


def _added(
    editor: LayerEditor, streams: Mapping[str, Stream], name: str
) -> NDArray[np.float64] | float:
    """Return the bias that is added between a layer and its stream."""
    if name not in streams or not streams[name].bias:
        return 0.0
    return editor.value(streams[name].bias).astype(np.float64).reshape(-1)
