"""Concat and Split: an axis is other axes laid end to end.

Source: ONNX Concat-13, Split-18.
"""

from __future__ import annotations

from spa_onnx.algebra.cut import cut
from spa_onnx.algebra.expression import Expr, size_of
from spa_onnx.algebra.size import Size
from spa_onnx.algebra.space import NoRefinementError
from spa_onnx.ops.broadcast import broadcast
from spa_onnx.ops.rule import (
    Coupling,
    Lanes,
    Operands,
    OpRule,
    RefusalError,
    Resized,
    axis_of,
    replaced,
)


def couple_concat(operands: Operands) -> Coupling:
    """Join one axis; every other axis is equal in all inputs."""
    given = [operands.axes(k) for k in range(operands.count)]
    if len({len(axes) for axes in given}) != 1:
        raise RefusalError("inputs of different rank")
    axis = axis_of(operands, 0, 0)
    others = broadcast(operands.space, [replaced(a, {axis: ((),)}) for a in given], "concatenation")
    joined = operands.space.concat([a[axis] for a in given if size_of(a[axis]) != 0])
    lanes = operands.space.caused(joined, "single lanes laid end to end")
    return Coupling((replaced(others, {axis: lanes}),))


def couple_split(operands: Operands) -> Coupling:
    """Cut one axis at the given lengths, equal ones by default."""
    x, axis = operands.axes(0), axis_of(operands, 0, 0)
    parts: list[Expr] = []
    rest = x[axis]
    lengths = _lengths(operands, size_of(rest))
    try:
        for length in lengths[:-1]:
            part, rest = cut(operands.space, rest, length)
            parts.append(part)
        parts.append(rest)
    except NoRefinementError as failure:
        operands.space.fix(x[axis], f"cannot be split ({failure})")
        parts = [operands.space.alike(x[axis], n) for n in lengths]

    def resize(kept: Lanes) -> Resized:
        new = [kept.length(part) for part in parts]
        uneven_allowed = operands.node.version >= 18 or len(set(new)) == 1
        default = uneven_allowed and new == _default(sum(new, 0), len(parts))
        if default and not _is_explicit(operands):
            return Resized()
        if operands.node.version >= 13:
            return Resized(inputs={1: new}, attributes={"num_outputs": []})
        return Resized({"split": [n for n in new if isinstance(n, int)]})

    normal = operands.space.normal
    outputs = tuple(tuple(map(normal, replaced(x, {axis: part}))) for part in parts)
    return Coupling(outputs, resize=resize)


def _is_explicit(operands: Operands) -> bool:
    return operands.has(1) or bool(operands.node.ints("split"))


def _lengths(operands: Operands, size: Size) -> list[Size]:
    if operands.has(1):
        return operands.sizes(1)
    return list(operands.node.ints("split")) or _default(size, len(operands.node.outputs))


def _default(size: Size, count: int) -> list[Size]:
    """Return equal parts, the last one smaller where the length does not divide."""
    if not isinstance(size, int):
        return [size // count] * count
    chunk = -(-size // count)
    return [max(0, min(chunk, size - chunk * k)) for k in range(count)]


RULES = (OpRule("Concat", couple_concat), OpRule("Split", couple_split, frozenset({1})))
