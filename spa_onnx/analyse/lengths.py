"""Where the entries of shape arithmetic come from: which axes' lengths each was computed from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spa_onnx.algebra.expression import Axes
from spa_onnx.graph.node import Node
from spa_onnx.ops.values import Value, evaluate

MOVING = frozenset(
    {"Gather", "Slice", "Squeeze", "Unsqueeze", "Reshape", "Transpose", "Identity", "Cast"}
)
"""Shape arithmetic that chooses or arranges the entries of its first input."""


def followed(
    node: Node, values: Sequence[Value | None], given: Sequence[list[Axes]], result: Value
) -> list[Axes]:
    """Return for every entry of a node's result the axes that it depends on.

    Args:
        node: shape arithmetic.
        values: its known inputs.
        given: for every input the axes of each entry; empty where it depends on none.
        result: its value.
    """
    if not any(given):
        return []
    first = values[0]
    if node.op in MOVING and first is not None and len(given[0]) == first.size:
        places = np.arange(first.size).reshape(first.shape)
        moved = evaluate(node, [places, *values[1:]], None)
        if moved is not None:
            return [given[0][int(k)] for k in moved.flat]
    if node.op == "Concat":
        sizes = [0 if v is None else v.size for v in values]
        return [e for known, n in zip(given, sizes, strict=True) for e in known or [()] * n]
    return [tuple(e for known in given for entry in known for e in entry)] * result.size
