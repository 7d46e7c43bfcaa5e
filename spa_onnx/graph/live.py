"""Which nodes of a graph anything depends on."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from spa_onnx.graph.tensors import captured_names


def live_nodes(nodes: Sequence[onnx.NodeProto], outputs: set[str]) -> set[int]:
    """Return the positions of nodes that some output depends on."""
    needed, live = set(outputs), set[int]()
    for k in reversed(range(len(nodes))):
        node = nodes[k]
        if needed.intersection(node.output):
            live.add(k)
            needed.update(node.input)
            needed |= _captures(node)
    return live


def _captures(node: onnx.NodeProto) -> set[str]:
    bodies = [a.g for a in node.attribute if a.HasField("g")]
    bodies += [g for a in node.attribute for g in a.graphs]
    return set().union(*map(captured_names, bodies)) if bodies else set()
