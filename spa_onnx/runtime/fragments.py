"""The order in which the 32 lanes of a warp hold a matrix of 16 x 16 for a tensor core.

Lane ``l`` has eight values. With ``g = l // 4`` and ``t = l % 4`` they are, pair after pair::

    A[g, 2t], A[g, 2t+1]        A[g+8, 2t], A[g+8, 2t+1]
    A[g, 2t+8], A[g, 2t+9]      A[g+8, 2t+8], A[g+8, 2t+9]

Source: PTX ISA, matrix fragments for mma.m16n8k16 with .f16 and .bf16, operand A.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.packed_kinds import FRAGMENT

LANES = 32
LANE_VALUES = 8

Weight = npt.NDArray[np.floating[Any]]


def to_fragments(blocks: Weight) -> Weight:
    """Return blocks ``(n, R, C)`` as fragments ``(n, C / 16, R / 16, 32, 8)``."""
    count, rows, columns = blocks.shape
    down, across = rows // FRAGMENT, columns // FRAGMENT
    # of a row: fragment, lower half, g; of a column: fragment, right half, t, second of two
    cut = blocks.reshape(count, down, 2, 8, across, 2, 4, 2)
    lanes = cut.transpose(0, 4, 1, 3, 6, 5, 2, 7)
    return lanes.reshape(count, across, down, LANES, LANE_VALUES)


def from_fragments(fragments: Weight) -> Weight:
    """Return fragments ``(n, C / 16, R / 16, 32, 8)`` as blocks ``(n, R, C)``."""
    count, across, down, _, _ = fragments.shape
    cut = fragments.reshape(count, across, down, 8, 4, 2, 2, 2)
    places = cut.transpose(0, 2, 6, 3, 1, 5, 4, 7)
    return places.reshape(count, down * FRAGMENT, across * FRAGMENT)
