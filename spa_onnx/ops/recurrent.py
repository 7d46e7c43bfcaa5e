"""LSTM, GRU and RNN: the hidden size is one dim in every gate, state and output.

    W.1 = R.1 = gates*hidden    R.2 = hidden    B.1 = 2*gates*hidden    Y.last = hidden

Source: ONNX LSTM-22, GRU-22, RNN-22.
"""

from __future__ import annotations

from functools import partial

from spa_onnx.algebra.expression import Axes
from spa_onnx.algebra.unify import equate
from spa_onnx.ops.rule import Coupling, Lanes, Mixed, Operands, OpRule, RefusalError, Resized

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

    direction, batch = space.normal(w[0]), x[1]
    state: Axes = (direction, batch, hidden)
    outputs: tuple[Axes, ...] = ((space.normal(x[0]), direction, batch, hidden), state, state)
    gate_rows = space.fixed(gates)
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
            rows = space.product([space.fixed(count), hidden])
            equate(space, operands.axes(position)[1], rows, "gates of a recurrence")
    for position in (5, 6):
        if operands.has(position):
            space.fix(operands.axes(position)[0], "directions")
            equate(space, operands.axes(position)[2], hidden, "initial state")


RULES = tuple(
    OpRule(op, partial(couple_recurrent, gates=gates))
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1))
)
