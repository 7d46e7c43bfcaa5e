"""Normalisations: parameters follow the axes that they scale; statistics mix lanes.

Source: ONNX BatchNormalization-15, InstanceNormalization-22, LayerNormalization-17,
GroupNormalization-18 and -21, RMSNormalization-23, LpNormalization-22.
"""

from __future__ import annotations

from spa_onnx.algebra.expression import ONE, size_of
from spa_onnx.algebra.unify import equate, factor
from spa_onnx.ops.broadcast import broadcast
from spa_onnx.ops.rule import (
    Coupling,
    Lanes,
    Mixed,
    Neutral,
    Operands,
    OpRule,
    RefusalError,
    Resized,
    axis_of,
    normalised,
)


def couple_batch_norm(operands: Operands) -> Coupling:
    """Equate the channel axis with scale, bias, mean and variance."""
    x = operands.axes(0)
    if not operands.node.integer("spatial", 1):
        raise RefusalError("statistics of every position")
    if operands.node.integer("training_mode", 0):
        return _couple_batch_statistics(operands)
    for k in range(1, 5):
        equate(operands.space, x[1], operands.axes(k)[0], "scale and statistics")
    channels = tuple(operands.axes(k) for k in (3, 4, 3, 4))
    return Coupling((x, *channels)[: len(operands.node.outputs)])


def _couple_batch_statistics(operands: Operands) -> Coupling:
    """Normalise by the statistics of the tensor itself, as weight standardisation does."""
    x = operands.axes(0)
    for k in range(1, 5):
        equate(operands.space, x[1], operands.axes(k)[0], "scale of a normalisation")
    over = (0, *range(2, len(x)))
    y = tuple(map(operands.space.normal, x))
    outputs = (y, *((y[1],) for _ in operands.node.outputs[1:]))
    return Coupling(outputs, (Mixed(0, over, Neutral.INSTANCE_NORM),))


def couple_layer_norm(operands: Operands) -> Coupling:
    """Normalise over the trailing axes; scale and bias broadcast to them."""
    x = operands.axes(0)
    axis = axis_of(operands, 0, -1)
    for k in (1, 2):
        if operands.has(k):
            broadcast(operands.space, [x, operands.axes(k)], "scale of a normalisation")
    neutral = Neutral.LAYER_NORM if operands.node.op == "LayerNormalization" else Neutral.RMS_NORM
    statistics = (*x[:axis], *(ONE for _ in x[axis:]))
    outputs = (x, statistics, statistics)[: len(operands.node.outputs)]
    return Coupling(outputs, (Mixed(0, tuple(range(axis, len(x))), neutral),))


def couple_instance_norm(operands: Operands) -> Coupling:
    """Normalise every channel over the axes behind it."""
    x = operands.axes(0)
    for k in (1, 2):
        equate(operands.space, x[1], operands.axes(k)[0], "scale of a normalisation")
    mixed = Mixed(0, tuple(range(2, len(x))), Neutral.INSTANCE_NORM)
    return Coupling((x,), (mixed,))


def couple_group_norm(operands: Operands) -> Coupling:
    """Normalise over the channels of a group: ``X.1 = g*i``, statistics over ``i`` and positions.

    Version 18 scales groups, version 21 channels.
    """
    x, space = operands.axes(0), operands.space
    groups, channels = operands.node.integer("num_groups", 1), size_of(x[1])
    if channels % groups != 0:
        raise RefusalError(f"{channels} channels in {groups} groups")
    group, inside = factor(space, x[1], [groups, channels // groups])
    for k in (1, 2):
        (scale,) = operands.axes(k)
        per_group = operands.node.version < 21 or size_of(scale) != channels
        equate(space, scale, group if per_group else x[1], "scale of a normalisation")
    if operands.node.version < 21:
        space.fix(inside, "GroupNormalization-18 scales whole groups")
    space.fix_all(x[2:], "positions normalised over")

    def resize(kept: Lanes) -> Resized:
        return Resized({"num_groups": kept.length(group)})  # type: ignore[dict-item]

    mixed = Mixed(0, (1,), Neutral.GROUP_NORM)
    statistics = (x[0], group)
    return Coupling((tuple(map(space.normal, x)),), (mixed,), resize=resize, hidden=(statistics,))


def couple_lp_norm(operands: Operands) -> Coupling:
    """Divide by the norm over one axis: a removed lane counts as zero."""
    axis = axis_of(operands, 0, -1)
    return Coupling((operands.axes(0),), (Mixed(0, (axis,)),))


def couple_mean_variance(operands: Operands) -> Coupling:
    """Standardise over the named axes, by default all but the channels."""
    x = operands.axes(0)
    over = tuple(normalised(a, len(x)) for a in operands.node.ints("axes", [0, 2, 3]))
    return Coupling((x,), (Mixed(0, over, Neutral.INSTANCE_NORM),))


def couple_lrn(operands: Operands) -> Coupling:
    """Fix the channels: each is divided by its neighbours."""
    x = operands.axes(0)
    operands.space.fix(x[1], "local response over neighbouring channels")
    return Coupling((tuple(map(operands.space.normal, x)),))


RULES = (
    OpRule("BatchNormalization", couple_batch_norm),
    OpRule("LayerNormalization", couple_layer_norm),
    OpRule("RMSNormalization", couple_layer_norm),
    OpRule("SimplifiedLayerNormalization", couple_layer_norm),
    OpRule("InstanceNormalization", couple_instance_norm),
    OpRule("GroupNormalization", couple_group_norm),
    OpRule("LpNormalization", couple_lp_norm),
    OpRule("MeanVarianceNormalization", couple_mean_variance),
    OpRule("LRN", couple_lrn),
)
