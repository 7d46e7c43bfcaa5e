"""Replace layers of a model by the operators that do them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from spa_onnx.graph.tensors import IR_WITH_FREE_INITIALIZERS, all_graphs, captured_names
from spa_onnx.load.wire import INLINE_LIMIT
from spa_onnx.lower.layer import Layer, WeightSource
from spa_onnx.lower.operators import lowered_node
from spa_onnx.lower.packings import Packing
from spa_onnx.lower.view import DOMAIN, Array, View
from spa_onnx.lower.weights import Floats, bias, matrix
from spa_onnx.normalise.graph import Graph
from spa_onnx.rewrite.apply import Rewritten
from spa_onnx.rewrite.payload import SCHEME, ArrayPayload, Payload, refer
from spa_onnx.runtime.packed_kinds import Kind, ValueType
from spa_onnx.runtime.packing import pack_diagonal

VERSION = 1
"""Of the operator set ``ai.spa``."""


@dataclass(frozen=True, slots=True)
class Lowering:
    """What is done with one layer.

    Attributes:
        layer: the layer.
        packing: of its weight; None for depthwise ones, all of whose values are stored.
    """

    layer: Layer
    packing: Packing | None


@dataclass(slots=True)
class Store:
    """Adds initializers to a model.

    Attributes:
        model: the model that is edited.
        names: of all its tensors.
        payloads: data that the model does not hold itself.
    """

    model: onnx.ModelProto
    names: set[str]
    payloads: dict[str, Payload]

    @staticmethod
    def of(model: onnx.ModelProto) -> Store:
        """Return the store of a model."""
        names: set[str] = set()
        for graph in all_graphs(model.graph):
            names |= {t.name for t in graph.initializer} | {v.name for v in graph.input}
            names.update(name for node in graph.node for name in (*node.input, *node.output))
        return Store(model, names, {})

    def unique(self, name: str) -> str:
        """Return a name that no tensor has yet."""
        candidate, k = name, 1
        while candidate in self.names:
            k += 1
            candidate = f"{name}_{k}"
        self.names.add(candidate)
        return candidate

    def add(self, name: str, array: Array) -> str:
        """Add an initializer with a name like the one given, and return its name."""
        name = self.unique(name)
        if array.nbytes <= INLINE_LIMIT:
            tensor = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        else:
            kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            tensor = onnx.TensorProto(name=name, data_type=kind, dims=array.shape)
            refer(tensor, SCHEME + name, 0, array.nbytes)
            self.payloads[name] = ArrayPayload(array)
        self.model.graph.initializer.append(tensor)
        return name


def lower_layers(view: View, lowerings: Sequence[Lowering]) -> Rewritten:
    """Return the model with some of its layers done by operators for packed weights."""
    model = onnx.ModelProto()
    model.CopyFrom(view.graph.model)
    store = Store.of(model)
    packed: dict[tuple[WeightSource, Packing | None], str] = {}
    places: dict[int, list[onnx.NodeProto]] = {}
    gone: set[int] = set()
    for lowering in lowerings:
        layer = lowering.layer
        key = layer.source, lowering.packing.stored if lowering.packing else None
        if key not in packed:
            packed[key] = _stored(view, store, lowering)
        offset = bias(view, layer)
        name = "" if offset is None else store.add(f"{layer.y}/bias", layer.rounded(offset))
        way = lowering.packing or Packing(Kind.BLOCKS)
        label = model.graph.node[layer.nodes[0]].name or layer.y
        node = lowered_node(layer, packed[key], name, name=label, tile=way.tile, engine=way.engine)
        places.setdefault(layer.place, []).append(node)
        gone.update(layer.nodes)
    if lowerings:
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
        free_initializers(model)
    unread = {name for k in gone for name in model.graph.node[k].input}
    dropped = replace_nodes(model, gone, places)
    merge_twins(model, view.graph)
    drop_unread(model, {view.graph.twins.get(name, name) for name in unread})
    return Rewritten(model, store.payloads, dropped)


def _stored(view: View, store: Store, lowering: Lowering) -> str:
    """Add the weight of a layer and return its name."""
    layer = lowering.layer
    packed = packed_weight(matrix(view, layer.source), lowering.packing, layer.values)
    return store.add(f"{layer.source.tensor}/packed", np.frombuffer(packed, np.uint8))


def packed_weight(
    dense: Floats, packing: Packing | None, values: ValueType = ValueType.FLOAT32
) -> bytes:
    """Return a packed matrix; that of a depthwise convolution is ``(channels, taps)``."""
    return pack_diagonal(dense, len(dense)) if packing is None else packing.pack(dense, values)


def replace_nodes(
    model: onnx.ModelProto, gone: set[int], places: Mapping[int, Sequence[onnx.NodeProto]]
) -> tuple[str, ...]:
    """Take nodes out of a model's graph, and put others where some of them were."""
    old = list(model.graph.node)
    kept: list[onnx.NodeProto] = []
    for k, node in enumerate(old):
        kept += places.get(k, [])
        if k not in gone:
            kept.append(node)
    dropped = tuple(old[k].name or old[k].output[0] for k in sorted(gone))
    made = [onnx.NodeProto.FromString(n.SerializeToString()) for n in kept]
    del model.graph.node[:]
    model.graph.node.extend(made)
    there = {name for node in made for name in node.output}
    there |= {v.name for v in model.graph.input} | {t.name for t in model.graph.initializer}
    _keep(model.graph.value_info, lambda v: v.name in there)
    return dropped


def merge_twins(model: onnx.ModelProto, graph: Graph) -> None:
    """Let uses of a constant share it again that normalising told apart."""
    for node in model.graph.node:
        for k, name in enumerate(node.input):
            node.input[k] = graph.twins.get(name, name)
    _keep(model.graph.initializer, lambda t: t.name not in graph.twins)


def drop_unread(model: onnx.ModelProto, candidates: Iterable[str]) -> None:
    """Take those of some initializers and constants out that nothing reads any more."""
    graph = model.graph
    read = {v.name for v in graph.output}
    for node in graph.node:
        read.update(node.input)
        for attribute in node.attribute:
            for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                read |= captured_names(body)
    unread = set(candidates) - read
    for entries in (graph.initializer, graph.input, graph.value_info):
        _keep(entries, lambda entry: entry.name not in unread)
    _keep(graph.node, lambda n: n.op_type != "Constant" or n.output[0] not in unread)


def free_initializers(model: onnx.ModelProto) -> None:
    """Let initializers be no inputs, as newer models have it; new ones are none."""
    if model.ir_version >= IR_WITH_FREE_INITIALIZERS:
        return
    stored = {t.name for t in model.graph.initializer}
    _keep(model.graph.input, lambda v: v.name not in stored)
    model.ir_version = IR_WITH_FREE_INITIALIZERS


def _keep(entries: Any, wanted: Callable[[Any], bool]) -> None:
    """Keep the wanted entries of a repeated field."""
    for k in reversed(range(len(entries))):
        if not wanted(entries[k]):
            del entries[k]
