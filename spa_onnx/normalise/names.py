"""Unique names: two branches of an If may call different tensors the same."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from spa_onnx.graph.tensors import all_graphs


def make_names_unique(graph: onnx.GraphProto) -> None:
    """Rename tensors inside control flow that share a name with one of another scope, in place."""
    bodies = list(all_graphs(graph))[1:]
    if not bodies:
        return
    taken = _made(graph)
    _rename(graph, {}, taken, top=True)


def _made(graph: onnx.GraphProto) -> set[str]:
    names = {t.name for t in graph.initializer} | {v.name for v in graph.input}
    return names.union(*(node.output for node in graph.node)) - {""}


def _rename(
    graph: onnx.GraphProto, outer: Mapping[str, str], taken: set[str], *, top: bool
) -> None:
    names = dict(outer)
    if not top:
        for name in sorted(_made(graph)):
            names[name] = _unique(name, taken)
    for node in graph.node:
        for field in (node.input, node.output):
            for k, name in enumerate(field):
                if names.get(name, name) != name:
                    field[k] = names[name]
        for attribute in node.attribute:
            for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _rename(body, names, taken, top=False)
    for field in (graph.initializer, graph.input, graph.output, graph.value_info):
        for entry in field:
            if names.get(entry.name, entry.name) != entry.name:
                entry.name = names[entry.name]


def _unique(name: str, taken: set[str]) -> str:
    candidate, k = name, 1
    while candidate in taken:
        k += 1
        candidate = f"{name}_{k}"
    taken.add(candidate)
    return candidate
