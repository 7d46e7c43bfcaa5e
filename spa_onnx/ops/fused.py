"""Operators that ONNX Runtime's optimiser makes of several standard ones.

Source: ONNX Runtime's contrib operators of domain com.microsoft.
"""

from __future__ import annotations

from dataclasses import replace

from spa_onnx.algebra.expression import ONE, Axes, size_of
from spa_onnx.algebra.unify import equate
from spa_onnx.ops.broadcast import broadcast
from spa_onnx.ops.contraction import couple_gemm, couple_matmul
from spa_onnx.ops.convolution import couple_conv
from spa_onnx.ops.expanding import couple_triangle
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
    if len(skip) > len(x):
        raise RefusalError(f"rank {len(x)} and {len(skip)}")
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


def couple_causal_conv(operands: Operands) -> Coupling:
    """Filter every channel: ``x (N, C, L)``, ``w (C, 1, K)``, states ``(N, C, K - 1)``."""
    node, space = operands.node, operands.space
    x, w = operands.axes(0), operands.axes(1)
    wide = node.integer("channels_last", 0) or node.integer("ndim", 1) != 1
    if wide or node.integer("state_window", 0) or len(x) != 3 or size_of(w[1]) != 1:
        raise RefusalError("channels in the last axis, several axes of steps or a window of states")
    space.fix_all((x[2], *w[1:]), "steps of a filter")
    equate(space, x[1], w[0], "channels of a filter")
    if operands.has(2):
        equate(space, operands.axes(2)[0], x[1], "bias")
    if operands.has(3):
        past = operands.axes(3)
        equate(space, past[1], x[1], "channels of a filter")
        space.fix_all((past[0], past[2]), "steps of a filter")
    y = tuple(map(space.normal, x))
    steps = (size_of(w[2]) - 1) * node.integer("dilation", 1)
    outputs = (y, (*y[:2], space.fixed(steps, "steps of a filter")))
    return Coupling(outputs[: len(node.outputs)], work=((*y, w[2]),))


def couple_embed_layer_norm(operands: Operands) -> Coupling:
    """Add rows of tables ``(rows, C)`` for words, positions and segments, and normalise the sum."""
    space, ids = operands.space, operands.axes(0)
    tables = [operands.axes(k) for k in (2, 3, 4) if operands.has(k)]
    lanes = tables[0][1]
    for table in tables:
        space.fix(table[0], "indexed at run time")
        equate(space, table[1], lanes, "sum of embeddings")
    for position in (5, 6):
        equate(space, operands.axes(position)[0], lanes, "scale of a normalisation")
    for position in (0, 1, 7, 8):
        if operands.has(position):
            space.fix_all(operands.axes(position), "indices")
    batch, steps = map(space.normal, ids)
    y = (batch, steps, space.normal(lanes))
    outputs = (y, (batch,), y)[: len(operands.node.outputs)]
    produced = (lanes,) if operands.is_weight(2) else ()
    return Coupling(outputs, (Mixed(2, (1,), Neutral.EMBED_LAYER_NORM),), produced=produced)


RULES = (
    OpRule(MICROSOFT + "EmbedLayerNormalization", couple_embed_layer_norm),
    OpRule(MICROSOFT + "CausalConvWithState", couple_causal_conv),
    OpRule(MICROSOFT + "TransposeMatMul", couple_fused_matmul),
    OpRule(MICROSOFT + "Trilu", couple_triangle, frozenset({1})),
    OpRule(MICROSOFT + "FusedConv", couple_fused_conv),
    OpRule(MICROSOFT + "FusedGemm", couple_gemm),
    OpRule(MICROSOFT + "FusedMatMul", couple_fused_matmul),
    OpRule(MICROSOFT + "SkipLayerNormalization", couple_skip_layer_norm),
    OpRule(MICROSOFT + "SkipSimplifiedLayerNormalization", couple_skip_layer_norm),
)
