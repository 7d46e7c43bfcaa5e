"""Slice and Pad: lanes dropped from and added to the ends of an axis.

Source: ONNX Slice-13 (attributes before version 10), Pad-21 (attributes before version 11).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spa_onnx.algebra.cut import cut
from spa_onnx.algebra.expression import Expr, is_fixed, size_of
from spa_onnx.algebra.size import Polynomial, Size, compare, symbol
from spa_onnx.algebra.space import NoRefinementError
from spa_onnx.algebra.unify import factor
from spa_onnx.ops.rule import (
    Coupling,
    Lanes,
    Operands,
    OpRule,
    RefusalError,
    Resized,
    normalised,
    replaced,
    static,
)

END = 2**31 - 1
"""Exporters' and our own 'up to the end'."""


@dataclass(frozen=True, slots=True)
class Span:
    """One sliced axis: bounds as given, and where the new ones come from.

    Attributes:
        whole: the axis before slicing.
        before: lanes in front of the slice; None where steps choose lanes all along the axis.
        inside: lanes of the slice; None likewise.
        result: the axis behind the slice.
        first: position of the first chosen lane, counted from the front.
    """

    axis: int
    start: Size
    end: Size
    step: int
    whole: Expr
    result: Expr
    before: Expr | None = None
    inside: Expr | None = None
    first: Size = 0


def couple_slice(operands: Operands) -> Coupling:
    """Cut the sliced axes; steps that divide the axis become a factor, -1 a permutation."""
    x = operands.axes(0)
    starts, ends, axes, steps = _bounds(operands, len(x))
    spans = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = normalised(axis, len(x))
        spans.append(_span(operands, x[axis], axis, start, end, step))
    y = replaced(x, {s.axis: s.result for s in spans})

    def resize(kept: Lanes) -> Resized:
        new = [_new_bounds(kept, span) for span in spans]
        starts, ends = [a for a, _ in new], [b for _, b in new]
        if operands.node.version >= 10:
            return Resized(inputs={1: starts, 2: ends})
        return Resized({"starts": static(starts), "ends": static(ends)})

    known = all(span.step for span in spans)
    y = tuple(map(operands.space.normal, y))
    return Coupling((y,), resize=resize if known else None)


def _bounds(operands: Operands, rank: int) -> tuple[list[Size], list[Size], list[int], list[int]]:
    node = operands.node
    if node.version < 10:
        starts: list[Size] = list(node.ints("starts"))
        ends: list[Size] = list(node.ints("ends"))
        return starts, ends, node.ints("axes", list(range(len(starts)))), [1] * len(starts)
    axes = _integers(operands, 3)
    try:
        starts, ends = operands.sizes(1), operands.sizes(2)
    except RefusalError:
        if axes is None:
            raise
        for axis in axes:  # a run-time slice spoils only the axes that it names
            operands.space.fix(operands.axes(0)[normalised(axis, rank)], "sliced at run time")
        unknown = operands.inferred(0)
        if unknown is None:
            raise
        lengths = [unknown[normalised(axis, rank)] for axis in axes]
        return [0] * len(axes), lengths, axes, [0] * len(axes)
    steps = _integers(operands, 4) or [1] * len(starts)
    return starts, ends, axes if axes is not None else list(range(len(starts))), steps


def _integers(operands: Operands, position: int) -> list[int] | None:
    if not operands.has(position):
        return None
    return static(operands.sizes(position))


