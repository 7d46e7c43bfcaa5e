"""Linear layers as non-negative matrices between channels.

Positions are averaged before a convolution, and kernels summed over their taps: what enters is
constant along positions, but for borders, which are ignored.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from spa_onnx.flow.spot import BlockedError, Edge
from spa_onnx.flow.values import FloatArray, Flow, summed
from spa_onnx.layers.convolution import Convolution
from spa_onnx.layers.layer import Array, Layer
from spa_onnx.layers.transposed import TransposedConvolution

Masks = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Which lanes stay in a layer's input and output, each of a shape that broadcasts to the tensor."""


def channel_matrix(layer: Layer, weight: Array) -> NDArray[np.floating]:
    """Return absolute weights summed over kernel positions, ``(groups, outputs, channels)``.

    A position of a transposed convolution's output is reached by one tap in ``prod(strides)``.
    """
    wide = weight if weight.dtype == np.float64 else weight.astype(np.float32)
    matrix = np.abs(layer.matrix(wide))
    channels = len(np.unique(layer.positions()[0]))
    matrix = matrix.reshape(*matrix.shape[:2], channels, -1).sum(axis=-1)
    if isinstance(layer, TransposedConvolution):
        matrix = matrix / matrix.dtype.type(prod(layer.window.strides))
    summed_taps: NDArray[np.floating] = matrix
    return summed_taps


def layer_edge(layer: Layer, matrix: NDArray[np.floating], x: Flow, masks: Masks) -> Edge:
    """Return what a layer makes of the lanes of its input that stay.

    Raises:
        BlockedError: the input has too few axes.
    """
    shape = x.values.shape
    if len(shape) < -layer.axis:
        raise BlockedError
    spatial = tuple(range(2, len(shape))) if isinstance(layer, Convolution) else ()
    positions = prod(shape[k] for k in spatial)
    groups, _, channels = matrix.shape
    before, after = masks

    def forward(values: FloatArray) -> FloatArray:
        mean = values.mean(axis=spatial, keepdims=True) * before
        front = np.moveaxis(mean, layer.axis, -1)
        full = np.broadcast_to(front, (*front.shape[:-1], groups * channels))
        return np.moveaxis(_apply(matrix, full), -1, layer.output_axis) * after

    def pull(g: Flow) -> Flow:
        front = np.moveaxis(g.values * after, layer.output_axis, -1)
        back = np.moveaxis(_apply(matrix.transpose(0, 2, 1), front), -1, layer.axis) * before
        spread = np.broadcast_to(summed(back, _inner(shape, spatial)), shape) / positions
        return Flow.of(spread, g.exponent)

    made = Flow.of(forward(x.values), x.exponent)
    return Edge(layer.source, layer.node.outputs[0], made, pull)


def _inner(shape: tuple[int, ...], spatial: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if k in spatial else n for k, n in enumerate(shape))


def _apply(matrix: NDArray[np.floating], rows: FloatArray) -> FloatArray:
    """Multiply the last axis with a block-diagonal matrix."""
    wide = matrix.astype(np.float64)
    if len(wide) == 1:
        return np.asarray(rows @ wide[0].T, np.float64)
    blocks = rows.reshape(*rows.shape[:-1], len(wide), 1, wide.shape[2])
    made = blocks @ wide.transpose(0, 2, 1)
    return np.asarray(made.reshape(*rows.shape[:-1], -1), np.float64)


def side_axis(layer: Layer, rank: int, *, output: bool) -> int:
    """Return the axis of a layer's channels, counted from the front."""
    return (layer.output_axis if output else layer.axis) % rank
