"""Nodes in an order in which inputs exist before they are read; sorted files stay as they are."""

from __future__ import annotations

from collections import Counter

import onnx

from spa_onnx.errors import GraphError
from spa_onnx.graph.tensors import all_graphs, captured_names


def sort_nodes(model: onnx.ModelProto) -> None:
    """Sort the nodes of every graph of a model in place, as ONNX Runtime does when it loads one.

    Raises:
        GraphError: nodes depend on each other in a circle, or a name is made twice.
    """
    for graph in all_graphs(model.graph):
        _sort(graph)


def _sort(graph: onnx.GraphProto) -> None:
    _check_names(graph)
    makers = {name: k for k, node in enumerate(graph.node) for name in node.output if name}
    needs = [_needs(node, makers) for node in graph.node]
    if all(max(need, default=-1) < k for k, need in enumerate(needs)):
        return
    order: list[int] = []
    done: set[int] = set()
    for start in range(len(graph.node)):
        _visit(start, needs, done, order, graph)
    sorted_nodes = [onnx.NodeProto.FromString(graph.node[k].SerializeToString()) for k in order]
    del graph.node[:]
    graph.node.extend(sorted_nodes)


def _check_names(graph: onnx.GraphProto) -> None:
    weights = [t.name for t in graph.initializer]
    for name, count in Counter(weights).items():
        if count > 1:
            problem = f"initializer {name!r} exists more than once"
            raise GraphError("graph", problem, "Names must be unique; repair the graph")
    known = {v.name for v in graph.input}.union(weights)
    for node in graph.node:
        for name in filter(None, node.output):
            if name in known:
                label = f"{node.op_type} '{node.name or name}'"
                problem = f"output {name!r} exists already"
                raise GraphError(label, problem, "Names must be unique; repair the graph")
            known.add(name)


def _needs(node: onnx.NodeProto, makers: dict[str, int]) -> set[int]:
    names = set(node.input)
    for attribute in node.attribute:
        for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            names |= captured_names(body)
    return {makers[name] for name in names if name in makers}


def _visit(
    start: int, needs: list[set[int]], done: set[int], order: list[int], graph: onnx.GraphProto
) -> None:
    """Append a node behind everything that it needs; depth first, without recursion."""
    stack, open_nodes = [start], set[int]()
    while stack:
        k = stack[-1]
        if k in done:
            stack.pop()
            continue
        missing = sorted(needs[k] - done)
        if not missing:
            stack.pop()
            open_nodes.discard(k)
            done.add(k)
            order.append(k)
            continue
        if k in open_nodes and missing[0] in open_nodes:
            node = graph.node[k]
            problem = "depends on its own result"
            raise GraphError(f"{node.op_type} '{node.name}'", problem, "Repair the graph")
        open_nodes.add(k)
        stack.append(missing[0])
