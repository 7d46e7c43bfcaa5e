"""Conv and ConvTranspose of any rank and any number of groups.

    Conv:           X.1 = g*i    W.0 = g*o    W.1 = i    Y.1 = W.0
    ConvTranspose:  X.1 = g*i    W.0 = g*i    W.1 = o    Y.1 = g*o

Depthwise is ``i`` of length one. Source: ONNX Conv-22, ConvTranspose-22, DeformConv-22, Col2Im-18.
"""

from __future__ import annotations

from spa_onnx.algebra.expression import ONE, Axes, Expr, size_of
from spa_onnx.algebra.size import Size, product
from spa_onnx.algebra.unify import equate, factor
from spa_onnx.ops.rule import Coupling, Lanes, Mixed, Operands, OpRule, RefusalError, Resized
from spa_onnx.ops.view import seen_as
from spa_onnx.ops.window import Window


def couple_conv(operands: Operands) -> Coupling:
    """Couple channels through the groups; spatial axes stay unless the window passes them by."""
    x, w = operands.axes(0), operands.axes(1)
    space, groups = operands.space, operands.node.integer("group", 1)
    channels, out = size_of(x[1]), size_of(w[0])
    if channels != size_of(w[1]) * groups or not isinstance(out, int) or out % groups:
        raise RefusalError(
            f"{channels} channels, weight {w[0]} x {w[1]} and {groups} groups disagree"
        )
    group, lanes = factor(space, x[1], [groups, size_of(w[1])])
    w_group, w_out = factor(space, w[0], [groups, out // groups])
    equate(space, w_group, group, "groups of a convolution")
    equate(space, w[1], lanes, "input channels of a convolution")
    y = space.normal(w[0])
    if operands.has(2):
        equate(space, operands.axes(2)[0], y, "bias")
    window = Window.of(operands.node, [size_of(e) for e in w[2:]])
    spatial = _spatial(
        operands, x, window, [window.length(k, size_of(e)) for k, e in enumerate(x[2:])]
    )
    return _coupling(operands, (x[0], space.normal(y), *spatial), group, lanes, w_out, w[2:])


def couple_conv_transpose(operands: Operands) -> Coupling:
    """Couple channels through the groups, weight ``(C_in, C_out / groups, ...)``."""
    x, w = operands.axes(0), operands.axes(1)
    space, groups = operands.space, operands.node.integer("group", 1)
    channels = size_of(x[1])
    if channels != size_of(w[0]) or not isinstance(channels, int) or channels % groups:
        raise RefusalError(
            f"{channels} channels, weight {w[0]} x {w[1]} and {groups} groups disagree"
        )
    group, lanes = factor(space, x[1], [groups, channels // groups])
    w_group, w_lanes = factor(space, w[0], [groups, channels // groups])
    equate(space, w_group, group, "groups of a convolution")
    equate(space, w_lanes, lanes, "input channels of a convolution")
    y = space.product([group, w[1]])
    if operands.has(2):
        equate(space, operands.axes(2)[0], y, "bias")
    window = Window.of(operands.node, [size_of(e) for e in w[2:]])
    extra = operands.node.ints("output_padding", [0] * len(window.kernel))
    asked: list[Size] = [*operands.node.ints("output_shape")]
    lengths = asked or [
        window.transposed_length(k, size_of(e), extra[k]) for k, e in enumerate(x[2:])
    ]
    spatial = _spatial(operands, x, None, lengths[-len(window.kernel) :])
    return _coupling(operands, (x[0], space.normal(y), *spatial), group, lanes, w[1], w[2:])


def _spatial(operands: Operands, x: Axes, window: Window | None, lengths: list[Size]) -> list[Expr]:
    space, result = operands.space, []
    for e in operands.axes(1)[2:]:
        space.fix(e, "kernel positions")
    why = "positions under a sliding window"
    for k, (e, length) in enumerate(zip(x[2:], lengths, strict=True)):
        if window is not None and window.is_pointwise(k):
            result.append(e)
            continue
        space.fix(e, why)
        result.append(space.fixed(length, why))
    return result


def _coupling(
    operands: Operands, y: Axes, group: Expr, lanes: Expr, out: Expr, kernel: Axes
) -> Coupling:
    groups = operands.node.integer("group", 1)

    def resize(kept: Lanes) -> Resized:
        length = kept.length(group)
        return Resized({"group": length} if isinstance(length, int) else {})

    positions = operands.axes(0) if operands.node.op == "ConvTranspose" else y
    work = (positions[0], *positions[2:], group, lanes, out, *kernel)
    return Coupling(
        outputs=(y,),
        mixed=(Mixed(0, (1,)),) if size_of(lanes) != 1 else (),
        produced=(out,) if operands.is_weight(1) else (),
        consumed=(lanes,) if size_of(lanes) != 1 else (ONE,),
        resize=resize if groups > 1 else None,
        work=(work,),
    )


def couple_deform_conv(operands: Operands) -> Coupling:
    """Couple channels as Conv does; offsets and their mask belong to positions, which are fixed."""
    x = operands.axes(0)
    operands.space.fix_all(x[2:], "sampled at offsets")
    for position in (2, 4):
        if operands.has(position):
            operands.space.fix_all(operands.axes(position), "offsets of positions")
    if operands.node.integer("offset_group", 1) > 1:
        operands.space.fix(x[1], "channels in groups with offsets of their own")
    return seen_as(couple_conv, (0, 1, 3))(operands)


def couple_col2im(operands: Operands) -> Coupling:
    """Lay blocks of positions into an image: ``X.1 = channels * block``."""
    x, block, space = operands.axes(0), product(operands.sizes(2)), operands.space
    if size_of(x[1]) % block != 0:
        raise RefusalError(f"{size_of(x[1])} rows in blocks of {block}")
    channels, inside = factor(space, x[1], [size_of(x[1]) // block, block])
    space.fix_all((inside, x[2]), "positions of blocks")
    image = (space.fixed(n, "positions of an image") for n in operands.sizes(1))
    return Coupling(((space.normal(x[0]), space.normal(channels), *image),))


RULES = (
    OpRule("Conv", couple_conv),
    OpRule("ConvTranspose", couple_conv_transpose),
    OpRule("DeformConv", couple_deform_conv),
    OpRule("Col2Im", couple_col2im, frozenset({1, 2})),
)
