from __future__ import annotations

from collections.abc import Mapping

import onnx

from spa_onnx.load.model import load
from spa_onnx.lower.choose import Timed, choose
from spa_onnx.lower.find import find_layers
from spa_onnx.lower.layer import Layer
from spa_onnx.lower.packings import Packing, Zeros
from spa_onnx.lower.sizes import Shapes
from spa_onnx.lower.trial import PLAIN, Timing
from spa_onnx.lower.view import View
from spa_onnx.normalise.graph import normalise
from tests.builders import GraphBuilder
from tests.spa_onnx.lower.models import conv, feeds_of, linear, picture

Times = Mapping[str, tuple[float, float]]
"""Microseconds dense and packed by a part of the layer's label."""

WAY = Packing(1, 4)
CHANGE = 8.0


def chosen(
    model: onnx.ModelProto, times: list[tuple[float, float]], *, force: bool = False
) -> list[int]:
    """Return the positions of the layers that are lowered, with these times dense and packed."""
    view = View.of(normalise(load(model)))
    shapes = Shapes.of(view, feeds_of(model))
    layers = find_layers(view).layers
    timed = [timed_as(layer, shapes, *time) for layer, time in zip(layers, times, strict=True)]
    found = choose(view, timed, shapes, force=force)
    return [k for k, t in enumerate(timed) if t in found]


def timed_as(layer: Layer, shapes: Shapes, dense: float, packed: float) -> Timed:
    x, y = shapes(layer.x), shapes(layer.y)
    assert x is not None
    assert y is not None
    depthwise = layer.kind == "depthwise"
    change = 0.0 if layer.kind == "linear" else CHANGE
    timing = Timing(dense, change, change, {PLAIN if depthwise else str(WAY): packed})
    zeros = Zeros(0.2, {1: 0.2, 4: 0.2}, 0.9)
    return Timed(layer, zeros, timing, {} if depthwise else {str(WAY): WAY}, (x, y), not depthwise)


def mlp() -> onnx.ModelProto:
    g = GraphBuilder()
    return g.model(linear(g, g.relu(linear(g, g.input("x", (4, 10)), 12)), 5))


def test_linear_layers_are_lowered_each_for_itself() -> None:
    assert chosen(mlp(), [(10, 5), (10, 9.9)]) == [0]
    assert chosen(mlp(), [(10, 11), (10, 5)]) == [1]
    assert chosen(mlp(), [(10, 11), (10, 12)]) == []


def test_force_lowers_what_can_be() -> None:
    assert chosen(mlp(), [(10, 11), (10, 12)], force=True) == [0, 1]


def three(*, stem: bool = False) -> onnx.ModelProto:
    """Return three convolutions, or as many behind one with few channels."""
    g = GraphBuilder()
    x = picture(g, 32)
    for _ in range(3):
        x = g.relu(conv(g, x, 32, 3, pads=[1] * 4))
    return g.model(g.softmax(x) if stem else x)


def test_convolutions_from_end_to_end_are_plain_anyway() -> None:
    assert chosen(three(), [(10, 9), (10, 9), (10, 9)]) == [0, 1, 2]


def test_one_slow_convolution_is_carried_by_its_region() -> None:
    assert chosen(three(), [(10, 5), (10, 12), (10, 5)]) == [0, 1, 2]


def test_one_that_is_much_slower_splits_the_region() -> None:
    assert chosen(three(), [(30, 5), (10, 80), (30, 5)]) == [0, 2]


def test_nothing_is_lowered_where_dense_is_faster() -> None:
    assert chosen(three(), [(10, 50), (10, 50), (10, 50)]) == []
    assert chosen(three(), [(10, 50), (10, 50), (10, 50)], force=True) == [0, 1, 2]


def separable() -> onnx.ModelProto:
    g = GraphBuilder()
    x = g.relu(conv(g, picture(g, 32), 32))
    x = g.relu(g.conv(x, 32, 3, groups=32))
    return g.model(conv(g, x, 32))


def test_a_depthwise_convolution_joins_its_neighbours() -> None:
    assert chosen(separable(), [(20, 5), (10, 14), (20, 5)]) == [0, 1, 2]
    assert chosen(separable(), [(40, 5), (10, 60), (40, 5)]) == [0, 2]


def test_a_depthwise_convolution_is_not_lowered_alone() -> None:
    assert chosen(separable(), [(10, 90), (20, 5), (10, 90)]) == []


def test_a_dense_convolution_in_between_needs_its_layout() -> None:
    g = GraphBuilder()
    x = g.relu(conv(g, picture(g, 32), 32))
    x = g.relu(conv(g, g.relu(g.conv(x, 32, 3)), 32))
    model = g.model(x)
    view = View.of(normalise(load(model)))
    shapes = Shapes.of(view, feeds_of(model))
    first, _, last = find_layers(view).layers

    def lowered(gain: float) -> int:
        timed = [timed_as(layer, shapes, 20, 20 - gain) for layer in (first, last)]
        return len(choose(view, timed, shapes, force=False))

    assert lowered(5) == 2  # ends are plain, so either way one change is needed at each
    assert lowered(-1) == 0
