"""DFT: one axis is transformed, the others are rows of their own.

Source: ONNX DFT-17 (axis as an attribute), DFT-20 (as an input).
"""

from __future__ import annotations

from spa_onnx.ops.rule import (
    Coupling,
    Operands,
    OpRule,
    RefusalError,
    normalised,
    replaced,
    static,
)


def couple_dft(operands: Operands) -> Coupling:
    """Fix the transformed axis and the last one, which holds real and imaginary parts."""
    x = operands.axes(0)
    axis = normalised(_axis(operands), len(x))
    shape = operands.inferred(0)
    if shape is None:
        raise RefusalError("a transform of unknown length")
    operands.space.fix_all((x[axis], x[-1]), "frequencies")
    changes = {k: operands.space.fixed(shape[k], "frequencies") for k in (axis, len(x) - 1)}
    return Coupling((replaced(x, changes),))


def _axis(operands: Operands) -> int:
    if operands.has(2):
        (axis,) = static(operands.sizes(2))
        return axis
    return operands.node.integer("axis", 1 if operands.node.version < 20 else -2)


RULES = (OpRule("DFT", couple_dft),)
