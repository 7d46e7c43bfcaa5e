"""Pooling: channels pass, positions under the window are fixed.

Source: ONNX MaxPool-22, AveragePool-22, LpPool-22, Global*Pool-22.
"""

from __future__ import annotations

from spa_onnx.algebra.expression import ONE, size_of
from spa_onnx.ops.rule import Coupling, Mixed, Neutral, Operands, OpRule
from spa_onnx.ops.window import Window


def couple_pool(operands: Operands) -> Coupling:
    """Pass batch and channels; recompute the lengths of the pooled axes."""
    x = operands.axes(0)
    window = Window.of(operands.node, operands.node.ints("kernel_shape"))
    why = "positions under a pooling window"
    for k, e in enumerate(x[2:]):
        if not window.is_pointwise(k):
            operands.space.fix(e, why)
    if len([name for name in operands.node.outputs if name]) > 1:
        operands.space.fix_all(x, "positions of maxima are counted through the whole tensor")
        x = tuple(map(operands.space.normal, x))
    spatial = (
        e if window.is_pointwise(k) else operands.space.fixed(window.length(k, size_of(e)), why)
        for k, e in enumerate(x[2:])
    )
    return Coupling(((*x[:2], *spatial),) * len(operands.node.outputs))


def couple_global_pool(operands: Operands) -> Coupling:
    """Reduce every axis behind the channels to length one."""
    x = operands.axes(0)
    neutral = Neutral.MEAN if operands.node.op == "GlobalAveragePool" else Neutral.LOWEST
    if operands.node.op == "GlobalLpPool":
        neutral = Neutral.ZERO
    pooled = (ONE,) * len(x[2:])
    return Coupling(((*x[:2], *pooled),), (Mixed(0, tuple(range(2, len(x))), neutral),))


RULES = (
    *(OpRule(op, couple_pool) for op in ("MaxPool", "AveragePool", "LpPool")),
    *(
        OpRule(op, couple_global_pool)
        for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
    ),
)
