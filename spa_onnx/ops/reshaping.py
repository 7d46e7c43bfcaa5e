"""Reshape, Flatten, Squeeze, Unsqueeze, Transpose: the same lanes, grouped or ordered otherwise.

Reshape has no ambiguity: drop axes of length one, cut both shapes into minimal segments of equal
product, multiply the input axes of a segment and factor the product for the outputs.

Source: ONNX Reshape-21, Flatten-21, Squeeze-13, Unsqueeze-13, Transpose-21.
"""

from __future__ import annotations

from collections.abc import Sequence

from spa_onnx.algebra.expression import ONE, Axes, Expr, size_of, sizes_of
from spa_onnx.algebra.size import Polynomial, Size, compare, product
from spa_onnx.algebra.space import Space
from spa_onnx.algebra.unify import factor
from spa_onnx.ops.rule import (
    Coupling,
    Lanes,
    Operands,
    OpRule,
    RefusalError,
    Resized,
    normalised,
    static,
)


def couple_reshape(operands: Operands) -> Coupling:
    """Factor the input's axes into the asked shape; all its numbers are recomputed."""
    x = operands.axes(0)
    asked = operands.sizes(1)
    shape = target_shape(sizes_of(x), asked, bool(operands.node.integer("allowzero", 0)))
    y = regroup(operands.space, x, shape)

    def resize(kept: Lanes) -> Resized:
        return Resized(inputs={1: [_entry(kept, x, y, k, n) for k, n in enumerate(asked)]})

    return Coupling((y,), resize=resize)


def _entry(kept: Lanes, x: Axes, y: Axes, k: int, asked: Size) -> Size:
    """Return a new entry of a shape; -1, copies and lengths that are not cut stay as written."""
    length = kept.length(y[k])
    if asked == -1:
        return asked
    if asked == 0 and k < len(x) and size_of(y[k]) != 0:
        return asked if kept.length(x[k]) == length else length
    return asked if length == size_of(y[k]) else length


def target_shape(given: Sequence[Size], asked: Sequence[Size], allow_zero: bool) -> list[Size]:
    """Return the output shape of a Reshape, its 0 and -1 resolved.

    Raises:
        RefusalError: the shapes hold different numbers of elements.
    """
    shape = [
        given[k] if n == 0 and not allow_zero and k < len(given) else n for k, n in enumerate(asked)
    ]
    total = product(given)
    if -1 in shape:
        rest = product(n for n in shape if n != -1)
        if rest == 0 or total % rest != 0:
            raise RefusalError(f"shape {list(given)} does not fill {list(asked)}")
        shape[shape.index(-1)] = total // rest
    if product(shape) != total:
        shape = _with_equal_heads(given, shape)
    return shape


def _with_equal_heads(given: Sequence[Size], shape: list[Size]) -> list[Size]:
    """Return the shape where one axis differs only in the name of its run-time length.

    Everything else being equal, it must be the same length.

    Raises:
        RefusalError: the shapes hold different numbers of elements.
    """
    others = [[n for n in sizes if isinstance(n, int)] for sizes in (given, shape)]
    unknown = [[n for n in sizes if isinstance(n, Polynomial)] for sizes in (given, shape)]
    if product(others[0]) != product(others[1]) or list(map(len, unknown)) != [1, 1]:
        raise RefusalError(f"shape {list(given)} becomes {shape}")
    return [unknown[0][0] if isinstance(n, Polynomial) else n for n in shape]


def regroup(space: Space, x: Axes, shape: Sequence[Size]) -> Axes:
    """Return the axes of ``x`` written in another shape of as many elements."""
    if any(n == 0 for n in shape):
        space.fix_all(x, "an empty tensor")
        return tuple(space.fixed(n, "an empty tensor") for n in shape)
    sources = [e for e in x if size_of(e) != 1]
    targets = [k for k, n in enumerate(shape) if n != 1]
    result: list[Expr] = [ONE] * len(shape)
    while sources and targets:
        taken, wanted = [sources.pop(0)], [targets.pop(0)]
        have, need = size_of(taken[0]), shape[wanted[0]]
        while have != need:
            if sources and (not targets or _smaller(have, need)):
                taken.append(sources.pop(0))
                have = have * size_of(taken[-1])
            elif targets:
                wanted.append(targets.pop(0))
                need = need * shape[wanted[-1]]
            else:
                raise RefusalError(f"shape {sizes_of(x)} becomes {list(shape)}")
        parts = factor(space, space.product(taken), [shape[k] for k in wanted])
        for k, part in zip(wanted, parts, strict=True):
            result[k] = part
    return tuple(result)


def _smaller(have: Size, need: Size) -> bool:
    """Say whether the input side of a segment has to grow next.

    With symbols on both sides the side that divides the other is the smaller one.
    """
    if isinstance(have, int) and isinstance(need, int):
        return have < need
    if need % have == 0:
        return True
    if have % need == 0:
        return False
    order = compare(have, need)
    if order is None:
        return isinstance(have, int) or not isinstance(need, Polynomial)
    return order < 0


def couple_flatten(operands: Operands) -> Coupling:
    """Multiply the axes before and from ``axis``."""
    x = operands.axes(0)
    axis = operands.node.integer("axis", 1)
    axis += len(x) if axis < 0 else 0
    space = operands.space
    return Coupling(((space.product(x[:axis]), space.product(x[axis:])),))


def named_axes(operands: Operands) -> list[int] | None:
    """Return the axes attribute or second input; None if neither is given."""
    if operands.has(1):
        return static(operands.sizes(1))
    return operands.node.ints("axes") or None


def couple_squeeze(operands: Operands) -> Coupling:
    """Drop axes of length one; a missing list is written out where others become one."""
    x, named = operands.axes(0), named_axes(operands)
    if named is not None:
        gone = {normalised(a, len(x)) for a in named}
        return Coupling((tuple(e for k, e in enumerate(x) if k not in gone),))
    gone = {k for k, e in enumerate(x) if size_of(e) == 1}

    def resize(kept: Lanes) -> Resized:
        if not any(kept.length(e) == 1 for k, e in enumerate(x) if k not in gone):
            return Resized()
        if operands.node.version >= 13:
            return Resized(inputs={1: sorted(gone)})
        return Resized({"axes": sorted(gone)})

    return Coupling((tuple(e for k, e in enumerate(x) if k not in gone),), resize=resize)


def couple_unsqueeze(operands: Operands) -> Coupling:
    """Insert axes of length one."""
    x, named = operands.axes(0), named_axes(operands) or []
    rank = len(x) + len(named)
    added = {normalised(a, rank) for a in named}
    rest = iter(x)
    return Coupling((tuple(ONE if k in added else next(rest) for k in range(rank)),))


def couple_transpose(operands: Operands) -> Coupling:
    """Permute the axes, reversed by default."""
    x = operands.axes(0)
    order = operands.node.ints("perm", list(range(len(x)))[::-1])
    if sorted(order) != list(range(len(x))):
        raise RefusalError(f"perm {order} for rank {len(x)}")
    return Coupling((tuple(x[k] for k in order),))


RULES = (
    OpRule("Reshape", couple_reshape, frozenset({1})),
    OpRule("Flatten", couple_flatten),
    OpRule("Squeeze", couple_squeeze, frozenset({1})),
    OpRule("Unsqueeze", couple_unsqueeze, frozenset({1})),
    OpRule("Transpose", couple_transpose),
)
