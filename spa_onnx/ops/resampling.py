"""Resize, Upsample, DepthToSpace, SpaceToDepth.

Source: ONNX Resize-19, Upsample-9, DepthToSpace-13, SpaceToDepth-13.
"""

from __future__ import annotations

import numpy as np

from spa_onnx.algebra.expression import Axes, Expr, size_of
from spa_onnx.algebra.size import Size, symbol
from spa_onnx.algebra.unify import factor
from spa_onnx.ops.rule import (
    Coupling,
    Lanes,
    Operands,
    OpRule,
    RefusalError,
    Resized,
    normalised,
    replaced,
)
from spa_onnx.ops.values import Value


def couple_resize(operands: Operands) -> Coupling:
    """Pass axes of scale one, fix the others."""
    x = operands.axes(0)
    named = [normalised(a, len(x)) for a in operands.node.ints("axes", list(range(len(x))))]
    lengths, from_sizes = _lengths(operands, x, named)
    scales = None if from_sizes else _scales(operands)
    y: list[Expr] = list(x)
    for k, (axis, length) in enumerate(zip(named, lengths, strict=True)):
        # an axis may be interpolated although its length stays: floor(3 * 1.2) = 3
        interpolated = scales is not None and len(scales) == len(named) and scales[k] != 1
        if interpolated or length != size_of(x[axis]):
            operands.space.fix(x[axis], "resized")
            y[axis] = operands.space.fixed(length, "resized")

    def resize(kept: Lanes) -> Resized:
        return Resized(inputs={3: [kept.length(y[axis]) for axis in named]})

    return Coupling((tuple(map(operands.space.normal, y)),), resize=resize if from_sizes else None)


def _lengths(operands: Operands, x: Axes, named: list[int]) -> tuple[list[Size], bool]:
    """Return the new lengths of the named axes, and whether they were given as sizes."""
    if operands.node.op == "Resize" and operands.has(3):
        sizes = operands.sizes(3)
        if operands.node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise RefusalError("sizes that keep an aspect ratio")
        return sizes, True
    scales = _scales(operands)
    if scales is None or len(scales) != len(named):
        inferred = operands.inferred(0)
        if inferred is None:
            raise RefusalError("the scale is computed at run time")
        return [inferred[axis] for axis in named], False
    return [
        _scaled(size_of(x[a]), float(s)) for a, s in zip(named, scales.tolist(), strict=True)
    ], False


def _scales(operands: Operands) -> Value | None:
    position = 2 if operands.node.op == "Resize" and operands.node.version > 10 else 1
    if operands.has(position):
        return operands.constant(position)
    return np.array(operands.node.attributes.get("scales", []), np.float32)


def _scaled(size: Size, scale: float) -> Size:
    if scale == int(scale):
        return size * int(scale)
    return int(size * scale) if isinstance(size, int) else symbol(f"floor({scale}*({size}))")


def couple_depth_to_space(operands: Operands) -> Coupling:
    """Move a factor of the channels to the positions: ``C = b*b*c`` (DCR) or ``c*b*b`` (CRD)."""
    x, block = operands.axes(0), operands.node.integer("blocksize", 1)
    channels = size_of(x[1])
    if channels % (block * block) != 0:
        raise RefusalError(f"{channels} channels in blocks of {block} x {block}")
    rest = channels // (block * block)
    if operands.node.text("mode", "DCR") == "DCR":
        pixels, depth = factor(operands.space, x[1], [block * block, rest])
    else:
        depth, pixels = factor(operands.space, x[1], [rest, block * block])
    operands.space.fix_all((pixels, *x[2:]), "channels become positions")
    fixed = operands.space.fixed
    spatial = [fixed(size_of(e) * block, "channels become positions") for e in x[2:]]
    return Coupling(((x[0], operands.space.normal(depth), *spatial),))


def couple_space_to_depth(operands: Operands) -> Coupling:
    """Move positions to the channels: ``C' = b*b*C``."""
    x, block = operands.axes(0), operands.node.integer("blocksize", 1)
    operands.space.fix_all(x[2:], "positions become channels")
    depth = operands.space.product([operands.space.count(block * block), x[1]])
    spatial = {k: operands.space.alike(e, size_of(e) // block) for k, e in enumerate(x) if k > 1}
    return Coupling((replaced(x, {1: depth, **spatial}),))


RULES = (
    OpRule("Resize", couple_resize, frozenset({1, 2, 3})),
    OpRule("Upsample", couple_resize, frozenset({1})),
    OpRule("DepthToSpace", couple_depth_to_space),
    OpRule("SpaceToDepth", couple_space_to_depth),
)
