"""Operators that ONNX Runtime's optimiser makes of several standard ones.

Source: ONNX Runtime's contrib operators of domain com.microsoft.
"""

from __future__ import annotations

from dataclasses import replace

from spa_onnx.algebra.expression import ONE, Axes
from spa_onnx.algebra.unify import equate
from spa_onnx.ops.broadcast import broadcast
from spa_onnx.ops.contraction import couple_gemm, couple_matmul
from spa_onnx.ops.convolution import couple_conv
from spa_onnx.ops.rule import Coupling, Mixed, Neutral, Operands, OpRule, RefusalError
from spa_onnx.ops.view import Selected

MICROSOFT = "com.microsoft::"


def couple_fused_conv(operands: Operands) -> Coupling:
    """Couple as Conv; a fourth input is added to the result."""
    coupling = couple_conv(operands)
    y = coupling.outputs[0]
    if operands.has(3) and y is not None:
        broadcast(operands.space, [y, operands.axes(3)], "added to a convolution")
        y = tuple(map(operands.space.normal, y))
    return replace(coupling, outputs=(y,))


class _Transposed(Selected):
    """Shows MatMul's operands with their last two axes as it expects them."""

    def axes(self, position: int) -> Axes:
        """Return the axes, transposed where the attribute says so."""
        axes = super().axes(position)
        side = "transA" if position == 0 else "transB"
        if not self.node.integer(side, 0) or len(axes) < 2:
            return axes
        *batch, rows, columns = axes
        return (*batch, columns, rows)


def couple_fused_matmul(operands: Operands) -> Coupling:
    """Couple as MatMul with either side transposed."""
    if operands.node.integer("transBatchA", 0) or operands.node.integer("transBatchB", 0):
        raise RefusalError("a batch axis is transposed")
    coupling = couple_matmul(_Transposed(operands, (0, 1)))
    rank = len(operands.axes(0))
    axis = rank - 2 if operands.node.integer("transA", 0) and rank > 1 else rank - 1
    return replace(coupling, mixed=(Mixed(0, (axis,)),))


def couple_skip_layer_norm(operands: Operands) -> Coupling:
    """Normalise the sum of two tensors and a bias over the last axis; the sum may be an output."""
    x, skip = operands.axes(0), operands.axes(1)
    rms = operands.node.op.endswith("SkipSimplifiedLayerNormalization")
    y = broadcast(operands.space, [x, skip], "sum of two branches")
    for position in range(2, operands.count):
        if operands.has(position):
            equate(operands.space, operands.axes(position)[0], y[-1], "scale of a normalisation")
    y = tuple(map(operands.space.normal, y))
    statistics = (*y[:-1], ONE)
    outputs = (y, statistics, statistics, y)[: len(operands.node.outputs)]
    neutral = Neutral.SKIP_RMS_NORM if rms else Neutral.SKIP_LAYER_NORM
    return Coupling(outputs, (Mixed(0, (len(y) - 1,), neutral),))


RULES = (
    OpRule(MICROSOFT + "FusedConv", couple_fused_conv),
    OpRule(MICROSOFT + "FusedGemm", couple_gemm),
    OpRule(MICROSOFT + "FusedMatMul", couple_fused_matmul),
    OpRule(MICROSOFT + "SkipLayerNormalization", couple_skip_layer_norm),
    OpRule(MICROSOFT + "SkipSimplifiedLayerNormalization", couple_skip_layer_norm),
)
