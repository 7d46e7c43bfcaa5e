"""Integer operators: floating-point ones with scales and zero points beside every tensor.

A removed lane counts as the real number zero, which an integer tensor writes as its zero point.

Source: ONNX QLinearConv-10, QLinearMatMul-21, ConvInteger-10, MatMulInteger-10,
DynamicQuantizeLinear-11; ONNX Runtime's contrib operators of domain com.microsoft.
"""

from __future__ import annotations

from spa_onnx.algebra.expression import ONE, Axes, Expr, size_of
from spa_onnx.algebra.unify import equate, factor
from spa_onnx.ops.attention import couple_attention
from spa_onnx.ops.contraction import couple_gemm, couple_matmul
from spa_onnx.ops.convolution import couple_conv
from spa_onnx.ops.elementwise import couple_all, couple_first
from spa_onnx.ops.joining import couple_concat
from spa_onnx.ops.pooling import couple_pool
from spa_onnx.ops.recurrent import couple_dynamic_lstm
from spa_onnx.ops.rule import (
    Coupling,
    Lanes,
    Mixed,
    Operands,
    OpRule,
    RefusalError,
    Resized,
    axis_of,
)
from spa_onnx.ops.view import seen_as

MICROSOFT = "com.microsoft::"


def _scaled(operands: Operands, lanes: Expr, positions: tuple[int, ...]) -> None:
    """Equate lanes with the scales and zero points that hold one number for each."""
    for position in positions:
        if operands.has(position):
            axes = operands.axes(position)
            if len(axes) == 1 and size_of(axes[0]) != 1:
                equate(operands.space, axes[0], lanes, "scale of every lane")


def couple_qlinear_conv(operands: Operands) -> Coupling:
    """Couple as Conv; scales and zero points of the weight follow its outputs."""
    if operands.node.integer("channels_last", 0):
        raise RefusalError("channels in the last axis")
    _scaled(operands, operands.axes(3)[0], (4, 5))
    return seen_as(couple_conv, (0, 3, 8), {0: 2})(operands)


def couple_conv_integer(operands: Operands) -> Coupling:
    """Couple as Conv, zero points behind the tensors."""
    _scaled(operands, operands.axes(1)[0], (3,))
    return seen_as(couple_conv, (0, 1), {0: 2})(operands)


def couple_qlinear_matmul(operands: Operands) -> Coupling:
    """Couple as MatMul; scales and zero points of the right side may be one a column."""
    _scaled(operands, operands.axes(3)[-1], (4, 5))
    return seen_as(couple_matmul, (0, 3), {0: 2})(operands)


def couple_matmul_integer(operands: Operands) -> Coupling:
    """Couple as MatMul, zero points behind the tensors."""
    _scaled(operands, operands.axes(1)[-1], (3,))
    return seen_as(couple_matmul, (0, 1), {0: 2})(operands)


def couple_matmul_integer_to_float(operands: Operands) -> Coupling:
    """Couple as MatMul with a bias."""
    columns = operands.axes(1)[-1]
    _scaled(operands, columns, (3, 5, 6))
    return seen_as(couple_matmul, (0, 1), {0: 4})(operands)


def couple_dynamic_quantize_matmul(operands: Operands) -> Coupling:
    """Couple as MatMul; the left side is quantised by its own range, which zeros do not change."""
    _scaled(operands, operands.axes(1)[-1], (2, 3, 4))
    return seen_as(couple_matmul, (0, 1))(operands)


def couple_qgemm(operands: Operands) -> Coupling:
    """Couple as Gemm."""
    columns = operands.axes(3)[0 if operands.node.integer("transB", 0) else 1]
    _scaled(operands, columns, (4, 5))
    return seen_as(couple_gemm, (0, 3, 6), {0: 2})(operands)


def couple_dynamic_quantize(operands: Operands) -> Coupling:
    """Pass the axes; scale and zero point mix everything, and a zero changes neither."""
    x = operands.axes(0)
    return Coupling((x, (), ()), (Mixed(0, tuple(range(len(x)))),))


def couple_qlinear_concat(operands: Operands) -> Coupling:
    """Concatenate every third input behind the output's scale and zero point."""
    return seen_as(couple_concat, range(2, operands.count, 3))(operands)


