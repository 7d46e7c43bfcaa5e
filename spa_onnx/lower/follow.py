"""What follows a product and can be done by its kernel: biases, norms, a residual, an activation.

x ─ Conv ─ BatchNormalization ─ Add ─ Relu ─ y      becomes      x ─ SparseConv ─ y
                   residual ────┘                         residual ────┘
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spa_onnx.graph.node import Node
from spa_onnx.lower.activations import match_activation
from spa_onnx.lower.layer import Layer, Step
from spa_onnx.lower.view import View
from spa_onnx.runtime.packed_kinds import ValueType


def follow(view: View, layer: Layer, taken: set[int]) -> Layer:
    """Return a layer with the nodes behind it that its kernel can do.

    Args:
        view: of the graph.
        layer: a product.
        taken: nodes that other layers do already.
    """
    layer = _steps(view, layer, taken)
    layer = _residual(view, layer, taken)
    found = match_activation(view, layer.y, layer.values)
    if found is None or taken.intersection(found.nodes):
        return layer
    nodes = layer.nodes + found.nodes
    return replace(layer, nodes=nodes, y=found.result, activation=found.activation)


def _steps(view: View, layer: Layer, taken: set[int]) -> Layer:
    while (node := view.only_reader(layer.y)) is not None and node.index not in taken:
        step = _step(view, layer, node)
        if step is None:
            break
        source = layer.source
        if step.op != "add":
            source = replace(source, scaled_by=(*source.scaled_by, step))
        layer = replace(
            layer,
            nodes=(*layer.nodes, node.index),
            y=node.outputs[0],
            steps=(*layer.steps, step),
            source=source,
        )
    return layer


def _step(view: View, layer: Layer, node: Node) -> Step | None:
    """Return what a node does to each output, if it does no more than that."""
    if node.op == "BatchNormalization" and layer.kind != "linear":
        return _normalise(view, layer, node)
    if node.op not in ("Add", "Mul") or len(node.inputs) != 2:
        return None
    if node.op == "Mul" and layer.kind == "linear":
        return None  # nothing is gained, and weights stay as they are
    other = node.inputs[1 - node.inputs.index(layer.y)]
    if not _is_by_output(view, layer, other):
        return None
    return Step("add" if node.op == "Add" else "multiply", (other,))


def _is_by_output(view: View, layer: Layer, name: str) -> bool:
    """Say whether a stored tensor has one number for each output, or one for all."""
    if not view.is_constant(name) or view.values(name) != layer.values:
        return False
    dims = view.dims(name)
    sizes = view.sizes(layer.y)
    if sizes is None or len(dims) > len(sizes):
        return False
    axis = -1 if layer.kind == "linear" else -3
    if not dims or all(n == 1 for n in dims):
        return True
    return (
        len(dims) >= -axis
        and dims[axis] == layer.shape[0]
        and int(np.prod(dims, dtype=np.int64)) == layer.shape[0]
    )


def _normalise(view: View, layer: Layer, node: Node) -> Step | None:
    tensors = tuple(node.inputs[1:5])
    stored = all(
        view.is_constant(n)
        and view.values(n) in (layer.values, ValueType.FLOAT32)
        and view.dims(n) == layer.shape[:1]
        for n in tensors
    )
    training = node.integer("training_mode", 0) or any(node.outputs[1:])
    if len(tensors) != 4 or not stored or training or node.inputs[0] != layer.y:
        return None
    return Step("normalise", tensors, float(node.attributes.get("epsilon", 1e-5)))


def _residual(view: View, layer: Layer, taken: set[int]) -> Layer:
    node = view.only_reader(layer.y)
    if node is None or node.op != "Add" or node.index in taken or len(node.inputs) != 2:
        return layer
    other = node.inputs[1 - node.inputs.index(layer.y)]
    own, theirs = view.sizes(layer.y), view.sizes(other)
    same = own is not None and theirs is not None and tuple(own) == tuple(theirs)
    if not same or view.values(other) != layer.values or view.state.is_weight(other):
        return layer
    return replace(layer, nodes=(*layer.nodes, node.index), y=node.outputs[0], residual=other)
