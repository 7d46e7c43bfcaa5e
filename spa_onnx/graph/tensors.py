"""Walk every tensor and graph of a model, wherever it hides."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from spa_onnx.graph.node import Scope

IR_WITH_FREE_INITIALIZERS = 4
"""First IR version whose initializers need not be graph inputs."""

FLOATS = frozenset(
    {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.BFLOAT16,
        onnx.TensorProto.DOUBLE,
    }
)
"""Element types of weights that can be changed number by number."""


def all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and every graph inside its control flow."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from all_graphs(body)


def scoped_graphs(
    graph: onnx.GraphProto, scope: Scope = ()
) -> Iterator[tuple[Scope, onnx.GraphProto]]:
    """Yield a graph and every graph inside its control flow with the path that leads there."""
    yield scope, graph
    for index, node in enumerate(graph.node):
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from scoped_graphs(attribute.g, (*scope, (index, attribute.name)))


def all_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield initializers and the tensors inside attributes, in functions too."""
    for graph in all_graphs(model.graph):
        yield from graph.initializer
        for node in graph.node:
            yield from attribute_tensors(node)
    for function in model.functions:
        for node in function.node:
            yield from attribute_tensors(node)


def attribute_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors that a node carries as attributes."""
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors


def captured_names(graph: onnx.GraphProto) -> set[str]:
    """Return the names that a control-flow body takes from the scopes around it."""
    own = {t.name for t in graph.initializer} | {v.name for v in graph.input}
    taken: set[str] = set()
    for node in graph.node:
        taken.update(x for x in node.input if x and x not in own)
        for attribute in node.attribute:
            for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                taken |= captured_names(body) - own
        own.update(node.output)
    taken.update(v.name for v in graph.output if v.name not in own)
    return taken