def couple_matmul_n_bits(operands: Operands) -> Coupling:
    """Couple a weight of four or so bits, ``B (N, blocks, bytes)``: rows, and whole blocks of K.

    ``X.last = blocks * block_size``; scales are ``N * blocks`` in one or two axes. Zero points pack
    two blocks in a byte, so blocks stay where there are any.
    """
    node, space = operands.node, operands.space
    x, weight = operands.axes(0), operands.axes(1)
    block = node.integer("block_size", 32)
    if size_of(x[-1]) != size_of(weight[1]) * block or operands.has(4):
        raise RefusalError("blocks that do not divide the rows, or reordered ones")
    blocks, inside = factor(space, x[-1], [size_of(weight[1]), block])
    space.fix_all((inside, weight[2]), "weights of a block share one scale")
    equate(space, blocks, weight[1], "blocks of a quantised weight")
    rows = weight[0]
    flat = space.product([rows, weight[1]])
    for position in (2, 3):
        if not operands.has(position):
            continue
        axes = operands.axes(position)
        packed = size_of(space.product(list(axes))) != size_of(flat)
        if packed:
            why = "zero points of two blocks share a byte"
            space.fix(weight[1], why)
            columns = size_of(space.product(list(axes))) // size_of(rows)
            packed_row = [rows, space.fixed(columns, why)]
            equate(space, space.product(list(axes)), space.product(packed_row), "zero points")
        else:
            equate(space, space.product(list(axes)), flat, "scales of blocks")
    if operands.has(5):
        equate(space, operands.axes(5)[0], rows, "bias")
    y: Axes = (*x[:-1], space.normal(rows))

    def resize(kept: Lanes) -> Resized:
        return Resized({"N": _static(kept, rows), "K": _static(kept, x[-1])})

    return Coupling(
        (tuple(map(space.normal, y)),),
        (Mixed(0, (len(x) - 1,)),),
        produced=(rows,),
        consumed=(blocks,),
        resize=resize,
        work=((*x, rows),),
    )


def _static(kept: Lanes, expr: Expr) -> int:
    length = kept.length(expr)
    if not isinstance(length, int):
        raise TypeError(f"length {length} of a quantised weight")
    return length


def couple_q_global_pool(operands: Operands) -> Coupling:
    """Pool as GlobalAveragePool does; positions are never cut where they are pooled."""
    if operands.node.integer("channels_last", 0):
        raise RefusalError("channels in the last axis")
    x = operands.axes(0)
    operands.space.fix_all(x[2:], "positions under a pooling window")
    pooled = tuple(ONE for _ in x[2:])
    return Coupling(((*x[:2], *pooled),))


def couple_q_pool(operands: Operands) -> Coupling:
    """Pool as AveragePool does."""
    if operands.node.integer("channels_last", 0):
        raise RefusalError("channels in the last axis")
    return seen_as(couple_pool, (0,))(operands)


def couple_qattention(operands: Operands) -> Coupling:
    """Couple as Attention; scales and zero points of the weight may be one a column."""
    _scaled(operands, operands.axes(1)[-1], (4, 7))
    return seen_as(couple_attention, (0, 1, 2, 5, 8), {0: 6, 1: 7})(operands)


def couple_qlinear_softmax(operands: Operands) -> Coupling:
    """Fix the axis of the softmax: its integer form has no way to leave lanes out."""
    x = operands.axes(0)
    axis = axis_of(operands, 0, -1)
    over = x[axis:] if operands.node.integer("opset", 13) < 13 else (x[axis],)
    operands.space.fix_all(over, "softmax of integers")
    return Coupling((tuple(map(operands.space.normal, x)),))


RULES = (
    OpRule("QLinearConv", couple_qlinear_conv),
    OpRule("ConvInteger", couple_conv_integer),
    OpRule("QLinearMatMul", couple_qlinear_matmul),
    OpRule("MatMulInteger", couple_matmul_integer),
    OpRule("DynamicQuantizeLinear", couple_dynamic_quantize),
    OpRule(MICROSOFT + "MatMulIntegerToFloat", couple_matmul_integer_to_float),
    OpRule(MICROSOFT + "DynamicQuantizeMatMul", couple_dynamic_quantize_matmul),
    OpRule(MICROSOFT + "QGemm", couple_qgemm),
    OpRule(MICROSOFT + "QLinearAdd", seen_as(couple_all, (0, 3))),
    OpRule(MICROSOFT + "QLinearMul", seen_as(couple_all, (0, 3))),
    OpRule(MICROSOFT + "QLinearWhere", seen_as(couple_all, (0, 1, 4))),
    OpRule(MICROSOFT + "QLinearAveragePool", couple_q_pool),
    OpRule(MICROSOFT + "DynamicQuantizeLSTM", couple_dynamic_lstm),
    OpRule(MICROSOFT + "QLinearSigmoid", couple_first),
    OpRule(MICROSOFT + "QLinearLeakyRelu", couple_first),
    OpRule(MICROSOFT + "QLinearSoftmax", couple_qlinear_softmax),
    OpRule(MICROSOFT + "QAttention", couple_qattention),
    OpRule(MICROSOFT + "QLinearConcat", couple_qlinear_concat),
    OpRule(MICROSOFT + "QLinearGlobalAveragePool", couple_q_global_pool),
    OpRule(MICROSOFT + "MatMulNBits", couple_matmul_n_bits),
)
