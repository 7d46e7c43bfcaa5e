"""Bodies of control flow take and return as many tensors as their node says."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from spa_onnx.errors import GraphError
from spa_onnx.graph.node import Node

NAMES = {"If": ("then_branch", "else_branch"), "Loop": ("body",), "Scan": ("body",)}
"""Attributes that hold the bodies of each operator."""


def check_bodies(node: Node) -> None:
    """Refuse a node whose bodies do not fit it.

    Raises:
        GraphError: a body is missing, or takes or returns another number of tensors.
    """
    bodies = dict(node.branches())
    for name in NAMES[node.op]:
        if name not in bodies:
            raise GraphError(node.label, f"has no {name}", "Repair the graph")
        for what, count, least in _counts(node, bodies[name]):
            if count < least:
                problem = f"{name} {what} {count} tensors where {least} are needed"
                raise GraphError(node.label, problem, "Repair the graph")
    if node.op == "Scan" and not 0 <= node.integer("num_scan_inputs", 0) <= len(node.inputs):
        problem = f"scans {node.integer('num_scan_inputs', 0)} of {len(node.inputs)} inputs"
        raise GraphError(node.label, problem, "Repair the graph")


def _counts(node: Node, body: onnx.GraphProto) -> Iterator[tuple[str, int, int]]:
    """Yield what a body does, with how many tensors, and the least that its node needs."""
    returned, results = len(body.output), len(node.outputs)
    match node.op:
        case "If":
            yield "returns", returned, results
        case "Loop":
            yield "takes", len(body.input), len(node.inputs)
            yield "returns", returned, max(results + 1, len(node.inputs) - 1)
        case _:
            states = len(node.inputs) - node.integer("num_scan_inputs", 0)
            yield "takes", len(body.input), len(node.inputs)
            yield "returns", returned, max(results, states)
