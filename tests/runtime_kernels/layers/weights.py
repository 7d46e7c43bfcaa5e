"""Weights to multiply by, and every way of packing them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from spa_onnx.runtime.packed_header import BLOCK_ROWS
from spa_onnx.runtime.packing import pack_bitmask, pack_blocks, pack_segments
from tests.runtime_kernels.layers.direct import Epilogue, Float32Array

Values = Literal["float32", "float16"]


@dataclass(frozen=True, slots=True)
class Packing:
    """A way of storing a matrix.

    Attributes:
        kind: of packed weight.
        values: type in which values are stored.
        block_rows: of kind blocks.
        chunk: columns of a chunk at most, of kind blocks; None: one chunk.
    """

    kind: Literal["blocks", "bitmask", "segments"]
    values: Values = "float32"
    block_rows: int = 1
    chunk: int | None = None

    def __str__(self) -> str:
        """Return the test id."""
        block = str(self.block_rows) if self.kind == "blocks" else ""
        chunk = "" if self.chunk is None else f"-chunks{self.chunk}"
        return f"{self.kind}{block}{chunk}-{self.values}"

    def pack(self, weight: Float32Array) -> bytes:
        """Return the bytes of a matrix."""
        if self.kind == "bitmask":
            return pack_bitmask(weight, self.values)
        if self.kind == "segments":
            return pack_segments(weight, self.values)
        columns = weight.shape[1]
        chunk = columns if self.chunk is None else min(self.chunk, columns)
        return pack_blocks(weight, self.block_rows, chunk, self.values)

    def random_weight(
        self, rows: int, columns: int, *, density: float = 0.3, seed: int = 0
    ) -> Float32Array:
        """Return a matrix whose values are exact as stored, with blocks at random places."""
        random = np.random.default_rng(seed)
        kept = random.random((-(-rows // self.block_rows), columns)) < density
        kept = kept.repeat(self.block_rows, axis=0)[:rows]
        made = random.standard_normal((rows, columns)).astype(self.values).astype(np.float32)
        weight: Float32Array = np.where(kept, made, np.float32(0))
        return weight


def block_packings() -> tuple[Packing, ...]:
    """Return every kind that convolutions take."""
    types: tuple[Values, ...] = ("float32", "float16")
    return tuple(
        Packing("blocks", values, rows, chunk)
        for rows in BLOCK_ROWS
        for values in types
        for chunk in (None, 10)
    )


def packings() -> tuple[Packing, ...]:
    """Return every kind, block, type of values, with chunks and without."""
    types: tuple[Values, ...] = ("float32", "float16")
    others = (Packing(kind, values) for kind in ("bitmask", "segments") for values in types)
    return (*block_packings(), *others)


def random_input(*shape: int, seed: int = 1) -> Float32Array:
    """Return normally distributed inputs."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def random_epilogue(
    rows: int,
    shape: tuple[int, ...],
    activation: str = "none",
    *,
    bias: bool = True,
    residual: bool = True,
) -> Epilogue:
    """Return an epilogue for outputs of the shape."""
    return Epilogue(
        random_input(rows, seed=2) if bias else None,
        random_input(*shape, seed=3) if residual else None,
        activation,
    )
