"""Expand, Tile, ConstantOfShape: new extents are fresh dims, so they can follow what they meet.

Source: ONNX Expand-13, Tile-13, ConstantOfShape-25, EyeLike-22, Range-11.
"""

from __future__ import annotations

from math import ceil

from spa_onnx.algebra.expression import ONE, Expr, size_of
from spa_onnx.algebra.size import Size, symbol
from spa_onnx.ops.rule import Coupling, Lanes, Operands, OpRule, RefusalError, Resized


def couple_expand(operands: Operands) -> Coupling:
    """Broadcast to a shape: axes of length one grow by a fresh dim."""
    x, asked = operands.axes(0), operands.sizes(1)
    rank = max(len(x), len(asked))
    aligned = (*(ONE for _ in range(rank - len(x))), *x)
    wanted: list[Size] = [*(1 for _ in range(rank - len(asked))), *asked]
    fresh = operands.space.dim
    y: list[Expr] = [
        fresh(n, f"expanded by {operands.node.label}") if size_of(e) == 1 else e
        for e, n in zip(aligned, wanted, strict=True)
    ]

    def resize(kept: Lanes) -> Resized:
        lengths = [
            n if n == 1 or kept.length(e) == size_of(e) else kept.length(e)
            for n, e in zip(wanted, y, strict=True)
        ]
        return Resized(inputs={1: lengths[rank - len(asked) :]})

    return Coupling((tuple(y),), resize=resize)


def couple_tile(operands: Operands) -> Coupling:
    """Repeat whole axes: ``Y = r * X`` with a fresh dim ``r``."""
    x, repeats = operands.axes(0), operands.sizes(1)
    if len(repeats) != len(x):
        raise RefusalError(f"{len(repeats)} repeats for rank {len(x)}")
    counts = [operands.space.dim(n, f"repeated by {operands.node.label}") for n in repeats]
    y = tuple(operands.space.product([r, e]) for r, e in zip(counts, x, strict=True))

    def resize(kept: Lanes) -> Resized:
        return Resized(inputs={1: [kept.length(r) for r in counts]})

    return Coupling((y,), resize=resize)


def couple_constant_of_shape(operands: Operands) -> Coupling:
    """Fill a tensor: every axis is a fresh dim."""
    name = f"filled by {operands.node.label}"
    y = tuple(operands.space.dim(n, name) for n in operands.sizes(0))

    def resize(kept: Lanes) -> Resized:
        return Resized(inputs={0: [kept.length(e) for e in y]})

    return Coupling((y,), resize=resize)


def couple_eye_like(operands: Operands) -> Coupling:
    """Fix both axes of an identity matrix."""
    operands.space.fix_all(operands.axes(0), "shape of an identity matrix")
    return Coupling((tuple(map(operands.space.normal, operands.axes(0))),))


def couple_triangle(operands: Operands) -> Coupling:
    """Fix rows and columns of which a triangle is kept; batch axes pass."""
    x = operands.axes(0)
    operands.space.fix_all(x[-2:], "a triangle of it is kept")
    return Coupling((tuple(map(operands.space.normal, x)),))


def couple_one_hot(operands: Operands) -> Coupling:
    """Insert an axis of as many lanes as there are classes; of lane numbers, their own axis."""
    indices = operands.axes(0)
    rank = len(indices) + 1
    axis = operands.node.integer("axis", -1) % rank
    try:
        depth = operands.sizes(1)[0]
    except RefusalError:
        depth = symbol(f"classes of {operands.node.outputs[0]}")
    operands.space.fix_all((*indices, *operands.axes(2)), "class numbers")
    normal = tuple(map(operands.space.normal, indices))
    counted = operands.numbers(0)
    if counted is None or size_of(counted) != depth:
        return Coupling(
            ((*normal[:axis], operands.space.fixed(depth, "class numbers"), *normal[axis:]),)
        )
    lanes = operands.space.normal(counted)

    def resize(kept: Lanes) -> Resized:
        unchanged = kept.length(lanes) == depth
        return Resized() if unchanged else Resized(inputs={1: [kept.length(lanes)]})

    y = (*normal[:axis], lanes, *normal[axis:])
    return Coupling((y,), resize=resize, reads=frozenset({0}))


def couple_range(operands: Operands) -> Coupling:
    """Count from start to limit: a dynamic limit gives a dynamic length."""
    unknown = symbol(f"length of {operands.node.outputs[0]}")

    def counted(length: Size) -> Coupling:
        return Coupling(((operands.space.fixed(length, "numbers up to a limit"),),))

    known = [operands.constant(k) for k in range(3)]
    if all(value is not None for value in known):
        start, limit, step = (float(value.reshape(-1)[0]) for value in known if value is not None)
        return counted(max(0, ceil((limit - start) / step)) if step else 0)
    try:
        first, last, by = (operands.sizes(k)[0] for k in range(3))
    except RefusalError:
        return counted(unknown)
    return counted(last - first if by == 1 else unknown)


RULES = (
    OpRule("Range", couple_range, frozenset({0, 1, 2})),
    OpRule("Expand", couple_expand, frozenset({1})),
    OpRule("Tile", couple_tile, frozenset({1})),
    OpRule("ConstantOfShape", couple_constant_of_shape, frozenset({0})),
    OpRule("Trilu", couple_triangle, frozenset({1})),
    OpRule("OneHot", couple_one_hot, frozenset({1})),
    OpRule("EyeLike", couple_eye_like),
)
