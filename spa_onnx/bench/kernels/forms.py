"""Ways to pack a weight and to run it, of which the fastest is what counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spa_onnx.bench.kernels.shapes import Convolution, Layer
from spa_onnx.lower.packings import tiles_and_chunks
from spa_onnx.runtime.packed_header import BLOCK_ROWS, SEGMENT
from spa_onnx.runtime.packing import pack_bitmask, pack_blocks, pack_segments
from spa_onnx.sparse.pattern import Pattern

Float32Array = NDArray[np.float32]

LANES = 16
"""Rows of a block from which on the kernels for tokens keep rows in lanes."""


@dataclass(frozen=True, slots=True)
class Form:
    """One way to pack a weight and to run it.

    Attributes:
        kind: of the packed format.
        block_rows: rows of a block.
        chunk: columns of a chunk; 0 is all of them.
        tile: vectors or tokens of a tile; 0 leaves it to the kernel.
        half: store values as float16.
    """

    kind: Literal["blocks", "bitmask", "segments"] = "blocks"
    block_rows: int = 1
    chunk: int = 0
    tile: int = 0
    half: bool = False

    def __str__(self) -> str:
        words = [f"{self.block_rows}x1" if self.kind == "blocks" else self.kind]
        words += [f"chunk {self.chunk}"] if self.chunk else []
        words += [f"tile {self.tile}"] if self.tile else []
        return ", ".join(words + ["float16"] * self.half)

    def pack(self, weight: Float32Array) -> bytes:
        """Return the packed weight ``(rows, columns)``."""
        values = np.float16 if self.half else np.float32
        match self.kind:
            case "bitmask":
                return pack_bitmask(weight, values)
            case "segments":
                return pack_segments(weight, values)
            case "blocks":
                return pack_blocks(weight, self.block_rows, self.chunk or None, values)


def forms(layer: Layer, pattern: Pattern, *, half: bool = False) -> list[Form]:
    """Return the ways worth trying."""
    rows = max(rows for rows in BLOCK_ROWS if pattern.outputs % rows == 0)
    if layer.positions == 1:
        found = _decode_forms(pattern, rows)
    elif rows >= LANES and not isinstance(layer, Convolution):
        found = (Form(block_rows=rows, tile=tile) for tile in (0, 12, 8))
    else:
        found = _panel_forms(layer, rows)
    return [replace(form, half=half) for form in found]


def _decode_forms(pattern: Pattern, rows: int) -> Iterator[Form]:
    if pattern.inputs % SEGMENT == 0 and not pattern.kept and pattern.outputs == 1:
        yield Form("segments")
    elif pattern.outputs > 1:
        yield Form(block_rows=rows)
    else:
        yield Form("bitmask")
        yield Form()


def _panel_forms(layer: Layer, rows: int) -> Iterator[Form]:
    taps = layer.kernel**2 if isinstance(layer, Convolution) else 1
    for tile, chunk in tiles_and_chunks(rows, layer.columns, taps):
        yield Form(block_rows=rows, tile=tile, chunk=chunk)
