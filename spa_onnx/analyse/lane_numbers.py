"""Tensors whose values are lane numbers of a dim: what TopK or ArgMax found along it.

    x (..., e) ─ TopK ─ indices ─ Gather(weight (e, ...)) ─ y

Where lanes of ``e`` go, TopK finds the same lanes under their new numbers, since removed ones never
win. So the numbers stay right as long as whoever reads them looks them up along ``e`` again. Such
rules say that they do; operators that only move elements pass the numbers on; whatever else sees
them fixes ``e``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from onnx import TensorProto

from spa_onnx.algebra.expression import Axes, Dim, Expr, is_fixed, sole_factor
from spa_onnx.algebra.space import Space
from spa_onnx.graph.node import BodyEntry, Node
from spa_onnx.graph.tensors import captured_names
from spa_onnx.normalise.graph import CONTROL_FLOW, Graph
from spa_onnx.ops.rule import Coupling

MOVING = frozenset(
    (
        *("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"),
        *("Slice", "Split", "Expand", "Gather", "GatherElements"),
    )
)
"""Operators whose output holds elements of their first input, as they are."""

INTEGERS = frozenset({TensorProto.INT32, TensorProto.INT64})


class Numbered(Protocol):
    """What is known of lane numbers while a graph is walked."""

    graph: Graph
    space: Space
    numbers: dict[str, Expr]
    couplings: list[Coupling | None]
    selected: dict[str, Axes]

    def is_weight(self, name: str) -> bool:
        """Say whether a tensor depends on initializers only."""
        ...


def follow_numbers(state: Numbered, node: Node, coupling: Coupling | None) -> None:
    """Pass lane numbers through a node, or fix the lanes that they name."""
    read = coupling.reads if coupling else frozenset[int]()
    for position, name in enumerate(node.inputs):
        if name not in state.numbers or position in read:
            continue
        if position == 0 and coupling is not None and _moves(node):
            state.numbers.update(dict.fromkeys(node.outputs, state.numbers[name]))
        else:
            state.space.fix(state.numbers[name], "the numbers of chosen lanes are read as data")
    for position, e in coupling.numbers if coupling else ():
        if not is_fixed(state.space.normal(e)):
            state.numbers[node.outputs[position]] = e
    followed = isinstance(node, BodyEntry) or node.op in CONTROL_FLOW
    for body in node.bodies():
        fix_numbers(state, [v.name for v in body.output])
        fix_numbers(state, () if followed else captured_names(body))


def chosen_axes(state: Numbered, node: Node, coupling: Coupling | None) -> Axes:
    """Return the axes that a node chooses weights from by lane numbers; () if it does not.

    What arranges such weights passes the axes on.
    """
    if coupling is None or coupling.work or not node.inputs:
        return ()
    if coupling.reads and coupling.produced:
        return coupling.consumed
    given = [name for name in node.inputs if name and not state.is_weight(name)]
    if not given or any(name not in state.selected for name in given):
        return ()
    return tuple(dict.fromkeys(e for name in given for e in state.selected[name]))


def fix_numbers(state: Numbered, names: Iterable[str]) -> None:
    """Fix lanes whose numbers leave what can be followed."""
    for name in names:
        if name in state.numbers:
            state.space.fix(state.numbers[name], "the numbers of chosen lanes are a result")


def _moves(node: Node) -> bool:
    return node.op in MOVING or (node.op == "Cast" and node.integer("to", 0) in INTEGERS)


def least_lanes(state: Numbered) -> dict[Dim, int]:
    """Return how many lanes must stay of each dim that something chooses among.

    Lanes that are composed or coupled with each other cannot keep to a limit and become fixed.
    """
    found: dict[Dim, int] = {}
    space = state.space
    for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
        space.where = node.label
        for e, least in coupling.limits if coupling else ():
            dim = sole_factor(space.normal(e))
            if isinstance(dim, Dim) and least < dim.size and space.orbits(dim) is None:
                found[dim] = max(least, found.get(dim, 1))
            else:
                space.fix(e, f"the best {least} are chosen, of lanes that are several dims")
    return {dim: least for dim, least in found.items() if space.is_free(dim)}
