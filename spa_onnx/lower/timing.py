"""Time every layer that may be lowered, and what would have to be plain around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import prod

from spa_onnx.lower.choose import Timed
from spa_onnx.lower.layer import Layer
from spa_onnx.lower.packings import Packing, Zeros, count_zeros, packings, refined
from spa_onnx.lower.sizes import Shapes
from spa_onnx.lower.table import Table
from spa_onnx.lower.trial import Timing, Trial
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
    depthwise = layer.kind == "depthwise"
    tokens = prod(x[:-1]) if layer.kind == "linear" else None
    ways = [] if depthwise else packings(known, tokens)
    trial = Trial(layer, weight, bias(view, layer), x, y, tuple(ways))
    timing = table.timing(trial, known)
    finer = [way for first in _fastest(ways, timing) for way in _refined(first, layer, tokens)]
    if finer:
        more = table.timing(replace(trial, ways=tuple(finer)), known)
        timing = _joined(timing, more)
    by_name = {str(way): way for way in (*ways, *finer)}
    return Timed(layer, known, timing, by_name, (x, y), not depthwise)


FASTEST, CLOSE = 2, 1.25
"""Sizes of blocks whose tiles and chunks are tried, and how much slower than the fastest."""


def _fastest(ways: Sequence[Packing], timing: Timing) -> list[Packing]:
    """Return the ways that are worth a closer look."""
    ranked = sorted(ways, key=lambda way: timing.ways[str(way)])
    close = [w for w in ranked if timing.ways[str(w)] <= CLOSE * timing.best[1]]
    return close[:FASTEST]


def _refined(packing: Packing, layer: Layer, tokens: int | None) -> list[Packing]:
    taps = prod(layer.window.kernel) if layer.window is not None else 1
    return refined(packing, layer.shape[1], tokens, taps)


def _joined(first: Timing, second: Timing) -> Timing:
    """Return the times of both, as if the machine had been as fast as at the first."""
    pace = first.dense / second.dense if second.dense else 1.0
    more = {name: pace * time for name, time in second.ways.items()}
    return replace(first, ways={**first.ways, **more})
