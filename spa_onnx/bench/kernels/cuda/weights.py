"""Random weights and inputs of 16 bits, and what is known of their product."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spa_onnx.bench.kernels.cuda.cases import packing_for
from spa_onnx.bench.kernels.shapes import Linear
from spa_onnx.bench.kernels.weights import masked
from spa_onnx.runtime.cuda import Half, dtype_of
from spa_onnx.runtime.packed_kinds import ValueType
from spa_onnx.sparse.pattern import Pattern

HalfArray = NDArray[Any]
"""Of float16 or bfloat16."""

SAMPLED = 256
"""Outputs of a layer that are compared with float64 at each place."""


@dataclass(frozen=True, slots=True)
class DrawnWeight:
    """A weight with zeros in a pattern.

    Attributes:
        packed: as kernels read it.
        stored: values that are not zero.
        rows: some of its rows.
        sample: those, ``(rows, columns)``.
    """

    packed: bytes
    stored: int
    rows: NDArray[np.int64]
    sample: HalfArray


@lru_cache(maxsize=1)
def drawn_weight(
    rows: int, columns: int, pattern: Pattern, sparsity: float, values: Half
) -> DrawnWeight:
    """Return a weight, the same every time; the last one is kept."""
    random = np.random.default_rng(0)
    dense = masked(Linear(1, columns, rows), pattern, sparsity, random).astype(dtype_of(values))
    kind = ValueType.FLOAT16 if values == "float16" else ValueType.BFLOAT16
    chosen = np.sort(random.choice(rows, min(rows, SAMPLED), replace=False))
    packed = packing_for(pattern).pack(dense, kind)
    return DrawnWeight(packed, int(np.count_nonzero(dense)), chosen, dense[chosen])


@lru_cache(maxsize=2)
def drawn_input(shape: tuple[int, ...], values: Half) -> HalfArray:
    """Return normally distributed numbers, the same every time."""
    drawn = np.random.default_rng(1).standard_normal(shape, np.float32)
    return drawn.astype(dtype_of(values))
