"""The layers that may become sparse, and those that stay dense with the reason."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from spa_onnx.analyse.propagate import Propagation
from spa_onnx.graph.node import Node
from spa_onnx.layers.find import OPERATORS, Layer, layers_of
from spa_onnx.normalise.graph import Graph
from spa_onnx.sparse.pattern import Pattern


@dataclass(frozen=True, slots=True)
class LeftDense:
    """An operator with weights of its own that stays dense.

    Attributes:
        node: its label.
        weights: their number.
        reason: why.
    """

    node: str
    weights: int
    reason: str


def sparse_layers(
    state: Propagation, patterns: Sequence[Pattern], exclude: Sequence[str]
) -> tuple[dict[str, Layer], list[LeftDense]]:
    """Return by output the layers that one of the patterns fits, and what stays dense."""
    graph = state.graph
    found = {layer.node.outputs[0]: layer for layer in layers_of(graph)}
    chosen: dict[str, Layer] = {}
    dense: list[LeftDense] = []
    for node, weights in _with_weights(state):
        layer = found.get(node.outputs[0])
        why = _reason(node, layer, graph, patterns, exclude)
        if layer is None or why:
            dense.append(LeftDense(node.label, weights, why))
        else:
            chosen[node.outputs[0]] = layer
    return chosen, dense


def _with_weights(state: Propagation) -> Iterator[tuple[Node, int]]:
    """Yield the nodes that multiply by stored matrices, and how many weights these hold."""
    for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
        if not node.outputs or (node.op not in OPERATORS and not (coupling and coupling.work)):
            continue
        tensors = [state.graph.tensors[n] for n in node.inputs if n in state.graph.tensors]
        count = sum(prod(t.dims) for t in tensors if len(t.dims) > 1)
        weights = [n for n in node.inputs if n and state.is_weight(n)]
        if count or (weights and len(state.axes_of(weights[0]) or ()) > 1):
            yield node, count


def _reason(
    node: Node,
    layer: Layer | None,
    graph: Graph,
    patterns: Sequence[Pattern],
    exclude: Sequence[str],
) -> str:
    """Return why a node stays dense; nothing where it need not."""
    names = [node.label, node.proto.name, *node.inputs, *node.outputs]
    if any(fnmatch.fnmatchcase(name, p) for p in exclude for name in names if name):
        return "excluded"
    if layer is None:
        return _no_layer(node, graph)
    if node.op == "ConvTranspose":
        return "transposed convolution"
    if layer.passes_through or not _sums_over_inputs(layer):
        return "depthwise"
    if not any(fits(layer, p) for p in patterns):
        outputs, inputs = outputs_of(layer), inputs_of(layer)
        return f"{outputs} outputs and {inputs} inputs are less than a block of the pattern"
    return ""


def _no_layer(node: Node, graph: Graph) -> str:
    uses = Counter(name for other in graph.nodes for name in other.inputs)
    if node.scope:
        return "inside control flow"
    if node.op not in OPERATORS:
        return "another operator than Conv, Gemm and MatMul"
    if any(uses[n] > 1 or n in graph.captured for n in node.inputs if n in graph.tensors):
        return "weights that are used more than once"
    if node.text("activation", ""):
        return "something is fused behind it"
    return "weights, bias or input in a form that is not read"


def _sums_over_inputs(layer: Layer) -> bool:
    """Say whether a group has more than one input channel; else it is depthwise with a multiple."""
    positions = layer.positions()
    return bool((positions != positions[:, :1]).any()) or len(positions) == 1


def outputs_of(layer: Layer) -> int:
    """Return the outputs of one group."""
    return layer.width // len(layer.positions())


def inputs_of(layer: Layer) -> int:
    """Return the input channels of one group."""
    first = layer.positions()[0]
    return len(set(first.tolist()))


def fits(layer: Layer, pattern: Pattern) -> bool:
    """Say whether a layer holds one whole block."""
    return outputs_of(layer) >= pattern.outputs and inputs_of(layer) >= pattern.inputs


def weights_of(layer: Layer) -> int:
    """Return how many weights a layer has."""
    return layer.width * int(layer.positions().shape[1])
