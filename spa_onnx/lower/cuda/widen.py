"""The float32 model of one of 16 bits: what it computes but for rounding, on any processor.

    w (float16) ─ MatMul     becomes     w (float16) ─ Cast ─ MatMul

Weights stay where and what they are; everything that is computed becomes float32, inputs and
outputs too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from spa_onnx.graph.tensors import all_graphs, attribute_tensors
from spa_onnx.load.model import LoadedModel
from spa_onnx.load.store import is_external

HALF = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})

TYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_dtype"})
"""Attributes of standard operators that name a type of results."""


def widened(loaded: LoadedModel) -> LoadedModel:
    """Return a model that computes in float32 wherever another computes in 16 bits."""
    model = onnx.ModelProto()
    model.CopyFrom(loaded.skeleton)
    for graph in reversed(list(all_graphs(model.graph))):  # bodies before nodes are copied
        casts = [*_cast_initializers(graph), *_cast_constants(graph)]
        for node in graph.node:
            _widen_attributes(node)
        for entry in (*graph.input, *graph.output):
            _widen_type(entry.type)
        del graph.value_info[:]
        nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in graph.node]
        del graph.node[:]
        graph.node.extend([*casts, *nodes])
    return replace(loaded, skeleton=model)


def _cast_initializers(graph: onnx.GraphProto) -> Iterable[onnx.NodeProto]:
    """Rename initializers of 16 bits, and yield casts that have their names."""
    inputs = {entry.name: k for k, entry in enumerate(graph.input)}
    for tensor in graph.initializer:
        if tensor.data_type not in HALF:
            continue
        name = tensor.name
        tensor.name = f"{name}/half"
        if name in inputs:  # a default of the input, which nobody feeds here
            del graph.input[next(k for k, e in enumerate(graph.input) if e.name == name)]
        yield _cast(tensor.name, name)


def _cast_constants(graph: onnx.GraphProto) -> Iterable[onnx.NodeProto]:
    """Let Constants of 16 bits be initializers, and yield casts that have their names."""
    for k in reversed(range(len(graph.node))):
        node = graph.node[k]
        tensor = next(iter(attribute_tensors(node)), None)
        if node.op_type != "Constant" or tensor is None or tensor.data_type not in HALF:
            continue
        name = node.output[0]
        stored = graph.initializer.add()
        stored.CopyFrom(tensor)
        stored.name = f"{name}/half"
        del graph.node[k]
        yield _cast(stored.name, name)


def _cast(source: str, result: str) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [result], name=f"{result}/cast", to=TensorProto.FLOAT)


def _widen_attributes(node: onnx.NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.name in TYPE_ATTRIBUTES and attribute.i in HALF:
            attribute.i = TensorProto.FLOAT
    for tensor in attribute_tensors(node):
        if tensor.data_type in HALF and not is_external(tensor):
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _widen_type(kind: onnx.TypeProto) -> None:
    """Let a type be float32 where it is of 16 bits, inside sequences and optional values too."""
    match kind.WhichOneof("value"):
        case "tensor_type":
            if kind.tensor_type.elem_type in HALF:
                kind.tensor_type.elem_type = TensorProto.FLOAT
        case "sequence_type":
            _widen_type(kind.sequence_type.elem_type)
        case "optional_type":
            _widen_type(kind.optional_type.elem_type)
        case _:
            pass
