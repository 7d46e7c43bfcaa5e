"""Shapes and types from ONNX's own inference. Run only when a stage asks for them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import onnx
import onnx.shape_inference

from spa_onnx.algebra.size import Size, symbol
from spa_onnx.graph.node import STANDARD_DOMAINS
from spa_onnx.graph.tensors import all_graphs


@dataclass(frozen=True, slots=True)
class Inferred:
    """What ONNX can infer of a model's tensors; dynamic axes are symbols."""

    shapes: dict[str, tuple[Size, ...]]
    types: dict[str, int]


_latest: list[tuple[onnx.ModelProto, Inferred]] = []
"""The last model asked for: inference is dear, and every stage asks for the same model."""


FLOAT_RESULTS = frozenset({"MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QAttention"})
"""Operators that ONNX does not know, and whose results are no integers although operands are."""


SEQUENCES = frozenset(
    {
        "SequenceConstruct",
        "SequenceEmpty",
        "SequenceErase",
        "SequenceInsert",
        "SequenceMap",
        "SplitToSequence",
        "Optional",
        "ZipMap",
    }
)
"""Operators whose results are no tensors."""


def _result_type(node: onnx.NodeProto, types: dict[str, int]) -> int:
    if node.op_type in SEQUENCES:
        return int(onnx.TensorProto.UNDEFINED)
    if node.op_type == "EmbedLayerNormalization":
        return types.get(node.input[2], int(onnx.TensorProto.FLOAT))
    floats = node.op_type in FLOAT_RESULTS or (node.op_type == "QGemm" and len(node.input) < 8)
    if floats or not node.input:
        return int(onnx.TensorProto.FLOAT)
    return types.get(node.input[_typed_like(node)], int(onnx.TensorProto.FLOAT))


def _typed_like(node: onnx.NodeProto) -> int:
    """Return the input whose type the first output has, as ONNX's newest schema says; else 0."""
    name = str(node.op_type)  # text that is no UTF-8 comes as bytes
    if node.domain not in STANDARD_DOMAINS or not onnx.defs.has(name):
        return 0
    schema = onnx.defs.get_schema(name)
    if not schema.outputs:
        return 0
    letters = [given.type_str for given in schema.inputs[: len(node.input)]]
    letter = schema.outputs[0].type_str
    return letters.index(letter) if letter in letters else 0


def infer(model: onnx.ModelProto) -> Inferred:
    """Return shapes and element types; the model must be a skeleton, for inference copies it."""
    if not _latest or _latest[0][0] is not model:
        _latest[:] = [(model, _infer(model))]
    return _latest[0][1]


def _infer(model: onnx.ModelProto) -> Inferred:
    with suppress(onnx.shape_inference.InferenceError, ValueError):  # declared shapes remain
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    found = Inferred({}, {})
    for graph in all_graphs(model.graph):
        found.types.update((t.name, t.data_type) for t in graph.initializer)
        for entry in (*graph.value_info, *graph.input, *graph.output):
            tensor = entry.type.tensor_type
            if tensor.elem_type:
                found.types[entry.name] = tensor.elem_type
            elif is_container(entry.type):
                found.types[entry.name] = onnx.TensorProto.UNDEFINED
            if tensor.HasField("shape") and graph is model.graph:
                found.shapes[entry.name] = declared_shape(entry)
    for graph in all_graphs(model.graph):
        for node in graph.node:  # inference has gaps; most operators keep their input's type
            for name in node.output:
                if name not in found.types:
                    found.types[name] = _result_type(node, found.types)
    return found


def declared_shape(entry: onnx.ValueInfoProto) -> tuple[Size, ...]:
    """Return a declared shape; dynamic axes become symbols, unnamed ones named after the tensor."""
    return tuple(
        d.dim_value if d.dim_value > 0 else symbol(d.dim_param or f"{entry.name}:{k}")
        for k, d in enumerate(tensor_type(entry.type).shape.dim)
    )


def is_container(kind: onnx.TypeProto) -> bool:
    """Say whether a type is known to be a sequence, an optional value or a map."""
    return kind.WhichOneof("value") in ("sequence_type", "optional_type", "map_type")


def tensor_type(kind: onnx.TypeProto) -> onnx.TypeProto.Tensor:
    """Return the type of a tensor, or of the elements of a sequence or optional value."""
    while is_container(kind) and kind.WhichOneof("value") != "map_type":
        inner = kind.sequence_type if kind.HasField("sequence_type") else kind.optional_type
        kind = inner.elem_type
    return kind.tensor_type
