"""Sequences and optional values: their axes are those of every element.

A sequence of tensors of different lengths has an axis of run-time length; elements of different
rank have no axes, so whatever they touch is fixed.

Source: ONNX SequenceConstruct-11, SequenceInsert-11, SequenceAt-11, SequenceErase-11,
SequenceLength-11, SplitToSequence-24, ConcatFromSequence-11, Optional-15, OptionalGetElement-18,
OptionalHasElement-18.
"""

from __future__ import annotations

from spa_onnx.algebra.expression import ONE, Expr, size_of
from spa_onnx.algebra.size import symbol
from spa_onnx.algebra.unify import equate
from spa_onnx.ops.rule import Coupling, Operands, OpRule, RefusalError, axis_of, replaced


def couple_construct(operands: Operands) -> Coupling:
    """Equate the axes of all elements."""
    given = [operands.axes(k) for k in range(operands.count)]
    if len({len(axes) for axes in given}) != 1:
        raise RefusalError("elements of different rank")
    columns = enumerate(zip(*given, strict=True))
    return Coupling((tuple(_common(operands, list(column), k) for k, column in columns),))


def _common(operands: Operands, axes: list[Expr], k: int) -> Expr:
    """Return one axis of every element: equal ones stay free, others have a run-time length."""
    space = operands.space
    if len({size_of(e) for e in axes}) > 1:
        why = "elements of different length"
        space.fix_all(axes, why)
        return space.fixed(symbol(f"axis {k} of {operands.node.label}"), why)
    for other in axes[1:]:
        equate(space, axes[0], other, "elements of a sequence")
    return space.normal(axes[0])


def couple_insert(operands: Operands) -> Coupling:
    """Equate a new element with those that are there."""
    sequence, element = operands.axes(0), operands.axes(1)
    if len(sequence) != len(element):
        raise RefusalError("elements of different rank")
    pairs = zip(sequence, element, strict=True)
    return Coupling((tuple(_common(operands, [e, f], k) for k, (e, f) in enumerate(pairs)),))


def couple_element(operands: Operands) -> Coupling:
    """Pass the axes of the elements: to a sequence of them, to one of them, or to an optional."""
    return Coupling((operands.axes(0),))


def couple_question(operands: Operands) -> Coupling:
    """Return a scalar that no lane changes: a length, or whether there is a value."""
    del operands
    return Coupling(((),))


def couple_split_to_sequence(operands: Operands) -> Coupling:
    """Fix the axis that is split; every other axis passes."""
    x, axis = operands.axes(0), axis_of(operands, 0, 0)
    space, total = operands.space, size_of(x[axis])
    space.fix(x[axis], "split into a sequence")
    others = tuple(map(space.normal, x))
    if not operands.has(1):
        if not operands.node.integer("keepdims", 1):
            return Coupling(((*others[:axis], *others[axis + 1 :]),))
        return Coupling((replaced(others, {axis: ONE}),))
    split = operands.constant(1)
    lengths = set() if split is None else {int(n) for n in split.flat}
    equal = len(lengths) == 1 and (split is None or split.ndim == 1 or total % min(lengths) == 0)
    length = min(lengths) if equal else symbol(f"part of {operands.node.label}")
    return Coupling((replaced(others, {axis: space.fixed(length, "split into a sequence")}),))


def couple_join(operands: Operands) -> Coupling:
    """Fix the axis along which elements are joined, or put a new one there."""
    elements = operands.axes(0)
    new = operands.node.integer("new_axis", 0)
    rank = len(elements) + new
    axis = operands.node.integer("axis", 0)
    if not -rank <= axis < rank:
        raise RefusalError(f"axis {axis} of a tensor of rank {rank}")
    axis %= rank
    space = operands.space
    known = operands.inferred(0)
    count = symbol(f"elements of {operands.node.label}")
    why = "elements are joined along it"
    joined = space.fixed(known[axis] if known and len(known) == rank else count, why)
    if new:
        return Coupling(((*elements[:axis], joined, *elements[axis:]),))
    space.fix(elements[axis], why)
    return Coupling((replaced(tuple(map(space.normal, elements)), {axis: joined}),))


RULES = (
    OpRule("SequenceConstruct", couple_construct),
    OpRule("SequenceInsert", couple_insert, frozenset({2})),
    OpRule("SequenceErase", couple_element, frozenset({1})),
    OpRule("SequenceAt", couple_element, frozenset({1})),
    OpRule("SequenceLength", couple_question),
    OpRule("SplitToSequence", couple_split_to_sequence),
    OpRule("ConcatFromSequence", couple_join),
    OpRule("Optional", couple_element),
    OpRule("OptionalGetElement", couple_element),
    OpRule("OptionalHasElement", couple_question),
)
