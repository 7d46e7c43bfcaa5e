"""The scale in which a model wants its pictures, as far as its graph tells.

Arithmetic with constants at the front is a normalisation of pixels, so pixels are fed; a first
BatchNormalization holds the moments of what it saw in training. Where nothing tells, channels have
mean zero and variance one, which is how most training recipes prepare them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spa_onnx.analyse.propagate import Propagation
from spa_onnx.execute.feeds import PASS_THROUGH
from spa_onnx.graph.node import Node
from spa_onnx.layers.find import Layer, layers_of
from spa_onnx.layers.moments import Moments
from spa_onnx.normalise.graph import Graph

Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

BRIGHTEST = 255.0
"""Value of a white pixel where pixels are bytes."""

LARGE_OFFSET = 2.0
"""An offset above this is one of bytes: pixels between zero and one have none so large."""

SMALL_FACTOR = 0.02
"""A factor below this is one for bytes, for it leaves nothing of smaller values."""

COMPARED = 16384
"""Receptive fields that the moments of the first layer are estimated from."""

GAINS = (1e-3, 1e4)
"""Least and greatest factor that a first BatchNormalization may ask for."""


def fit_scale(pictures: Array, state: Propagation, name: str) -> Array:
    """Return pictures ``(items, channels, height, width)`` as the input ``name`` wants them.

    Args:
        pictures: values between zero and one.
        state: the solved graph.
        name: of the input.
    """
    factor, offset, steps, at = _front(state.graph, name, pictures.shape[1])
    if steps:
        is_bytes = abs(offset) > LARGE_OFFSET * abs(factor) or abs(factor) < SMALL_FACTOR
        brightest = BRIGHTEST if is_bytes else 1.0
        return (pictures * np.float32(brightest)).astype(np.float32)
    mean = pictures.mean(axis=(0, 2, 3), keepdims=True, dtype=np.float64)
    deviation = np.maximum(pictures.std(axis=(0, 2, 3), keepdims=True, dtype=np.float64), 1e-6)
    plain: Array = ((pictures - mean) / deviation).astype(np.float32)
    found = _told_by_normalisation(plain, state.graph, at)
    if found is None:
        return plain
    gain, shift = found
    fitted: Array = (plain * gain + shift[:, None, None]).astype(np.float32)
    return fitted


def _front(graph: Graph, name: str, channels: int) -> tuple[float, float, int, str]:
    """Return ``factor x + offset`` that a graph makes of an input first, how many nodes do, where.

    Factors and offsets of channels are averaged.
    """
    factor, offset, steps = 1.0, 0.0, 0
    while (node := _only_reader(graph, name)) is not None:
        if node.op not in PASS_THROUGH:
            value = _constant(graph, node, name, channels)
            if value is None:
                break
            factor, offset = _composed(node.op, factor, offset, value)
            steps += 1
        name = node.outputs[0]
    return factor, offset, steps, name


def _constant(graph: Graph, node: Node, name: str, channels: int) -> float | None:
    """Return the mean of the constant with which a node changes every channel of a picture."""
    other = next((n for n in node.inputs if n and n != name), "")
    if node.op not in ("Sub", "Div", "Mul", "Add") or other not in graph.tensors:
        return None
    if node.op in ("Sub", "Div") and node.inputs[0] != name:
        return None
    values = graph.array(other).astype(np.float64)
    return float(values.mean()) if values.size in (1, channels) and values.all() else None


def _composed(op: str, factor: float, offset: float, value: float) -> tuple[float, float]:
    match op:
        case "Sub":
            return factor, offset - value
        case "Add":
            return factor, offset + value
        case "Mul":
            return factor * value, offset * value
        case _:
            return factor / value, offset / value


def _only_reader(graph: Graph, name: str) -> Node | None:
    readers = [node for node in graph.nodes if name in node.inputs]
    return readers[0] if len(readers) == 1 and not readers[0].scope else None


def _told_by_normalisation(
    pictures: Array, graph: Graph, name: str
) -> tuple[float, FloatArray] | None:
    """Return a factor and an offset for each channel that give a first layer its stored moments."""
    layer = next((one for one in layers_of(graph) if one.node.inputs[0] == name), None)
    if layer is None:
        return None
    norm = graph.only_consumer(layer.node, "BatchNormalization")
    if norm is None or any(n not in graph.tensors for n in norm.inputs[3:5]):
        return None
    seen = _moments(layer, pictures)
    weight = layer.matrix(graph.array(layer.weight.name).astype(np.float64))
    mean, variance = (graph.array(n).astype(np.float64).reshape(-1) for n in norm.inputs[3:5])
    made = np.einsum("gok,gkl,gol->go", weight, seen.covariance, weight).reshape(-1)
    alive = (made > made.max() * 1e-6) & (variance > variance.max() * 1e-6)
    if len(weight) != 1 or not alive.any():
        return None
    gain = float(np.clip(np.sqrt(np.median(variance[alive] / made[alive])), *GAINS))
    channels = pictures.shape[1]
    sums = np.zeros((len(mean), channels))
    np.add.at(sums.T, layer.positions()[0], weight[0].T)
    bias = layer.node.inputs[2] if len(layer.node.inputs) > 2 else ""
    wanted = mean - (graph.array(bias).astype(np.float64) if bias else 0.0)
    gram = sums.T @ sums
    ridge = 1e-2 * np.trace(gram) / channels + 1e-12
    shift = np.linalg.solve(gram + ridge * np.eye(channels), sums.T @ wanted)
    return gain, np.clip(shift, -2 * gain, 2 * gain)


def _moments(layer: Layer, pictures: Array) -> Moments:
    """Return the moments of what a layer sees of pictures."""
    found = Moments()
    rng = np.random.default_rng(0)
    places = layer.places(layer.grid(pictures.shape), COMPARED, rng)
    found.add(layer.features(pictures, places))
    return found
