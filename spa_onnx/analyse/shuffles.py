"""Channel shuffles: Reshape, Transpose, Reshape that only reorder the lanes of one axis.

    x ─ Reshape(..., g, k, ...) ─ Transpose ─ Reshape(..., g*k, ...) ─ y

Followed as factors, ``g*k`` becomes ``k*g``: right where group convolutions want groups. But of a
concatenation it couples the parts, and the parts of parts, until nothing can be cut. Followed as a
permutation every lane is free, and the three nodes become one Gather.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from spa_onnx.algebra.expression import Axes, IntArray, sizes_of
from spa_onnx.algebra.size import Size
from spa_onnx.graph.node import Node
from spa_onnx.normalise.graph import Graph
from spa_onnx.ops.reshaping import target_shape
from spa_onnx.ops.rule import RefusalError
from spa_onnx.ops.values import Value


class Known(Protocol):
    """What is known of a graph while it is walked."""

    graph: Graph

    def axes_of(self, name: str) -> Axes | None:
        """Return a tensor's axes."""
        ...

    def value_of(self, name: str) -> Value | None:
        """Return small known contents."""
        ...


@dataclass(frozen=True, slots=True)
class Shuffle:
    """One channel shuffle.

    Attributes:
        nodes: the three nodes.
        source: tensor that is shuffled.
        result: the shuffled tensor.
        axis: the axis whose lanes are reordered.
        order: position ``k`` of the result holds lane ``order[k]``.
    """

    nodes: tuple[Node, Node, Node]
    source: str
    result: str
    axis: int
    order: IntArray


def find_shuffle(state: Known, first: Node) -> Shuffle | None:
    """Return the shuffle that starts at a node, if there is one."""
    if first.op != "Reshape":
        return None
    second = state.graph.only_consumer(first, "Transpose")
    third = state.graph.only_consumer(second, "Reshape") if second else None
    axes = state.axes_of(first.inputs[0])
    if second is None or third is None or axes is None:
        return None
    sizes = sizes_of(axes)
    try:
        inner = target_shape(sizes, _shape(state, first), bool(first.integer("allowzero", 0)))
        order = second.ints("perm", list(range(len(inner)))[::-1])
        transposed = [inner[k] for k in order]
        final = target_shape(transposed, _shape(state, third), bool(third.integer("allowzero", 0)))
    except (RefusalError, IndexError):
        return None
    found = _reordered_axis(sizes, inner, order) if list(final) == list(sizes) else None
    if found is None:
        return None
    axis, lanes = found
    return Shuffle((first, second, third), first.inputs[0], third.outputs[0], axis, lanes)


def _shape(state: Known, node: Node) -> list[Size]:
    value = state.value_of(node.inputs[1])
    if value is None:
        raise RefusalError("shape unknown so far")
    return list(value.flat) if value.dtype == object else [int(n) for n in value.flat]


def _reordered_axis(
    sizes: Sequence[Size], inner: Sequence[Size], order: Sequence[int]
) -> tuple[int, IntArray] | None:
    """Return the one axis whose factors are transposed, and the new order of its lanes."""
    front = 0
    while front < len(order) and order[front] == front:
        front += 1
    back = 0
    while back < len(order) - front and order[-1 - back] == len(order) - 1 - back:
        back += 1
    end = len(order) - back
    outside = (*inner[:front], *inner[end:])
    if front >= len(sizes) or outside != (*sizes[:front], *sizes[front + 1 :]):
        return None
    factors = [n for n in inner[front:end] if isinstance(n, int)]
    lanes = sizes[front]
    if len(factors) != end - front or not isinstance(lanes, int) or len(factors) < 2:
        return None
    places = np.arange(lanes).reshape(factors).transpose([k - front for k in order[front:end]])
    return front, places.reshape(-1)
