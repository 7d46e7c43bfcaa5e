"""Matrices with at most two nonzeros in every four columns, as sparse tensor cores read them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.dense_weight import (
    Weight,
    checked_count,
    checked_shape,
    converted,
    filled_up,
    slabs,
    stored_type,
)
from spa_onnx.runtime.fragments import to_fragments
from spa_onnx.runtime.packed_header import header_for
from spa_onnx.runtime.packed_kinds import BLOCK_SHAPES, FRAGMENT, Kind
from spa_onnx.runtime.sections import index_type, sealed, section
from spa_onnx.runtime.two_of_four import GROUP, codes_of, positions, to_words


def pack_two_of_four(weight: Weight, value_type: npt.DTypeLike = np.float16) -> bytes:
    """Return two of every four neighbouring columns of ``weight`` ``(rows, columns)``.

    Args:
        weight: of type float16, bfloat16 or float32.
        value_type: float16 or bfloat16 of the stored values, to which values are rounded.

    Raises:
        PackedWeightError: as :func:`pack_tiles`, or more than two of four columns have nonzeros in
            a row.
    """
    shape = checked_shape(weight)
    stored = stored_type(Kind.TWO_OF_FOUR, value_type)
    (below,), (across,) = BLOCK_SHAPES[Kind.TWO_OF_FOUR]
    steps = -(-shape[1] // across)
    blocks = checked_count(-(-shape[0] // below) * steps)
    header = header_for(Kind.TWO_OF_FOUR, shape, stored, blocks, (below, across))
    packed = bytearray(header.total_size)
    words = section(header, packed, "indices", index_type(header))
    words = words.reshape(header.row_blocks, header.pairs, -1)
    values = section(header, packed, "values", stored.dtype).reshape(header.row_blocks, steps, -1)
    for rows in slabs(weight, below):
        slab = filled_up(weight[rows], below, across)
        codes = codes_of(slab != 0, rows.start)
        part = slice(rows.start // below, rows.start // below + len(slab) // below)
        words[part] = to_words(codes)
        groups = slab.reshape(len(slab), -1, GROUP)
        kept = np.take_along_axis(groups, positions(codes), axis=2)
        halves = converted(kept, stored).reshape(-1, below, steps, FRAGMENT).swapaxes(1, 2)
        fragments = to_fragments(halves.reshape(-1, below, FRAGMENT))
        values[part] = fragments.reshape(-1, steps, values.shape[2])
    return sealed(header, packed)
