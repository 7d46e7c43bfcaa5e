"""Which weights a dim runs along, what they do with its lanes, and how users name it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from spa_onnx.algebra.expression import Axes, Dim, dims_in
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.graph.node import BodyEntry, Node

Role = Literal["produces", "consumes", "follows"]


@dataclass(frozen=True, slots=True)
class Member:
    """One axis of one initializer that a dim runs along.

    Attributes:
        role: whether a contraction's weight makes the lanes, sums over them, or the tensor only
            follows (bias, scale, statistics, tables).
    """

    tensor: str
    axis: int
    role: Role


def stable_name(dim: Dim) -> str:
    """Return the name by which plans and users know a dim."""
    return f"{dim.name}#{dim.index}"


def members_of(state: Propagation) -> dict[Dim, list[Member]]:
    """Return for every dim the axes of initializers, and of generated weights, that hold it."""
    roles = _roles(state)
    found: dict[Dim, list[Member]] = defaultdict(list)
    for name in (*state.graph.tensors, *state.generated):
        if name not in state.axes:
            continue
        for k, e in enumerate(state.axes_of(name) or ()):
            for dim in dict.fromkeys(dims_in(e)):
                found[dim].append(Member(name, k, roles.get((name, dim), "follows")))
    return found


def _roles(state: Propagation) -> dict[tuple[str, Dim], Role]:
    """Return which initializer makes or sums over a dim, seen through transposes and casts."""
    makers = {name: node for node in state.graph.nodes for name in node.outputs}
    roles: dict[tuple[str, Dim], Role] = {}
    for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
        if coupling is None or not (coupling.produced or coupling.consumed):
            continue
        for name in filter(state.is_weight, node.inputs[:3]):
            while (
                name not in state.graph.tensors and name in makers and name not in state.generated
            ):
                name = _source(makers[name], name)
            sides: tuple[tuple[Role, Axes], ...] = (
                ("consumes", coupling.consumed),
                ("produces", coupling.produced),
            )
            for role, exprs in sides:
                for e in exprs:
                    for dim in dims_in(state.space.normal(e)):
                        roles.setdefault((name, dim), role)
    matrices = {
        n for n in (*state.graph.tensors, *state.generated) if len(state.axes.get(n) or ()) > 1
    }
    return {key: role for key, role in roles.items() if key[0] in matrices}


def _source(maker: Node, name: str) -> str:
    """Return the tensor that a weight is made of: its node's first input, or what enters a body."""
    if isinstance(maker, BodyEntry):
        outer: str = maker.inputs[maker.outputs.index(name)]
        return outer
    return next(filter(None, maker.inputs), "")


def excluded_dims(
    state: Propagation, members: Mapping[Dim, Sequence[Member]], pattern: str
) -> set[Dim] | None:
    """Return the dims of tensors, nodes and dims that a pattern names; None if it names nothing."""

    def matches(name: str) -> bool:
        return name == pattern or fnmatchcase(name, pattern)

    found = {
        d
        for d, ms in members.items()
        if matches(d.name) or matches(stable_name(d)) or any(matches(m.tensor) for m in ms)
    }
    named = bool(found)
    for node in state.graph.nodes:
        if matches(node.proto.name) or any(map(matches, node.outputs)):
            named = True
            for name in (*node.inputs, *node.outputs):
                found.update(d for e in state.axes_of(name) or () for d in dims_in(e))
    return found if named else None
