"""Which dims can be cut, together with what, and in which rows freely.

A dim is prunable if it is free, longer than one, *produced* by a weight and *consumed* by a
contraction. Of the factors of one product only one is chosen, or a ratio would apply twice to the
same axis. A chosen dim may keep different lanes in every row of another factor where nothing ties
the rows together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from spa_onnx.algebra.expression import (
    Dim,
    Expr,
    Fixed,
    dims_in,
    size_of,
)
from spa_onnx.algebra.reason import Reason
from spa_onnx.algebra.size import Polynomial, terms_of
from spa_onnx.analyse.factors import choose_factors, removed_by_halving
from spa_onnx.analyse.kinds import kinds_of_dims
from spa_onnx.analyse.lane_numbers import least_lanes
from spa_onnx.analyse.members import Member, excluded_dims, members_of, stable_name
from spa_onnx.analyse.propagate import InputShapes, Propagation, propagate
from spa_onnx.analyse.rows import uneven_rows
from spa_onnx.cost.polynomial import costs
from spa_onnx.granularity import KINDS, Kind, chosen_kinds
from spa_onnx.normalise.graph import Graph
from spa_onnx.ops.rule import Mixed


@dataclass(frozen=True, slots=True)
class PrunableDim:
    """A dim that a plan may cut.

    Attributes:
        dim: the lanes.
        rows: the dim in each of whose lanes other lanes of ``dim`` may stay; None if tied.
        members: every initializer axis that holds the lanes.
        name: stable name, from the tensor axis where the dim first appeared.
        kind: what the lanes are to somebody who knows the architecture.
        least: how many lanes must stay, for something chooses so many of them.
    """

    dim: Dim
    rows: Dim | None
    members: tuple[Member, ...]
    name: str
    kind: Kind
    least: int = 1


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
        spared: dims that could be cut as well, but are another factor of a product of which one is
            cut, or of a kind that was not asked for.
    """

    propagation: Propagation
    dims: tuple[PrunableDim, ...]
    fixed: tuple[FixedAxis, ...]
    unmatched: tuple[str, ...] = ()
    spared: tuple[PrunableDim, ...] = ()

    def kinds(self) -> dict[Kind, int]:
        """Return how many dims of each kind could be cut, asked for or not."""
        found = [d.kind for d in (*self.dims, *self.spared)]
        return {kind: found.count(kind) for kind in KINDS if kind in found}


def analyse(
    graph: Graph,
    input_shapes: InputShapes,
    exclude: Iterable[str] = (),
    rigid: frozenset[str] = frozenset(),
    granularity: Sequence[str] = (),
) -> Analysis:
    """Return what can be cut of a graph.

    Where channels are shuffled, both readings of a shuffle are tried and the one kept that lets
    half of every dim take more parameters with it.
    """
    kinds = chosen_kinds(granularity)
    first = choose_dims(propagate(graph, input_shapes, rigid=rigid), exclude, kinds)
    if not first.propagation.shuffles:
        return first
    permuted = propagate(graph, input_shapes, rigid=rigid, permute=True)
    second = choose_dims(permuted, exclude, kinds)
    return max((first, second), key=_halved)


def _halved(analysis: Analysis) -> float:
    dims = [d.dim for d in analysis.dims]
    return removed_by_halving(dims, costs(analysis.propagation, dims, {}).parameters)


def choose_dims(
    state: Propagation,
    exclude: Iterable[str] = (),
    kinds: frozenset[Kind] = frozenset(KINDS),
) -> Analysis:
    """Return the prunable dims of a solved graph.

    Args:
        state: the solved graph.
        exclude: shell patterns; a dim with a member, node or dim name that matches one stays whole.
        kinds: dims of other kinds stay whole; the choice among factors is made after this one.
    """
    _fix_unknown_lengths(state)
    least = least_lanes(state)
    members = members_of(state)
    matched = {pattern: excluded_dims(state, members, pattern) for pattern in exclude}
    excluded = set[Dim]().union(*filter(None, matched.values()))
    made, used = _dims_of(state, "produced"), _dims_of(state, "consumed")
    prunable = {d for d in members if d in made and d in used and d not in excluded}
    kind = kinds_of_dims(state, prunable)
    stream = {d for d in prunable if kind[d] == "residual"}
    chosen = choose_factors(state, {d for d in prunable if kind[d] in kinds}, stream)
    rows = uneven_rows(state, prunable, chosen)
    dims = [
        PrunableDim(d, rows.get(d), tuple(members[d]), stable_name(d), kind[d], least.get(d, 1))
        for d in sorted(prunable, key=lambda d: d.index)
    ]
    unmatched = tuple(p for p, found in matched.items() if found is None)
    whole = {
        d: f"{k} lanes, left whole by the granularity" for d, k in kind.items() if k not in kinds
    }
    whole |= dict.fromkeys(excluded, "excluded by a pattern")
    return Analysis(
        state,
        tuple(d for d in dims if d.dim in chosen),
        _fixed_axes(state, members, made, used, whole),
        unmatched,
        tuple(d for d in dims if d.dim not in chosen),
    )


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
    whole: Mapping[Dim, str],
) -> tuple[FixedAxis, ...]:
    found = []
    for name, tensor in state.graph.tensors.items():
        if name not in state.axes or prod(tensor.dims) < 2:
            continue
        original = state.axes[name] or ()
        for k, e in enumerate(state.axes_of(name) or ()):
            free = dims_in(e)
            if tensor.dims[k] < 2 or any(d in made & used and d not in whole for d in free):
                continue
            reasons = state.space.reasons(original[k])
            for d in free:
                where = f"dim {d.name}"
                if d in whole:
                    reasons.append(Reason(where, whole[d]))
                elif d not in made:
                    reasons.append(Reason(where, "no weight produces these lanes"))
                elif d not in used:
                    reasons.append(Reason(where, "no contraction consumes these lanes"))
            found.append(FixedAxis(name, k, tensor.dims[k], prod(tensor.dims), tuple(reasons)))
    return tuple(sorted(found, key=lambda f: -f.parameters))
