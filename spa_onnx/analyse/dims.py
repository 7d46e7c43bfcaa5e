"""Which dims can be cut, together with what, and in which rows freely.

A dim is prunable if it is free, longer than one, *produced* by a weight and *consumed* by a
contraction. Of the factors of one product only one is chosen, or a ratio would apply twice to the
same axis. A chosen dim may keep different lanes in every row of a dim to its left where nothing
ties the rows together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod
from typing import Literal

from spa_onnx.algebra.expression import (
    Dim,
    Expr,
    Fixed,
    dims_in,
    size_of,
)
from spa_onnx.algebra.size import Polynomial, terms_of
from spa_onnx.algebra.space import Reason
from spa_onnx.analyse.factors import choose_factors, removed_by_halving
from spa_onnx.analyse.propagate import InputShapes, Propagation, propagate
from spa_onnx.analyse.rows import uneven_rows
from spa_onnx.cost.polynomial import costs
from spa_onnx.graph.node import BodyEntry, Node
from spa_onnx.normalise.graph import Graph
from spa_onnx.ops.rule import Mixed

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


@dataclass(frozen=True, slots=True)
class PrunableDim:
    """A dim that a plan may cut.

    Attributes:
        dim: the lanes.
        rows: the dim in each of whose lanes other lanes of ``dim`` may stay; None if tied.
        members: every initializer axis that holds the lanes.
        name: stable name, from the tensor axis where the dim first appeared.
    """

    dim: Dim
    rows: Dim | None
    members: tuple[Member, ...]
    name: str


@dataclass(frozen=True, slots=True)
class FixedAxis:
    """A weight axis of which nothing can be cut, and why."""

    tensor: str
    axis: int
    size: int
    parameters: int
    reasons: tuple[Reason, ...]


@dataclass(slots=True)
class Analysis:
    """What the coupling analysis found.

    Attributes:
        propagation: axes, values and couplings.
        dims: what may be cut.
        fixed: weight axes that may not, heaviest first.
        unmatched: exclusion patterns that name nothing in the model.
    """

    propagation: Propagation
    dims: tuple[PrunableDim, ...]
    fixed: tuple[FixedAxis, ...]
    unmatched: tuple[str, ...] = ()


def analyse(
    graph: Graph,
    input_shapes: InputShapes,
    exclude: Iterable[str] = (),
    rigid: frozenset[str] = frozenset(),
) -> Analysis:
    """Return what can be cut of a graph.

    Where channels are shuffled, both readings of a shuffle are tried and the one kept that lets
    half of every dim take more parameters with it.
    """
    first = choose_dims(propagate(graph, input_shapes, rigid=rigid), exclude)
    if not first.propagation.shuffles:
        return first
    second = choose_dims(propagate(graph, input_shapes, rigid=rigid, permute=True), exclude)
    return max((first, second), key=_halved)


def _halved(analysis: Analysis) -> float:
    dims = [d.dim for d in analysis.dims]
    return removed_by_halving(dims, costs(analysis.propagation, dims, {}).parameters)


def choose_dims(state: Propagation, exclude: Iterable[str] = ()) -> Analysis:
    """Return the prunable dims of a solved graph.

    Args:
        state: the solved graph.
        exclude: shell patterns; a dim with a member, node or dim name that matches one stays whole.
    """
    _fix_unknown_lengths(state)
    members = _members(state)
    matched = {pattern: _excluded(state, members, pattern) for pattern in exclude}
    excluded = set[Dim]().union(*filter(None, matched.values()))
    made, used = _dims_of(state, "produced"), _dims_of(state, "consumed")
    prunable = {d for d in members if d in made and d in used and d not in excluded}
    chosen = choose_factors(state, prunable)
    rows = uneven_rows(state, prunable, chosen)
    dims = tuple(
        PrunableDim(d, rows.get(d), tuple(members[d]), stable_name(d))
        for d in sorted(chosen, key=lambda d: d.index)
    )
    fixed = _fixed_axes(state, members, made, used, excluded)
    return Analysis(state, dims, fixed, tuple(p for p, found in matched.items() if found is None))


def stable_name(dim: Dim) -> str:
    """Return the name by which plans and users know a dim."""
    return f"{dim.name}#{dim.index}"


def _fix_unknown_lengths(state: Propagation) -> None:
    """Fix lanes multiplied with a length that no input determines: they could not be masked."""
    known = {
        name
        for entry in state.graph.inputs
        for e in state.axes.get(entry.name) or ()
        for monomial, _ in terms_of(size_of(e))
        for name in monomial
    }
    for coupling, node in zip(state.couplings, state.graph.nodes, strict=True):
        for mixed in coupling.mixed if coupling else ():
            axes = state.axes_of(node.inputs[mixed.input]) or ()
            for k in mixed.axes:
                _fix_unless_known(state, axes[k], known, node.label, mixed)


def _fix_unless_known(
    state: Propagation, expr: Expr, known: set[str], label: str, mixed: Mixed
) -> None:
    symbols = {
        name
        for term in expr
        for f in term
        if isinstance(f, Fixed) and isinstance(f.size, Polynomial)
        for monomial, _ in terms_of(f.size)
        for name in monomial
    }
    if symbols - known:
        state.space.where = label
        state.space.fix(expr, f"{mixed.neutral.value} over lanes times a run-time length")


def _members(state: Propagation) -> dict[Dim, list[Member]]:
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
            for role, exprs in (("consumes", coupling.consumed), ("produces", coupling.produced)):
                for e in exprs:
                    for dim in dims_in(state.space.normal(e)):
                        roles.setdefault((name, dim), role)  # type: ignore[arg-type]
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


def _excluded(
    state: Propagation, members: Mapping[Dim, list[Member]], pattern: str
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


def _dims_of(state: Propagation, side: Literal["produced", "consumed"]) -> set[Dim]:
    return {
        dim
        for coupling in state.couplings
        if coupling is not None
        for e in getattr(coupling, side)
        for dim in dims_in(state.space.normal(e))
    }


# -- what stays ---------------------------------------------------------------------------------


def _fixed_axes(
    state: Propagation,
    members: Mapping[Dim, list[Member]],
    made: set[Dim],
    used: set[Dim],
    excluded: set[Dim],
) -> tuple[FixedAxis, ...]:
    found = []
    for name, tensor in state.graph.tensors.items():
        if name not in state.axes or prod(tensor.dims) < 2:
            continue
        original = state.axes[name] or ()
        for k, e in enumerate(state.axes_of(name) or ()):
            free = dims_in(e)
            if tensor.dims[k] < 2 or any(d in made & used and d not in excluded for d in free):
                continue
            reasons = state.space.reasons(original[k])
            for d in free:
                where = f"dim {d.name}"
                if d in excluded:
                    reasons.append(Reason(where, "excluded by a pattern"))
                elif d not in made:
                    reasons.append(Reason(where, "no weight produces these lanes"))
                elif d not in used:
                    reasons.append(Reason(where, "no contraction consumes these lanes"))
            found.append(FixedAxis(name, k, tensor.dims[k], prod(tensor.dims), tuple(reasons)))
    return tuple(sorted(found, key=lambda f: -f.parameters))
