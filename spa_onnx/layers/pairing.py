"""Products of two activations, ``Y = A B'`` in every entry of a batch: queries with keys.

What such a product sums over are *lanes* of both sides; everything else of a side that is no batch
are its *rows*. Source: ONNX MatMul-13, Gemm-13, Einsum-12, Attention-23; ONNX Runtime's FusedMatMul
and MultiHeadAttention.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from numpy.typing import NDArray

from spa_onnx.algebra.expression import Axes, Expr, size_of
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.graph.node import Node

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Side:
    """How one operand is read.

    Attributes:
        input: its position among the node's inputs.
        order: its axes, those of the batch first, then rows, then the axis of the lanes; counted
            after the split.
        rows: how many of them are rows.
        split: what the last axis is split into, as heads and their widths; empty for nothing.
    """

    input: int
    order: tuple[int, ...]
    rows: int
    split: tuple[int, ...] = ()

    def seen(self, x: Array) -> Array:
        """Return an operand as ``(*batch, rows, lanes)``."""
        if self.split:
            x = x.reshape(*x.shape[:-1], *self.split, -1)
        x = x.transpose(self.order)
        batch = x.ndim - 1 - self.rows
        return x.reshape(*x.shape[:batch], prod(x.shape[batch:-1]), x.shape[-1])


@dataclass(frozen=True, slots=True)
class Pairing:
    """A node that multiplies two activations and sums over lanes of both."""

    node: Node
    left: Side
    right: Side

    @property
    def sides(self) -> tuple[Side, Side]:
        """Return both sides."""
        return self.left, self.right

    @property
    def name(self) -> str:
        """Return the name of the result."""
        found: str = self.node.outputs[0]
        return found

    def source(self, side: Side) -> str:
        """Return the name of an operand."""
        found: str = self.node.inputs[side.input]
        return found


def pairings_of(state: Propagation) -> Iterator[Pairing]:
    """Yield the products of two activations of the main graph, in the order of nodes."""
    for node in state.graph.nodes:
        if node.scope or len(node.inputs) < 2:
            continue
        given = node.inputs[:2]
        axes = [state.axes_of(name) if name else None for name in given]
        if None in axes or any(state.is_weight(name) or name in state.selected for name in given):
            continue
        pairing = pairing_of(node, [len(a or ()) for a in axes])
        if pairing is not None and _batches_meet(pairing, [a or () for a in axes]):
            yield pairing


def lane_axis(side: Side, axes: Axes) -> Expr:
    """Return the axis of an operand that holds its lanes, perhaps with heads in front of them."""
    return axes[-1] if side.split else axes[side.order[-1]]


def _batches_meet(pairing: Pairing, axes: Sequence[Axes]) -> bool:
    """Say whether the axes of the batch are equally long, or one: grouped queries are not."""
    batches = []
    for side, given in zip(pairing.sides, axes, strict=True):
        sizes = [size_of(e) for e in given[:-1]]
        sizes += [*side.split, size_of(given[-1])]
        batches.append([sizes[k] for k in side.order[: -1 - side.rows]])
    pairs = zip(reversed(batches[0]), reversed(batches[1]), strict=False)
    return all(a == b or 1 in (a, b) for a, b in pairs)


def pairing_of(node: Node, ranks: list[int]) -> Pairing | None:
    """Return a node whose first two inputs have these ranks as a pairing; None if it is none."""
    match node.op:
        case "MatMul":
            return _matmul(node, ranks)
        case "Gemm":
            a, b = node.integer("transA", 0), node.integer("transB", 0)
            return _matmul(node, ranks, bool(a), bool(b))
        case "com.microsoft::FusedMatMul" | "com.microsoft::TransposeMatMul":
            if node.integer("transBatchA", 0) or node.integer("transBatchB", 0):
                return None
            a, b = node.integer("transA", 0), node.integer("transB", 0)
            return _matmul(node, ranks, bool(a), bool(b))
        case "Einsum":
            return _einsum(node)
        case "com.microsoft::MultiHeadAttention" if ranks == [3, 3] and not _biased(node):
            heads = (node.integer("num_heads", 1),)
            return Pairing(node, Side(0, (0, 2, 1, 3), 1, heads), Side(1, (0, 2, 1, 3), 1, heads))
        case "Attention" if ranks == [4, 4]:
            whole = (0, 1, 2, 3)
            return Pairing(node, Side(0, whole, 1), Side(1, whole, 1))
        case "Attention" if ranks == [3, 3]:
            return _attention(node)
        case _:
            return None


def _matmul(
    node: Node, ranks: list[int], left_turned: bool = False, right_turned: bool = False
) -> Pairing | None:
    if min(ranks) < 2:
        return None
    a, b = ranks
    left = (*range(a - 2), a - 1, a - 2) if left_turned else tuple(range(a))
    right = tuple(range(b)) if right_turned else (*range(b - 2), b - 1, b - 2)
    return Pairing(node, Side(0, left, 1), Side(1, right, 1))


def _einsum(node: Node) -> Pairing | None:
    """Read two operands with one letter in common that is not in the result."""
    equation = node.text("equation", "").replace(" ", "")
    terms, arrow, result = equation.partition("->")
    parts = terms.split(",")
    if len(parts) != 2 or not arrow or "." in equation:
        return None
    a, b = parts
    lanes = [c for c in a if c in b and c not in result]
    summed = [c for c in a + b if c not in result]
    if len(lanes) != 1 or len(summed) != 2 or len(set(a)) < len(a) or len(set(b)) < len(b):
        return None
    batch = [c for c in a if c in b and c in result]
    sides = []
    for k, part in enumerate(parts):
        rows = [c for c in part if c not in batch and c not in lanes]
        sides.append(Side(k, tuple(part.index(c) for c in batch + rows + lanes), len(rows)))
    return Pairing(node, *sides)


def _biased(node: Node) -> bool:
    """Say whether the operator adds a bias to what it multiplies."""
    return len(node.inputs) > 3 and bool(node.inputs[3])


def _attention(node: Node) -> Pairing | None:
    """Read grouped queries, ``h = kv * rep``, with their key for each of them."""
    heads, kv = node.integer("q_num_heads", 0), node.integer("kv_num_heads", 0)
    if heads < 1 or kv < 1 or heads % kv:
        return None
    left, right = (Side(k, (0, 2, 3, 1, 4), 1, (kv, n)) for k, n in enumerate((heads // kv, 1)))
    return Pairing(node, left, right)
