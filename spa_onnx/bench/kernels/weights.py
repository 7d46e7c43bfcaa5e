"""Random weights with zeros in a pattern, and the packed forms that may suit them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.bench.kernels.shapes import Convolution, Layer
from spa_onnx.runtime.packing import pack_bitmask, pack_blocks, pack_segments
from spa_onnx.sparse.pattern import Pattern

Float32Array = NDArray[np.float32]

L1_BYTES = 32 * 1024
"""Of a panel's chunk, so that rows of the weight pass over it in the first-level cache."""


@dataclass(frozen=True, slots=True)
class Form:
    """One way to pack a weight and to run it.

    Attributes:
        kind: ``blocks``, ``bitmask`` or ``segments``.
        block_rows: rows of a block.
        chunk: columns of a chunk; 0 is all of them.
        tile: vectors or tokens of a tile; 0 leaves it to the kernel.
        half: store values as float16.
    """

    kind: str = "blocks"
    block_rows: int = 1
    chunk: int = 0
    tile: int = 0
    half: bool = False

    def __str__(self) -> str:
        words = [self.kind if self.kind != "blocks" else f"{self.block_rows}x1"]
        words += [f"chunk {self.chunk}"] * bool(self.chunk) + [f"tile {self.tile}"] * bool(
            self.tile
        )
        return ", ".join(words + ["float16"] * self.half)

    def pack(self, weight: Float32Array) -> bytes:
        """Return the packed weight ``(rows, columns)``."""
        values = np.float16 if self.half else np.float32
        if self.kind == "bitmask":
            return pack_bitmask(weight, values)
        if self.kind == "segments":
            return pack_segments(weight, values)
        return pack_blocks(weight, self.block_rows, self.chunk or None, values)


def masked(
    layer: Layer, pattern: Pattern, sparsity: float, random: np.random.Generator
) -> Float32Array:
    """Return a random weight ``(rows, columns)`` of which whole blocks are zero."""
    weight = random.standard_normal((layer.rows, layer.columns), np.float32)
    weight *= np.float32(1 / np.sqrt(layer.columns))
    rows, columns = -(-layer.rows // pattern.outputs), -(-layer.columns // pattern.inputs)
    if pattern.kept:
        worth = random.random((layer.rows, columns, pattern.inputs))
        ranked = np.argsort(np.argsort(worth, axis=2), axis=2)
        kept = (ranked < pattern.kept).reshape(layer.rows, -1)
        return weight * kept[:, : layer.columns]
    stays = np.zeros(rows * columns, bool)
    stays[random.permutation(stays.size)[: round((1 - sparsity) * stays.size)]] = True
    kept = stays.reshape(rows, columns).repeat(pattern.outputs, 0).repeat(pattern.inputs, 1)
    return weight * kept[: layer.rows, : layer.columns]


def forms(layer: Layer, pattern: Pattern) -> Iterator[Form]:
    """Yield the ways worth trying."""
    if layer.positions == 1:
        yield from decode_forms(pattern)
    elif pattern.outputs >= 16 and not isinstance(layer, Convolution):
        yield from (Form(block_rows=pattern.outputs, tile=tile) for tile in (0, 12, 8))
    else:
        yield from panel_forms(layer, pattern.outputs)


def decode_forms(pattern: Pattern) -> Iterator[Form]:
    """Yield the ways for one token."""
    if pattern.inputs == 16 and not pattern.kept:
        yield Form("segments")
    elif pattern.outputs > 1:
        yield Form(block_rows=pattern.outputs)
    else:
        yield Form("bitmask")
        yield Form()


def panel_forms(layer: Layer, block_rows: int) -> Iterator[Form]:
    """Yield tiles that keep many sums in registers, with and without chunks that stay in L1."""
    taps = layer.kernel**2 if isinstance(layer, Convolution) else 1
    for tile in {1: (8, 6, 4, 2), 2: (6, 4), 4: (6, 5, 4)}.get(block_rows, (3, 2)):
        yield Form(block_rows=block_rows, tile=tile)
        for size in (L1_BYTES, L1_BYTES // 2):
            chunk = max(16, size // (tile * 64) // 16 * 16) * taps
            if chunk < layer.columns:
                yield Form(block_rows=block_rows, tile=tile, chunk=chunk)
