"""Operators that act on every element alone: aligned axes are equal.

Source: ONNX operator specifications; all of these broadcast as numpy does.
"""

from __future__ import annotations

from spa_onnx.algebra.expression import Axes, size_of
from spa_onnx.algebra.unify import equate, factor
from spa_onnx.ops.broadcast import broadcast
from spa_onnx.ops.rule import Coupling, Operands, OpRule


def couple_all(operands: Operands) -> Coupling:
    """Equate the aligned axes of all inputs and the output."""
    given = [operands.axes(k) for k in range(operands.count) if operands.has(k)]
    return Coupling((broadcast(operands.space, given, "element by element"),))


def couple_first(operands: Operands) -> Coupling:
    """Pass the first input's axes on; the other inputs are scalars or only carry a type."""
    axes = operands.axes(0)
    return Coupling((axes,) * len(operands.node.outputs))


def couple_per_axis(operands: Operands) -> Coupling:
    """Pass the axes on and equate one of them with scale and zero point (QDQ).

    Along the axis of a blocked scale (``block_size``) only whole blocks can go.
    """
    axes = operands.axes(0)
    for k in (1, 2):
        if not operands.has(k):
            continue
        scale = operands.axes(k)
        if len(scale) == len(axes) > 1:
            _couple_blocks(operands, axes, scale)
        elif len(scale) == 1 and axes and size_of(scale[0]) != 1:
            axis = operands.node.integer("axis", 1) % len(axes)
            equate(operands.space, axes[axis], scale[0], "scale of every lane")
        elif len(scale) > 1:
            operands.space.fix_all((*axes, *scale), "quantised in blocks")
    return Coupling((tuple(map(operands.space.normal, axes)),))


def _couple_blocks(operands: Operands, axes: Axes, scale: Axes) -> None:
    """Equate scale and tensor; along one axis a scale is shared by blocks: ``X.a = blocks * b``."""
    for e, s in zip(axes, scale, strict=True):
        lanes, blocks = size_of(e), size_of(s)
        if lanes == blocks:
            equate(operands.space, e, s, "scale of every lane")
        elif blocks != 0 and lanes % blocks == 0:
            outer, inner = factor(operands.space, e, [blocks, lanes // blocks])
            operands.space.fix(inner, "a block shares one scale")
            equate(operands.space, outer, s, "scales of blocks")
        else:
            operands.space.fix_all((e, s), "quantised in blocks of another length")


BROADCASTING = (
    "Add Sub Mul Div Pow Mod Min Max Sum Mean And Or Xor Not Greater Less "
    "GreaterOrEqual LessOrEqual Where BitShift BitwiseAnd BitwiseOr BitwiseXor BitwiseNot PRelu"
)
ALONE = (
    "Abs Acos Acosh Asin Asinh Atan Atanh Cast Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu "
    "HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Reciprocal Relu Round "
    "Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh "
    "ThresholdedRelu Clip Dropout CastLike com.microsoft::QuickGelu com.microsoft::Gelu"
)
RULES = (
    *(OpRule(op, couple_all) for op in BROADCASTING.split()),
    *(OpRule(op, couple_first) for op in ALONE.split()),
    OpRule("QuantizeLinear", couple_per_axis),
    OpRule("DequantizeLinear", couple_per_axis),
    OpRule("com.microsoft::BiasGelu", couple_all),
    OpRule("com.microsoft::FastGelu", couple_all),
    OpRule("com.microsoft::GatedAdd", couple_all),
    OpRule("com.microsoft::ScaledSiLU", couple_first),
    OpRule("com.microsoft::QuantizeLinear", couple_per_axis),
    OpRule("com.microsoft::DequantizeLinear", couple_per_axis),
)
