"""What the lanes of a dim are to a person: a kind, told by the contractions around it.

In this order, the first that fits:

    residual    a block reads these lanes and adds its result back (:mod:`.streams`); most of what
                makes them is no convolution, or a layer norm reads them
    heads       lanes that attention runs over one by one (:mod:`.attention_lanes`)
    head-dims   lanes of one head, of queries and keys or of values
    experts     lanes that stand beside other made lanes in a weight, one matrix for each, while a
                router, a weight without such company, makes them as well; or lanes of which the
                best are chosen by number
    ffn         only MatMul, Gemm or Einsum make these lanes, and one of these sums over them
    channels    all others: of convolutions, embeddings, recurrent states

Names and patterns of nodes play no part, so an export of any framework is read alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from spa_onnx.algebra.expression import Dim, Expr, Factor, dims_in, size_of, sole_factor
from spa_onnx.analyse.attention_lanes import attention_lanes
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.analyse.streams import is_convolution, residual_dims
from spa_onnx.granularity import Kind

RECURRENT = frozenset({"LSTM", "GRU", "RNN"})


def kinds_of_dims(state: Propagation, prunable: Iterable[Dim]) -> dict[Dim, Kind]:
    """Return the kind of every prunable dim."""
    wanted = frozenset(prunable)
    held = {
        name: frozenset(d for e in axes for d in dims_in(e)) & wanted
        for name in state.axes
        if (axes := state.axes_of(name))
    }
    matrices = plain_weights(state)
    residual = residual_dims(state, held, matrices)
    attention = attention_lanes(state, held, matrices)
    named = _named(state)
    experts, ffn = _experts(state, matrices), _matrix_lanes(state)

    def kind(dim: Dim) -> Kind:
        if dim in residual:
            return "residual"
        if dim in named:
            return named[dim]
        if dim in attention.heads:
            return "heads"
        if dim in attention.widths:
            return "head-dims"
        if dim in experts:
            return "experts"
        return "ffn" if dim in ffn else "channels"

    return {dim: kind(dim) for dim in wanted}


def _named(state: Propagation) -> dict[Dim, Kind]:
    """Return what the rules of fused operators call their lanes."""
    found: dict[Dim, Kind] = {}
    for coupling in state.couplings:
        for kind, e in coupling.kinds if coupling else ():
            for dim in dims_in(state.space.normal(e)):
                found.setdefault(dim, kind)
    return found


def _matrix_lanes(state: Propagation) -> set[Dim]:
    """Return dims that only matrix products make and that one sums over."""
    made: Counter[Dim] = Counter()
    made_otherwise: set[Dim] = set()
    summed: set[Dim] = set()
    for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
        if coupling is None:
            continue
        plain = bool(coupling.work) and not is_convolution(node) and node.op not in RECURRENT
        if coupling.reads:
            continue  # a weight that was made elsewhere; its products come later
        for dim in _dims(state, coupling.produced):
            if plain:
                made[dim] += 1
            else:
                made_otherwise.add(dim)
        if plain and coupling.produced:
            summed |= _dims(state, coupling.consumed)
    return set(made) & summed - made_otherwise


def plain_weights(state: Propagation) -> frozenset[str]:
    """Return weights that no contraction made: not queries that are computed from learnt ones."""
    computed: set[str] = set()
    for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
        contracts = coupling is not None and bool(coupling.work)
        given = node.inputs[:1] if state.selected.keys() >= set(node.outputs) else node.inputs
        if contracts or not computed.isdisjoint(given):
            computed.update(node.outputs)
    return frozenset({*state.graph.tensors, *state.weights, *state.selected} - computed)


def _experts(state: Propagation, matrices: frozenset[str]) -> set[Dim]:
    beside: set[Dim] = set()
    routed: set[Factor | None] = set()
    for free, _ in weight_sides(state, matrices):
        if len(free) > 1:
            beside.update(d for e in free for d in dims_in(e))
        else:
            routed.update(sole_factor(e) for e in free)
    chosen = {d for e in state.numbers.values() for d in dims_in(state.space.normal(e))}
    return {d for d in beside if d in routed} | chosen


def weight_sides(
    state: Propagation, matrices: frozenset[str]
) -> Iterator[tuple[list[Expr], list[Expr]]]:
    """Yield for every weight of a contraction the axes that stay and those that are summed over.

    Axes of length one do not count, nor what a recurrence makes and sums over. A weight that lane
    numbers chose stands for all there are.
    """
    for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
        if coupling is None or not coupling.work or not coupling.produced:
            continue
        bare = state.space.bare
        summed = set(map(bare, coupling.consumed))
        result = {bare(e) for y in node.outputs for e in state.axes_of(y) or ()}
        for name in filter(matrices.__contains__, dict.fromkeys(node.inputs)):
            axes = [bare(e) for e in state.axes_of(name) or () if size_of(e) != 1]
            if len(axes) > 1:
                chosen = [state.space.normal(e) for e in state.selected.get(name, ())]
                open_axes = [e for e in axes if dims_in(e)]  # fixed ones may agree by chance
                inner = [e for e in open_axes if e in summed and e not in result]
                free = [e for e in open_axes if e in result and e not in summed]
                yield free + chosen, inner + chosen


def _dims(state: Propagation, exprs: Iterable[Expr]) -> set[Dim]:
    return {d for e in exprs for d in dims_in(state.space.normal(e))}
