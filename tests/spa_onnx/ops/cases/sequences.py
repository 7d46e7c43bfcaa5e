"""Sequences and optional values between layers."""

from collections.abc import Callable

import numpy as np

from tests.builders import GraphBuilder
from tests.spa_onnx.ops.cases.case import NEWEST, end, forms, tokens
from tests.spa_onnx.untracked import like, shaped

Build = Callable[[GraphBuilder], str]


def _first(g: GraphBuilder, sequence: str, x: str) -> str:
    return end(g, g.relu(like(g, g.node("SequenceAt", [sequence, g.constant(np.array(0))]), x)))


def _construct(g: GraphBuilder) -> str:
    x = tokens(g)
    return _first(g, g.node("SequenceConstruct", [x, g.relu(x), g.linear(x, 8)]), x)


def _uneven(g: GraphBuilder) -> str:
    """Elements of different length: their lanes stay."""
    x = tokens(g)
    return _first(g, g.node("SequenceConstruct", [x, g.linear(x, 6)]), x)


def _insert(g: GraphBuilder) -> str:
    x = tokens(g)
    sequence = g.node("SequenceConstruct", [g.relu(x)])
    return _first(g, g.node("SequenceInsert", [sequence, x, g.constant(np.array(0))]), x)


def _erase(g: GraphBuilder) -> str:
    x = tokens(g)
    sequence = g.node("SequenceConstruct", [g.relu(x), x])
    return _first(g, g.node("SequenceErase", [sequence, g.constant(np.array(0))]), x)


def _length(g: GraphBuilder) -> str:
    x = tokens(g)
    sequence = g.node("SequenceConstruct", [x, g.relu(x)])
    count = g.node("Cast", [g.node("SequenceLength", [sequence])], to=1)
    return end(g, g.mul(x, shaped(g, count, ())))


def _split(length: int | list[int] | None, keepdims: int = 1) -> Build:
    def build(g: GraphBuilder) -> str:
        x = tokens(g)
        lengths = [] if length is None else [g.constant(np.array(length))]
        parts = g.node("SplitToSequence", [x, *lengths], axis=1, keepdims=keepdims)
        one = g.node("SequenceAt", [parts, g.constant(np.array(1))])
        if not keepdims:
            return end(g, g.relu(shaped(g, one, (2, 8))))
        return end(g, g.relu(shaped(g, one, (2, 1, 8))))

    return build


def _split_lanes(g: GraphBuilder) -> str:
    x = tokens(g)
    parts = g.node("SplitToSequence", [x, g.constant(np.array(4))], axis=2)
    one = g.node("SequenceAt", [parts, g.constant(np.array(1))])
    return end(g, g.relu(shaped(g, one, (2, 5, 4))))


def _join(axis: int, new: int) -> Build:
    def build(g: GraphBuilder) -> str:
        x = tokens(g)
        sequence = g.node("SequenceConstruct", [x, g.relu(x)])
        y = g.node("ConcatFromSequence", [sequence], axis=axis, new_axis=new)
        if new:
            return g.linear(shaped(g, g.reduce("ReduceSum", y, axis), (2, 5, 8)), 3)
        shape = (2, 5, 16) if axis in (2, -1) else (2, 10, 8)
        return end(g, g.relu(shaped(g, y, shape)))

    return build


def _optional(g: GraphBuilder) -> str:
    x = tokens(g)
    wrapped = g.node("Optional", [x])
    return end(g, g.relu(like(g, g.node("OptionalGetElement", [wrapped]), x)))


def _is_there(g: GraphBuilder) -> str:
    x = tokens(g)
    there = g.node("Cast", [g.node("OptionalHasElement", [g.node("Optional", [x])])], to=1)
    return end(g, g.mul(x, shaped(g, there, ())))


SINCE = (13, 18, NEWEST)
CASES = (
    *forms("SequenceConstruct", "equal", SINCE, _construct, checkable=False),
    *forms("SequenceConstruct", "uneven", (18,), _uneven, cut=False, checkable=False),
    *forms("SequenceInsert", "in front", SINCE, _insert, checkable=False),
    *forms("SequenceErase", "the first", SINCE, _erase, checkable=False),
    *forms("SequenceAt", "one", SINCE, _construct, checkable=False),
    *forms("SequenceLength", "count", SINCE, _length, checkable=False),
    *forms("SplitToSequence", "single", SINCE, _split(None), checkable=False),
    *forms("SplitToSequence", "dropped", SINCE, _split(None, 0), checkable=False),
    *forms("SplitToSequence", "lengths", (18,), _split([2, 1, 2]), checkable=False),
    *forms("SplitToSequence", "lanes", (18,), _split_lanes, cut=False, checkable=False),
    *forms("ConcatFromSequence", "tokens", SINCE, _join(1, 0), checkable=False),
    *forms("ConcatFromSequence", "lanes", SINCE, _join(-1, 0), cut=False, checkable=False),
    *forms("ConcatFromSequence", "new axis", SINCE, _join(1, 1), checkable=False),
    *forms("Optional", "there", (15, 18, NEWEST), _optional, checkable=False),
    *forms("OptionalGetElement", "there", (15, 18, NEWEST), _optional, checkable=False),
    *forms("OptionalHasElement", "asked", (15, 18, NEWEST), _is_there, checkable=False),
)