def _span(operands: Operands, e: Expr, axis: int, start: Size, end: Size, step: int) -> Span:
    space, size = operands.space, size_of(e)
    if step == 0:  # bounds unknown, `end` is the inferred length
        return Span(axis, start, end, 0, e, space.alike(e, end))
    first, length = _clamped(size, start, end, step)
    if length is None:
        space.fix(e, "sliced at positions that only run time knows")
        new = space.alike(e, _unknown_length(operands, axis, size, start, end, step))
        return Span(axis, start, end, step, e, new)
    if step == 1:
        try:
            before, rest = cut(space, e, first)
            inside, _ = cut(space, rest, length)
        except NoRefinementError as failure:
            space.fix(e, f"cannot be cut ({failure})")
            return Span(axis, start, end, step, e, space.alike(e, length))
        return Span(axis, start, end, step, e, inside, before, inside)
    if step == -1 and length == size and isinstance(size, int):
        return Span(axis, start, end, step, e, space.permuted(e, np.arange(size)[::-1]))
    if (
        isinstance(size, int)
        and isinstance(first, int)
        and size % step == 0
        and length == size // step
    ):
        whole, chosen = factor(space, e, [size // step, step])
        space.fix(chosen, "one of a few lanes is chosen")
        return Span(axis, start, end, step, e, whole, first=first)
    space.fix(e, f"sliced in steps of {step}")
    return Span(axis, start, end, step, e, space.alike(e, length))


def _clamped(size: Size, start: Size, end: Size, step: int) -> tuple[Size, Size | None]:
    """Return first lane and number of lanes as numpy would; None where it cannot be told."""
    if isinstance(size, int) and isinstance(start, int) and isinstance(end, int):
        stop = None if step < 0 and end < -size else end
        picked = range(*slice(start, stop, step).indices(size))
        # an empty slice starts where it starts: behind a cut axis it must stay empty
        return max(0, min(picked.start, size)), len(picked)
    if step != 1:
        return 0, None
    first = _position(size, start)
    last = _position(size, end)
    if first is None or last is None:
        return 0, None
    return first, last - first


def _position(size: Size, bound: Size) -> Size | None:
    if isinstance(bound, int) and bound < 0:
        return size + bound
    if isinstance(bound, int) and bound >= END // 2:
        return size
    order = compare(bound, size)
    if order is None:
        # a dynamic bound within a table of fixed length: exporters slice position tables so
        return bound if isinstance(size, int) else None
    return bound if order <= 0 or isinstance(bound, Polynomial) else size


def _unknown_length(
    operands: Operands, axis: int, size: Size, start: Size, end: Size, step: int
) -> Size:
    inferred = operands.inferred(0)
    return inferred[axis] if inferred else symbol(f"slice({size},{start},{end},{step})")


def _new_bounds(kept: Lanes, span: Span) -> tuple[Size, Size]:
    """Return the bounds in the new axis; numbers that still hold stay as they were written.

    Negative ones count from an end that moves as soon as anything on the axis is cut.
    """
    if kept.length(span.whole) == size_of(span.whole):
        return span.start, span.end
    if span.before is None or span.inside is None:
        return (span.start, span.end) if span.step < 0 else (span.first, END)
    start = kept.length(span.before)
    reaches_end = isinstance(span.end, int) and span.end >= END // 2
    return start, span.end if reaches_end else start + kept.length(span.inside)


def couple_pad(operands: Operands) -> Coupling:
    """Add fresh lanes at both ends: ``Y = p0 | X | p1``, so a padded shortcut stays prunable."""
    x, pads = operands.axes(0), _pads(operands)
    space = operands.space
    constant = operands.node.text("mode", "constant") == "constant"
    result: list[Expr] = []
    sides: list[tuple[Expr, Expr] | None] = []
    for axis, e in enumerate(x):
        low, high = pads[axis], pads[axis + len(x)]
        sides.append(None)
        if low == 0 and high == 0:
            result.append(e)
            continue
        padded = size_of(e) + low + high
        negative = any(isinstance(n, int) and n < 0 for n in (low, high))
        if negative or not constant or is_fixed(space.normal(e)):
            space.fix(e, "padded by reflection or negatively")
            of_one = size_of(e) == 1  # such an axis is fixed, but for no reason
            result.append(space.fixed(padded, "padded") if of_one else space.alike(e, padded))
            continue
        name = f"padding of {operands.node.label}"
        ends = (space.dim(low, name), space.dim(high, name))
        sides[-1] = ends
        result.append(space.concat([s for s in (ends[0], e, ends[1]) if size_of(s) != 0]))

    def resize(kept: Lanes) -> Resized:
        new = list(pads)
        for axis, side in enumerate(sides):
            if side is not None:
                new[axis], new[axis + len(x)] = (kept.length(e) for e in side)
        if operands.node.version < 11:
            return Resized({"pads": static(new)})
        if operands.has(3):
            named = [normalised(a, len(x)) for a in static(operands.sizes(3))]
            new = [new[a] for a in named] + [new[a + len(x)] for a in named]
        return Resized(inputs={1: new})

    return Coupling((tuple(result),), resize=resize)


def _pads(operands: Operands) -> list[Size]:
    rank = len(operands.axes(0))
    if operands.node.version < 11:
        pads: list[Size] = list(operands.node.ints("pads"))
    else:
        pads = operands.sizes(1)
    if operands.has(3):
        named = [normalised(a, rank) for a in static(operands.sizes(3))]
        full: list[Size] = [0 for _ in range(2 * rank)]
        for k, axis in enumerate(named):
            full[axis], full[axis + rank] = pads[k], pads[k + len(named)]
        pads = full
    if len(pads) != 2 * rank:
        raise RefusalError(f"{len(pads)} paddings for rank {rank}")
    return pads


RULES = (
    OpRule("Slice", couple_slice, frozenset({1, 2, 3, 4})),
    OpRule("Pad", couple_pad, frozenset({1, 3})),
)
