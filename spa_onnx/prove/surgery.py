"""To a graph-surgeon graph and back, without losing what that package does not know."""

from __future__ import annotations

from typing import Any

import onnx
import onnx_graphsurgeon as gs

from spa_onnx.graph.shapes import is_container
from spa_onnx.graph.tensors import all_graphs


def to_surgeon(model: onnx.ModelProto) -> Any:
    """Return a graph to edit.

    Standard operators are in the domain ``""``, never ``ai.onnx``. Left out is what the package
    cannot write: types of sequences, optional values and maps, attributes that are types or empty.
    """
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    for graph in all_graphs(plain.graph):
        for node in graph.node:
            node.domain = "" if node.domain == "ai.onnx" else node.domain
            known = [a for a in node.attribute if not _is_unknown(a)]
            if len(known) < len(node.attribute):
                del node.attribute[:]
                node.attribute.extend(known)
        for entry in (*graph.value_info, *graph.input, *graph.output):
            if is_container(entry.type):
                entry.ClearField("type")
    return gs.import_onnx(plain)


EMPTY = {
    onnx.AttributeProto.INTS: "ints",
    onnx.AttributeProto.FLOATS: "floats",
    onnx.AttributeProto.STRINGS: "strings",
}


def _is_unknown(attribute: onnx.AttributeProto) -> bool:
    """Say whether the package loses an attribute: a type, or an empty list."""
    field = EMPTY.get(attribute.type)
    empty = field is not None and not getattr(attribute, field)
    return empty or attribute.type == onnx.AttributeProto.TYPE_PROTO


def from_surgeon(graph: Any, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an edited graph as a model; ``model`` is the one that it was made of."""
    edited: onnx.ModelProto = gs.export_onnx(graph, do_type_check=False)
    edited.ir_version = model.ir_version
    del edited.opset_import[:]
    edited.opset_import.extend(model.opset_import)
    for entries, originals in (
        (edited.graph.input, model.graph.input),
        (edited.graph.output, model.graph.output),
    ):
        declared = {entry.name: entry for entry in originals}
        for entry in entries:
            if entry.name in declared and is_container(declared[entry.name].type):
                entry.CopyFrom(declared[entry.name])
    typed = {
        node.output[0]: node.attribute
        for original in all_graphs(model.graph)
        for node in original.node
        if node.output and any(map(_is_unknown, node.attribute))
    }
    for body in all_graphs(edited.graph):
        del body.value_info[:]  # some exporters declare shapes that are wrong; ours would meet them
        for node in body.node:
            if node.output and node.output[0] in typed:
                del node.attribute[:]
                node.attribute.extend(typed[node.output[0]])
    return edited
