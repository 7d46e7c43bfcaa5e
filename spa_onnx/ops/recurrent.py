"""LSTM, GRU and RNN: the hidden size is one dim in every gate, state and output.

    W.1 = R.1 = gates*hidden    R.2 = hidden    B.1 = 2*gates*hidden    Y.last = hidden

Source: ONNX LSTM-22, GRU-22, RNN-22; ONNX Runtime's DynamicQuantizeLSTM.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from spa_onnx.algebra.expression import Axes, size_of
from spa_onnx.algebra.unify import equate
from spa_onnx.ops.rule import (
    Coupling,
    Lanes,
    Mixed,
    Neutral,
    Operands,
    OpRule,
    RefusalError,
    Resized,
)
from spa_onnx.ops.view import Selected

SEQUENCE_LENGTHS, PEEPHOLES = 4, 7


def couple_recurrent(operands: Operands, gates: int) -> Coupling:
    """Couple input, hidden and gate axes; directions and sequence lengths are fixed."""
    space = operands.space
    x, w, r = (operands.axes(k) for k in range(3))
    if operands.node.integer("layout", 0):
        raise RefusalError("batch-first layout")
    if "activations" in operands.node.attributes and operands.node.attributes.get("clip"):
        raise RefusalError("clipped custom activations")
    space.fix_all((w[0], r[0]), "directions")
    space.fix(x[0], "steps of a recurrence")
    equate(space, x[2], w[2], "input of a recurrence")
    hidden = r[2]
    _equate_parameters(operands, gates)
    if operands.has(SEQUENCE_LENGTHS):
        space.fix_all(operands.axes(SEQUENCE_LENGTHS), "sequence lengths")
    hidden = space.normal(hidden)

    def resize(kept: Lanes) -> Resized:
        return Resized({"hidden_size": kept.length(hidden)})  # type: ignore[dict-item]

    direction, batch = space.normal(w[0]), space.normal(x[1])
    state: Axes = (direction, batch, hidden)
    outputs: tuple[Axes, ...] = ((space.normal(x[0]), direction, batch, hidden), state, state)
    gate_rows = space.count(gates)
    return Coupling(
        outputs=outputs[: len(operands.node.outputs)],
        mixed=(Mixed(0, (2,)), Mixed(2, (2,))),
        produced=(hidden,),
        consumed=(x[2], hidden),
        resize=resize,
        work=tuple((x[0], x[1], w[0], gate_rows, hidden, e) for e in (w[2], hidden)),
    )


def _equate_parameters(operands: Operands, gates: int) -> None:
    space, hidden = operands.space, operands.axes(2)[2]
    stacked = {1: gates, 2: gates, 3: 2 * gates, PEEPHOLES: 3}
    for position, count in stacked.items():
        if operands.has(position):
            space.fix(operands.axes(position)[0], "directions")
            rows = space.product([space.count(count), hidden])
            equate(space, operands.axes(position)[1], rows, "gates of a recurrence")
    for position in (5, 6):
        if operands.has(position):
            space.fix(operands.axes(position)[0], "directions")
            equate(space, operands.axes(position)[1], operands.axes(0)[1], "batch of a recurrence")
            equate(space, operands.axes(position)[2], hidden, "initial state")


class _Untransposed(Selected):
    """Shows the weights of DynamicQuantizeLSTM as LSTM has them, gates in the second axis."""

    def axes(self, position: int) -> Axes:
        """Return the axes, those of both weights transposed."""
        axes = super().axes(position)
        return (axes[0], axes[2], axes[1]) if position in (1, 2) else axes


def _quantised_zero(operands: Operands, weight: int, zero_point: int) -> Mixed:
    zero = operands.constant(zero_point)
    if zero is not None and not zero.any():
        return Mixed(weight, (1, 2))
    if size_of(operands.axes(weight)[0]) != 1:
        raise RefusalError("zero points of two directions")
    return Mixed(weight, (1, 2), Neutral.ZERO_POINT, zero_point)


def couple_dynamic_lstm(operands: Operands) -> Coupling:
    """Couple as LSTM, weights ``(directions, in, 4*hidden)`` of integers.

    Hidden lanes are quantised by their common range in every step, so removed ones must be zero:
    with weights, bias and first states of zero they are.
    """
    space = operands.space
    for weight, numbers in ((1, (8, 9)), (2, (10, 11))):
        for position in filter(operands.has, numbers):
            *directions, last = operands.axes(position)
            space.fix_all(directions or (last,), "directions")
            if directions:
                equate(space, last, operands.axes(weight)[2], "scale of every lane")
            if directions and size_of(operands.axes(weight)[0]) != 1:
                raise RefusalError("scales of two directions")
    coupling = couple_recurrent(_Untransposed(operands, range(8)), 4)
    weights = (_quantised_zero(operands, *where) for where in ((1, 9), (2, 11)))
    others = (Mixed(k, axes) for k, axes in ((0, (2,)), (3, (1,)), (5, (2,)), (6, (2,)), (7, (1,))))
    given = tuple(m for m in (*weights, *others) if operands.has(m.input))
    return replace(coupling, mixed=given)


RULES = tuple(
    OpRule(op, partial(couple_recurrent, gates=gates))
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1))
)
