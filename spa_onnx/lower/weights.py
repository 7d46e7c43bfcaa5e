"""Matrices and biases of layers, with what follows them folded in, in float64 and then float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spa_onnx.lower.layer import Layer, Step, WeightSource
from spa_onnx.lower.view import View

Floats = NDArray[np.float32]
Numbers = NDArray[np.float64]


def matrix(view: View, source: WeightSource) -> Floats:
    """Return a weight as ``(outputs, inputs)``.

    That of a grouped convolution has a column for every channel and tap, zeros outside the own
    group; that of a depthwise one ``(channels, taps)``.
    """
    weight = np.asarray(view.array(source.tensor), np.float32)
    weight = weight.T if source.is_transposed else weight
    scale = np.full(weight.shape[0], source.factor)
    for step in source.scaled_by:
        scale = scale * scale_of(view, step)
    if not (scale == 1).all():
        shape = (-1, *[1] * (weight.ndim - 1))
        weight = (weight * scale.reshape(shape)).astype(np.float32)
    if weight.ndim == 4 and source.group > 1 and weight.shape[1] > 1:
        weight = ungrouped(weight, source.group)
    return np.ascontiguousarray(weight.reshape(weight.shape[0], -1), np.float32)


def ungrouped(weight: NDArray[Any], group: int) -> Floats:
    """Return the weight ``(outputs, all channels, ...)`` of a grouped convolution."""
    outputs, channels = weight.shape[0] // group, weight.shape[1]
    wide = np.zeros((weight.shape[0], channels * group, *weight.shape[2:]), np.float32)
    for k in range(group):
        own = slice(k * outputs, (k + 1) * outputs)
        wide[own, k * channels : (k + 1) * channels] = weight[own]
    return wide


def regrouped(wide: NDArray[Any], group: int) -> NDArray[Any] | None:
    """Return what :func:`ungrouped` was given; None where it can have given no such thing."""
    outputs, channels = wide.shape[0] // group, wide.shape[1] // group
    narrow = np.empty((wide.shape[0], channels, *wide.shape[2:]), wide.dtype)
    for k in range(group):
        own = slice(k * outputs, (k + 1) * outputs)
        narrow[own] = wide[own, k * channels : (k + 1) * channels]
    return narrow if np.array_equal(ungrouped(narrow, group), wide, equal_nan=True) else None


def bias(view: View, layer: Layer) -> Floats | None:
    """Return what is added to each output, ``(outputs,)``; None for nothing."""
    if not layer.steps:
        return None
    total = np.zeros(layer.shape[0])
    for step in layer.steps:
        total = total * scale_of(view, step) + _offset(view, step)
    return total.astype(np.float32)


def scale_of(view: View, step: Step) -> Numbers:
    """Return what a step multiplies each output by."""
    if step.op == "add":
        return np.ones(1)
    first = view.array(step.tensors[0]).reshape(-1).astype(np.float64)
    if step.op == "multiply":
        return first
    variance = view.array(step.tensors[3]).astype(np.float64)
    return np.asarray(first / np.sqrt(variance + step.factor))


def _offset(view: View, step: Step) -> Numbers:
    """Return what a step adds to each output."""
    if step.op == "multiply":
        return np.zeros(1)
    if step.op == "add":
        return step.factor * view.array(step.tensors[0]).reshape(-1).astype(np.float64)
    offset, mean = (view.array(n).astype(np.float64) for n in step.tensors[1:3])
    return np.asarray(offset - mean * scale_of(view, step))
