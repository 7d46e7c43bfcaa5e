"""Random weights with zeros in a pattern."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spa_onnx.bench.kernels.shapes import Layer
from spa_onnx.sparse.pattern import Pattern

Float32Array = NDArray[np.float32]
BoolArray = NDArray[np.bool_]


def masked(
    layer: Layer, pattern: Pattern, sparsity: float, random: np.random.Generator
) -> Float32Array:
    """Return a random weight ``(rows, columns)`` whose zeros are whole blocks of the pattern.

    Of all blocks the same share stays in every weight, to the block; which ones is drawn from the
    whole matrix, so rows differ in length as they do after pruning by magnitude.
    """
    weight = random.standard_normal((layer.rows, layer.columns), np.float32)
    weight *= np.float32(1 / np.sqrt(layer.columns))
    kept = _some_of_many if pattern.kept else _blocks
    return weight * kept(layer, pattern, sparsity, random)[: layer.rows, : layer.columns]


def _blocks(
    layer: Layer, pattern: Pattern, sparsity: float, random: np.random.Generator
) -> BoolArray:
    rows, columns = -(-layer.rows // pattern.outputs), -(-layer.columns // pattern.inputs)
    stays = _drawn(random.random((1, rows * columns), np.float32), _left(rows * columns, sparsity))
    wide = stays.reshape(rows, columns).repeat(pattern.outputs, 0)
    return wide.repeat(pattern.inputs, 1)


def _some_of_many(
    layer: Layer, pattern: Pattern, _sparsity: float, random: np.random.Generator
) -> BoolArray:
    groups = layer.rows * -(-layer.columns // pattern.inputs)
    stays = _drawn(random.random((groups, pattern.inputs), np.float32), pattern.kept)
    return stays.reshape(layer.rows, -1)


def _left(blocks: int, sparsity: float) -> int:
    return round((1 - sparsity) * blocks)


def _drawn(worth: Float32Array, count: int) -> BoolArray:
    """Return which numbers of each row are among its ``count`` smallest."""
    stays = np.zeros(worth.shape, bool)
    if count:
        chosen = np.argpartition(worth, count - 1, axis=1)[:, :count]
        np.put_along_axis(stays, chosen, True, axis=1)
    return stays
