"""Which two of every four neighbouring columns a matrix of kind TWO_OF_FOUR keeps.

The *code* of a group of four columns is the position of its first stored value in the lower two
bits and that of the second in the upper two. A byte has the codes of two groups, the left one in
its lower half. The metadata of a matrix is what tensor cores read: uint32 words, of which lane
``l`` of a warp holds one for two neighbouring blocks of 16 x 32. With ``g = l // 4`` and
``j = l % 4`` it has the codes of 16 columns from ``16 (j % 2)`` on of block ``j // 2``: those of
row ``g`` in its lower half and those of row ``g + 8`` in its upper half.

Source: PTX ISA, sparse matrix storage of mma.sp.m16n8k32 with .f16 and .bf16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.packed_kinds import FRAGMENT, PAIR_WORDS, PackedWeightError

BoolArray = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]

GROUP = 4
"""Neighbouring columns, of which two are stored."""

BLOCK_GROUPS = 8
BLOCK_BYTES = BLOCK_GROUPS // 2
"""Bytes with the codes of a row of a block."""

NO_CODES = 0x44
"""Codes of two groups of which positions 0 and 1 are stored, as where there is nothing to store."""


def _code_of(kept: int) -> int:
    """Return the code of a group by the bits of its nonzeros, 0 if there are too many."""
    places = [place for place in range(GROUP) if kept >> place & 1]
    if len(places) > 2:
        return 0
    free = [place for place in range(GROUP) if place not in places]
    first, second = sorted(places + free[: 2 - len(places)])
    return first | second << 2


_CODES = [_code_of(kept) for kept in range(1 << GROUP)]
CODES = np.array([left | right << 4 for right in _CODES for left in _CODES], np.uint8)
"""Codes of two groups by the bits of their nonzeros; a code of 0 is none."""

IS_SOUND = np.array([{codes & 15, codes >> 4} <= {*_CODES} - {0} for codes in range(256)])
"""Whether both of two groups keep two columns, the left one first."""


def codes_of(kept: BoolArray, first_row: int = 0) -> Codes:
    """Return the codes ``(rows, columns / 8)`` of a matrix by its nonzeros ``(rows, columns)``.

    Args:
        kept: whether a value is not 0; the columns are whole blocks.
        first_row: of these rows, for the error.

    Raises:
        PackedWeightError: if more than two of four are not 0.
    """
    codes: Codes = CODES[np.packbits(kept, axis=1, bitorder="little")]
    if IS_SOUND[codes].all():
        return codes
    row, group = np.argwhere(kept.reshape(len(kept), -1, GROUP).sum(axis=2) > 2)[0]
    raise PackedWeightError(
        f"row {first_row + row} has more than two nonzeros in columns {GROUP * group} to "
        f"{GROUP * group + GROUP - 1}"
    )


def positions(codes: Codes) -> IntArray:
    """Return which columns are stored, counted from a group's first.

    Args:
        codes: ``(..., bytes)``.

    Returns:
        ``(..., groups, 2)``.
    """
    groups = np.stack([codes & 15, codes >> 4], axis=-1).reshape(*codes.shape[:-1], -1)
    return np.stack([groups & 3, groups >> 2], axis=-1).astype(np.int64)


def to_words(codes: Codes) -> npt.NDArray[np.uint32]:
    """Return codes ``(16 n, bytes)`` of a matrix of whole blocks as words ``(n, pairs, 32)``."""
    beside = -codes.shape[1] % (2 * BLOCK_BYTES)
    codes = np.pad(codes, ((0, 0), (0, beside)), constant_values=NO_CODES)
    pairs = codes.shape[1] // (2 * BLOCK_BYTES)
    # of a row: block, lower half, g; of a column: pair, second block of it, right half
    halves = codes.view("<u2").reshape(-1, 2, FRAGMENT // 2, pairs, 2, 2)
    lanes = np.ascontiguousarray(halves.transpose(0, 3, 2, 4, 5, 1))
    words: npt.NDArray[np.uint32] = lanes.view("<u4").reshape(-1, pairs, PAIR_WORDS)
    return words


def from_words(words: npt.NDArray[Any]) -> Codes:
    """Return words ``(n, 32)`` of n pairs of blocks as codes ``(n, 2, 16, 4)``."""
    halves = np.ascontiguousarray(words).view("<u2").reshape(-1, FRAGMENT // 2, 2, 2, 2)
    rows = np.ascontiguousarray(halves.transpose(0, 2, 4, 1, 3))
    codes: Codes = rows.view(np.uint8).reshape(-1, 2, FRAGMENT, BLOCK_BYTES)
    return codes
