"""Weights for GPUs, and every way of packing them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.cuda import Half, dtype_of
from spa_onnx.runtime.packed_kinds import TILE_SIDES
from spa_onnx.runtime.packing import pack_bitmask, pack_tiles, pack_two_of_four

HalfArray = npt.NDArray[Any]
"""Of float16 or bfloat16."""

HALVES: tuple[Half, ...] = ("float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class Packing:
    """A way of storing a matrix.

    Attributes:
        kind: of packed weight.
        values: type of the values, and of all tensors of the layer.
        block: rows and columns of a block of kind tiles.
    """

    kind: Literal["tiles", "two_of_four", "bitmask"]
    values: Half = "float16"
    block: tuple[int, int] = (16, 16)

    def __str__(self) -> str:
        """Return the test id."""
        block = "{}x{}".format(*self.block) if self.kind == "tiles" else ""
        return f"{self.kind}{block}-{self.values}"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the numpy type of the values."""
        return dtype_of(self.values)

    @property
    def does_planes(self) -> bool:
        """Say whether convolutions take it."""
        return self.kind != "bitmask"

    def pack(self, weight: HalfArray) -> bytes:
        """Return the bytes of a matrix."""
        match self.kind:
            case "tiles":
                return pack_tiles(weight, *self.block, self.dtype)
            case "two_of_four":
                return pack_two_of_four(weight, self.dtype)
            case "bitmask":
                return pack_bitmask(weight, self.dtype)

    def random_weight(
        self, rows: int, columns: int, *, density: float = 0.4, seed: int = 0
    ) -> HalfArray:
        """Return a matrix whose zeros this packing may have, blocks at random places.

        2:4 weights have at most two values in every group; of a density of 1, always two.
        """
        random = np.random.default_rng(seed)
        made = random.standard_normal((rows, columns)).astype(self.dtype)
        return np.where(self._kept(rows, columns, density, random), made, made.dtype.type(0))

    def _kept(
        self, rows: int, columns: int, density: float, random: np.random.Generator
    ) -> npt.NDArray[np.bool_]:
        if self.kind == "two_of_four":
            groups = random.random((rows, -(-columns // 4), 4))
            two = groups.argsort(axis=-1).argsort(axis=-1) < 2
            stays = random.random(two.shape) < min(1.0, 2 * density)
            return (two & stays).reshape(rows, -1)[:, :columns]
        high, wide = self.block if self.kind == "tiles" else (1, 1)
        blocks = random.random((-(-rows // high), -(-columns // wide))) < density
        return blocks.repeat(high, axis=0).repeat(wide, axis=1)[:rows, :columns]


def packings() -> tuple[Packing, ...]:
    """Return every kind, block and type."""
    sides = product(TILE_SIDES, TILE_SIDES)
    tiles = (Packing("tiles", values, block) for block in sides for values in HALVES)
    two = (Packing("two_of_four", values) for values in HALVES)
    masks = (Packing("bitmask", values) for values in HALVES)
    return (*tiles, *two, *masks)


def few_packings() -> tuple[Packing, ...]:
    """Return packings among which is every kernel, every side of a block, and every type."""
    blocks: tuple[tuple[Half, tuple[int, int]], ...] = (
        ("float16", (16, 16)),
        ("float16", (32, 64)),
        ("float16", (64, 32)),
        ("bfloat16", (16, 64)),
        ("bfloat16", (32, 16)),
        ("bfloat16", (64, 64)),
    )
    tiles = (Packing("tiles", values, block) for values, block in blocks)
    return (*tiles, *(p for p in packings() if p.kind != "tiles"))
