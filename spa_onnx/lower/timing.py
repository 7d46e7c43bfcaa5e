"""Time every layer that may be lowered, and what would have to be plain around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod

from spa_onnx.lower.choose import Timed
from spa_onnx.lower.layer import Layer
from spa_onnx.lower.packings import Packing, Zeros, count_zeros, packings
from spa_onnx.lower.sizes import Shapes
from spa_onnx.lower.table import Table
from spa_onnx.lower.trial import Trial
from spa_onnx.lower.view import View
from spa_onnx.lower.weights import bias, matrix

Tell = Callable[[int, int], None]
"""Told how many layers of how many are done."""


def zeros_of(view: View, layers: Sequence[Layer]) -> dict[Layer, Zeros]:
    """Return where the zeros of all layers are; depthwise ones do not count."""
    return {
        layer: count_zeros(matrix(view, layer.source))
        for layer in layers
        if layer.kind != "depthwise"
    }


def time_layers(
    view: View,
    zeros: Mapping[Layer, Zeros],
    layers: Sequence[Layer],
    shapes: Shapes,
    table: Table,
    tell: Tell,
) -> list[Timed]:
    """Return the times of layers, from the table where it knows them.

    Args:
        view: of the graph.
        zeros: of the layers' matrices.
        layers: that may be lowered for themselves. Depthwise ones are looked at if one of the
            others is a convolution.
        shapes: of tensors.
        table: keeps times.
        tell: of progress.
    """
    has_planes = any(layer.kind == "conv" for layer in layers)
    chosen = [layer for layer in layers if layer.kind != "depthwise" or has_planes]
    shapes.look(name for layer in chosen for name in (layer.x, layer.y))
    found = []
    for k, layer in enumerate(chosen):
        tell(k, len(chosen))
        timed = _timed(view, layer, zeros.get(layer), shapes, table)
        if timed is not None:
            found.append(timed)
    table.save()
    return found


def _timed(
    view: View, layer: Layer, zeros: Zeros | None, shapes: Shapes, table: Table
) -> Timed | None:
    x, y = shapes(layer.x), shapes(layer.y)
    if x is None or y is None or not prod(x) * prod(y):
        return None
    weight = partial(matrix, view, layer.source)
    known = count_zeros(weight()) if zeros is None else zeros
    ways = _ways(layer, known, x)
    trial = Trial(layer, weight, bias(view, layer), x, y, tuple(ways.values()))
    timing = table.timing(trial, known)
    return Timed(layer, known, timing, ways, (x, y), layer.kind != "depthwise")


def _ways(layer: Layer, zeros: Zeros, x: tuple[int, ...]) -> dict[str, Packing]:
    """Return how a layer's weight may be packed, by name."""
    match layer.kind:
        case "depthwise":
            found = []
        case "conv":
            taps = prod(layer.window.kernel) if layer.window is not None else 1
            found = packings(zeros, layer.shape[1], None, taps)
        case "linear":
            found = packings(zeros, layer.shape[1], prod(x[:-1]), 1)
    return {str(way): way for way in found}
