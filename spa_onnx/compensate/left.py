"""Layers behind a cut that a repair leaves as they are cut, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from spa_onnx.analyse.propagate import Propagation
from spa_onnx.graph.node import Node
from spa_onnx.report.report import LeftAsCut

RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
PLAIN = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})


def left_as_cut(
    dense: Propagation,
    behind: Collection[str],
    repaired: Collection[str],
    products: Iterable[tuple[Node, str]],
) -> tuple[LeftAsCut, ...]:
    """Return what is left, by operator and reason, the most frequent first.

    Args:
        dense: the solved dense graph.
        behind: tensors that see the consequences of a cut.
        repaired: outputs of layers that are repaired.
        products: products of activations that are left, and why.
    """
    found = Counter((node.op, why) for node, why in products)
    uses = Counter(name for node in dense.graph.nodes for name in node.inputs)
    for node, coupling in zip(dense.graph.nodes, dense.couplings, strict=True):
        if coupling is None or not coupling.work or node.outputs[0] in repaired:
            continue
        given = [name for name in node.inputs if name]
        weights = [n for n in given if dense.is_weight(n) and len(dense.axes_of(n) or ()) > 1]
        if weights and any(n in behind for n in given if not dense.is_weight(n)):
            found[node.op, _reason(dense, node, weights, uses)] += 1
    return tuple(LeftAsCut(op, count, why) for (op, why), count in found.most_common())


def _reason(dense: Propagation, node: Node, weights: list[str], uses: Counter[str]) -> str:
    makers = {name: n.op for n in dense.graph.nodes for name in n.outputs}
    if node.scope:
        return "inside control flow"
    if node.op in RECURRENT:
        return "recurrent"
    if "Integer" in node.op or node.op.split("::")[-1].startswith("Q"):
        return "quantised"
    if any(makers.get(name, "").endswith("DequantizeLinear") for name in weights):
        return "quantised weights"
    if any(uses[name] > 1 or name in dense.graph.twins for name in weights):
        return "weights that are used more than once"
    if node.text("activation", "") or (node.op.endswith("FusedConv") and len(node.inputs) > 3):
        return "something is fused behind it"
    if node.op in PLAIN:
        return "weights, biases or inputs in a form that is not refitted"
    return "no repair for this operator"
