"""Packed weights to begin with: every kind, block, index and value type, tails included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.packed_header import BLOCK_ROWS
from spa_onnx.runtime.packing import (
    pack_bitmask,
    pack_blocks,
    pack_segments,
    pack_tiles,
    pack_two_of_four,
)
from tests.spa_onnx.runtime.thinned import two_of_four

SHAPES = ((1, 1), (5, 9), (33, 70), (64, 36))
WIDE = (2, 70_000)
"""Columns that an index of two bytes does not count."""

TILES = ((16, 16), (32, 64), (64, 32))
MANY_TILES = 16 * 2**16 + 1
"""Columns of more tiles beside each other than an index of two bytes counts."""


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield names and packed bytes."""
    for shape in SHAPES:
        weight = whole_numbers(*shape)
        label = "x".join(map(str, shape))
        for values in (np.float32, np.float16):
            kind = np.dtype(values).name
            for rows in BLOCK_ROWS:
                chunk = max(1, shape[1] // 3)
                yield f"blocks{rows}-{label}-{kind}", pack_blocks(weight, rows, chunk, values)
            yield f"bitmask-{label}-{kind}", pack_bitmask(weight, values)
            yield f"segments-{label}-{kind}", pack_segments(weight, values)
        for half in ("float16", "bfloat16"):
            for rows, columns in TILES:
                tiles = pack_tiles(weight, rows, columns, half)
                yield f"tiles{rows}x{columns}-{label}-{half}", tiles
            yield f"two-of-four-{label}-{half}", pack_two_of_four(two_of_four(weight), half)
        yield f"bitmask-{label}-bfloat16", pack_bitmask(weight, "bfloat16")
    wide = whole_numbers(*WIDE, density=1e-3)
    yield "blocks1-wide", pack_blocks(wide, 1)
    yield "empty", pack_blocks(np.zeros((7, 20), np.float32), 4)
    yield "tiles-wide", pack_tiles(np.eye(1, MANY_TILES, MANY_TILES - 1, np.float32), 16, 16)
    yield "tiles-empty", pack_tiles(np.zeros((7, 20), np.float32), 16, 32)


def whole_numbers(rows: int, columns: int, density: float = 0.3) -> npt.NDArray[np.float32]:
    """Return a sparse matrix of small whole numbers, whose sums are exact."""
    random = np.random.default_rng((rows, columns))
    weight = random.integers(-4, 5, (rows, columns)).astype(np.float32)
    weight[random.random(weight.shape) >= density] = 0
    return weight


def write_seeds(folder: Path) -> list[Path]:
    """Write every seed to a file of its own."""
    paths = []
    for name, packed in seeds():
        paths.append(folder / f"{name}.packed")
        paths[-1].write_bytes(packed)
    return paths
