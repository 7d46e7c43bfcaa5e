"""Models whose layers are given other weights and biases.

    x ─ MatMul(W) ─ y      becomes      x ─ MatMul(W) ─ Add(b) ─ y

Every layer gets a bias of its own; for runs with one set of weights after another, weights and
biases become inputs whose stored values are only defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from spa_onnx.graph.node import STANDARD_DOMAINS
from spa_onnx.graph.tensors import FLOATS, IR_WITH_FREE_INITIALIZERS, captured_names
from spa_onnx.layers.layer import WITHOUT_BIAS, Layer
from spa_onnx.load.store import WeightStore

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Handle:
    """Names under which a layer's weight and bias are stored.

    Attributes:
        product: the tensor that the layer's node makes.
        inside: the bias is added by the layer's own node, so ``product`` holds it.

    Where nothing is added to the product, ``bias`` is empty.
    """

    weight: str
    bias: str
    product: str
    inside: bool


@dataclass(slots=True)
class LayerEditor:
    """Gives layers of a skeleton biases of their own, and new values; edits it in place.

    Attributes:
        model: the skeleton.
        weights: where its weights lie.
    """

    model: onnx.ModelProto
    weights: WeightStore
    _tensors: dict[str, onnx.TensorProto] = field(default_factory=dict)
    _readers: dict[str, list[onnx.NodeProto]] = field(default_factory=dict)
    _makers: dict[str, onnx.NodeProto] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._store_constants()
        self._tensors = {t.name: t for t in self.model.graph.initializer}
        for node in self.model.graph.node:
            bodies = [a.g for a in node.attribute if a.HasField("g")]
            for name in (*node.input, *(n for body in bodies for n in captured_names(body))):
                self._readers.setdefault(name, []).append(node)
            for name in node.output:
                self._makers[name] = node

    def _store_constants(self) -> None:
        """Turn Constant nodes of floats into initializers, whose values can be set."""
        graph = self.model.graph
        for k in reversed(range(len(graph.node))):
            node = graph.node[k]
            if node.op_type != "Constant" or node.domain not in STANDARD_DOMAINS:
                continue
            value = next((a.t for a in node.attribute if a.name == "value"), None)
            if value is None or value.data_type not in FLOATS:
                continue
            tensor = graph.initializer.add()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
            del graph.node[k]
            if self.model.ir_version < IR_WITH_FREE_INITIALIZERS:
                self._declare(tensor)

    def handles(self, layers: Iterable[Layer], *, insert: bool = True) -> dict[str, Handle]:
        """Return the handles of layers by their output; biases that are missing are made.

        Unless told to ``insert`` nodes, products that no bias is added to get a handle without one.
        """
        found: dict[str, Handle] = {}
        extra: dict[str, onnx.NodeProto] = {}
        for layer in layers:
            node = self._makers[layer.node.outputs[0]]
            if node.op_type in WITHOUT_BIAS:
                bias = self._bias_behind(node, layer) or ""
                if insert and not bias:
                    bias = self._insert(node, layer, extra)
                inside = False
            else:
                bias, inside = self._bias_inside(node, layer), True
            handle = Handle(layer.weight.name, bias, node.output[0], inside)
            found[layer.node.outputs[0]] = handle
        if extra:
            nodes = [n for old in self.model.graph.node for n in (old, extra.get(_first(old))) if n]
            copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
            del self.model.graph.node[:]
            self.model.graph.node.extend(copies)
            self._makers = {name: n for n in self.model.graph.node for name in n.output}
        return found

    def added_bias(self, layer: Layer) -> str | None:
        """Return the stored bias that a node of its own adds to a layer's product, if any does."""
        node = self._makers[layer.node.outputs[0]]
        return self._bias_behind(node, layer) if node.op_type in WITHOUT_BIAS else None

    def value(self, name: str) -> Array:
        """Return a stored tensor."""
        return self.weights.array(self._tensors[name])

    def set(self, name: str, values: Array) -> None:
        """Store other values under a name, rounded to its type; the shape stays."""
        tensor = self._tensors[name]
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        shaped = np.ascontiguousarray(values.reshape(tuple(tensor.dims)).astype(dtype))
        tensor.CopyFrom(numpy_helper.from_array(shaped, name))

    def make_inputs(self, names: Sequence[str]) -> None:
        """Let tensors be fed; what is not fed keeps its value."""
        # of older versions ONNX Runtime takes initializers for constants, whatever the inputs are
        self.model.ir_version = max(self.model.ir_version, IR_WITH_FREE_INITIALIZERS)
        known = {entry.name for entry in self.model.graph.input}
        for name in names:
            if name not in known:
                self._declare(self._tensors[name])

    def _declare(self, tensor: onnx.TensorProto) -> None:
        entry = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        self.model.graph.input.append(entry)

    def _bias_behind(self, node: onnx.NodeProto, layer: Layer) -> str | None:
        """Return the bias that alone is added to a product, if it is stored and nobody else's."""
        readers = self._readers.get(node.output[0], [])
        outputs = {entry.name for entry in self.model.graph.output}
        if len(readers) != 1 or readers[0].op_type != "Add" or node.output[0] in outputs:
            return None
        other = next((n for n in readers[0].input if n != node.output[0]), "")
        tensor = self._tensors.get(other)
        if tensor is None or len(self._readers[other]) != 1 or other in outputs:
            return None
        dims, wanted = list(tensor.dims), list(layer.bias_shape)
        fits = prod(dims) == layer.width and dims[-len(wanted) :] == wanted
        return other if fits else None

    def _bias_inside(self, node: onnx.NodeProto, layer: Layer) -> str:
        """Return a node's own bias; one that is missing, shared or a single number is made."""
        name = node.input[2] if len(node.input) > 2 else ""
        stored = self._tensors.get(name)
        fits = stored is not None and prod(stored.dims) == layer.width
        public = {entry.name for entry in self.model.graph.output}
        if fits and len(self._readers[name]) == 1 and name not in public:
            return name
        old = 0.0 if stored is None else self.weights.array(stored).reshape(-1)
        made = self._make(node, layer, old)
        if len(node.input) > 2:
            node.input[2] = made
        else:
            node.input.append(made)
        return made

    def _insert(self, node: onnx.NodeProto, layer: Layer, extra: dict[str, onnx.NodeProto]) -> str:
        """Add a bias of zeros to a product; the sum takes over the product's name."""
        made = self._make(node, layer, 0.0)
        output, inner = node.output[0], f"{node.output[0]}/product"
        while inner in self._makers:
            inner += "_"
        node.output[0] = inner
        extra[inner] = helper.make_node("Add", [inner, made], [output], name=made)
        return made

    def _make(self, node: onnx.NodeProto, layer: Layer, values: Array | float) -> str:
        name = f"{node.output[0]}/bias"
        while name in self._tensors or name in self._makers:
            name += "_"
        dtype = helper.tensor_dtype_to_np_dtype(layer.weight.element)
        array = np.broadcast_to(values, layer.bias_shape).astype(dtype)
        tensor = self.model.graph.initializer.add()
        tensor.CopyFrom(numpy_helper.from_array(array, name))
        self._tensors[name] = tensor
        self._readers[name] = [node]
        if self.model.ir_version < IR_WITH_FREE_INITIALIZERS:
            self._declare(tensor)
        return name


def _first(node: onnx.NodeProto) -> str:
    return node.output[0] if node.output else ""
