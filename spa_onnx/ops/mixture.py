"""Fused mixtures of experts: whole experts with their column of the router, and neurons of experts.

    y = sum over the best k experts e of  gate_e * fc2_e act(fc1_e x)

Removed experts have the lowest logits, so the operator never chooses them.

Source: ONNX Runtime's MoE and QMoE of domain com.microsoft.
"""

from __future__ import annotations

from spa_onnx.algebra.expression import Axes, Expr, size_of
from spa_onnx.algebra.unify import equate, factor
from spa_onnx.ops.rule import Coupling, Mixed, Neutral, Operands, OpRule, RefusalError

X, ROUTER, FC1, FC1_BIAS, FC2, FC2_BIAS, FC3, FC3_BIAS = range(8)
INTERLEAVED, SIDE_BY_SIDE = 1, 2
"""How gates and values of a fused SwiGLU lie in the rows of the first weight."""


def couple_mixture(operands: Operands) -> Coupling:
    """Couple ``fc1 (E, r*inter, hidden)``, ``fc2 (E, hidden, inter)`` and ``router (T, E)``.

    A fused SwiGLU has two rows for every neuron, next to each other or side by side.
    """
    space, x, router = operands.space, operands.axes(X), operands.axes(ROUTER)
    first, second = operands.axes(FC1), operands.axes(FC2)
    experts, hidden, inner = router[-1], x[-1], second[2]
    limit = _chosen(operands, experts)
    rows = _rows(operands, first[1], inner)
    if size_of(first[2]) != size_of(hidden) or size_of(second[1]) != size_of(hidden):
        raise RefusalError("weights in another order than rows before columns")
    shared: list[tuple[int, Axes]] = [
        (FC1, (experts, rows, hidden)),
        (FC1_BIAS, (experts, rows)),
        (FC2, (experts, hidden, inner)),
        (FC2_BIAS, (experts, hidden)),
        (FC3, (experts, inner, hidden)),
        (FC3_BIAS, (experts, inner)),
    ]
    for position, wanted in shared:
        if operands.has(position):
            for e, w in zip(operands.axes(position), wanted, strict=True):
                equate(space, e, w, "weights of experts")
    space.fix(router[0], "tokens of a mixture")
    inner, experts, hidden = map(space.normal, (inner, experts, hidden))
    tokens = tuple(map(space.normal, x[:-1]))
    best = space.fixed(limit)
    return Coupling(
        ((*tokens, hidden),),
        (
            Mixed(X, (len(x) - 1,)),
            Mixed(ROUTER, (1,), Neutral.LOWEST),
            Mixed(FC2, (2,)),
        ),
        produced=(inner, hidden),
        consumed=(hidden, inner, experts),
        work=((*tokens, best, rows, hidden), (*tokens, best, inner, hidden)),
        limits=((experts, limit),),
        kinds=(("experts", experts), ("ffn", inner)),
    )


def _chosen(operands: Operands, experts: Expr) -> int:
    """Return how many experts see each token."""
    if operands.node.integer("use_sparse_mixer", 0):
        raise RefusalError("experts are chosen by a sparse mixer")
    chosen = operands.node.integer("k", 1)
    total = size_of(experts)
    if not isinstance(total, int) or chosen > total:
        raise RefusalError(f"{chosen} of {total} experts")
    return chosen


def _rows(operands: Operands, rows: Expr, inner: Expr) -> Expr:
    """Return the rows of the first weight in terms of neurons."""
    space, count = operands.space, size_of(inner)
    if size_of(rows) == count:
        return inner
    fusion = operands.node.integer("swiglu_fusion", 0)
    if size_of(rows) != 2 * count or fusion not in (INTERLEAVED, SIDE_BY_SIDE):
        raise RefusalError(f"{size_of(rows)} rows for {count} neurons")
    if fusion == INTERLEAVED:
        neuron, side = factor(space, rows, [count, 2])
    else:
        side, neuron = factor(space, rows, [2, count])
    space.fix(side, "gate and value of a neuron")
    equate(space, neuron, inner, "neurons of experts")
    return space.normal(rows)


def couple_quantised_mixture(operands: Operands) -> Coupling:
    """Let whole experts go; lanes inside their packed weights stay."""
    space, x, router = operands.space, operands.axes(X), operands.axes(ROUTER)
    experts = router[-1]
    limit = _chosen(operands, experts)
    for position in range(operands.count):
        if position in (X, ROUTER) or not operands.has(position):
            continue
        axes = operands.axes(position)
        scale_of_all = len(axes) == 1 and size_of(axes[0]) == 1
        if len(axes) == 2 and position == ROUTER_WEIGHTS:
            equate(space, axes[1], experts, "experts")
            space.fix(axes[0], "tokens of a mixture")
        elif not scale_of_all:
            equate(space, axes[0], experts, "experts")
            space.fix_all(axes[1:], "packed weights of experts")
    space.fix_all((*x, router[0]), "packed weights of experts")
    experts = space.normal(experts)
    best = space.fixed(limit)
    weight = tuple(map(space.normal, operands.axes(2)[1:]))
    return Coupling(
        (tuple(map(space.normal, x)),),
        (Mixed(ROUTER, (1,), Neutral.LOWEST),),
        produced=(),
        consumed=(experts,),
        work=((*map(space.normal, x[:-1]), best, *weight),),
        limits=((experts, limit),),
        kinds=(("experts", experts),),
    )


ROUTER_WEIGHTS = 14
"""Position of QMoE's weights for what is chosen, where they differ from what chooses."""

RULES = (
    OpRule("com.microsoft::MoE", couple_mixture),
    OpRule("com.microsoft::QMoE", couple_quantised_mixture),
)
