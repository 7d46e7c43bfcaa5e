"""ParseForCuda takes what kernels for GPUs multiply, and refuses all else with its reason."""

from __future__ import annotations

import re
import struct

import numpy as np
import pytest

from spa_onnx.runtime.cuda import CudaError, CudaLayer
from spa_onnx.runtime.packed_header import SIZE
from spa_onnx.runtime.packing import pack_bitmask, pack_blocks
from tests.runtime_kernels.cuda_library import cuda_library, needs_cuda_library
from tests.runtime_kernels.native_texts import native_text
from tests.spa_onnx.runtime.broken_weights import (
    BITMASK,
    BROKEN,
    COLUMNS,
    LARGE,
    MASKED_BFLOAT16,
    ROWS,
    SEGMENTS,
    TILES,
    TWO_OF_FOUR,
    VALUE_TYPE,
    Broken,
)

pytestmark = needs_cuda_library

MOST = 200
"""Rows and columns of weights that are given to a layer."""


def length(packed: bytes, offset: int) -> int:
    """Return rows or columns as the header tells them."""
    return int(struct.unpack_from("<I", packed, offset)[0])


def fits_a_layer(packed: bytes) -> bool:
    """Return whether there can be an X for a weight, sound or not."""
    return len(packed) >= SIZE and all(
        0 < length(packed, offset) <= MOST for offset in (ROWS, COLUMNS)
    )


def run(packed: bytes) -> None:
    """Run a layer of one token."""
    dtype = "bfloat16" if packed[VALUE_TYPE] == 3 else "float16"
    x = np.zeros((1, length(packed, COLUMNS)), np.dtype(dtype))
    cuda_library().run(CudaLayer(packed, x))


@pytest.mark.parametrize(
    "packed",
    [TILES, TWO_OF_FOUR, MASKED_BFLOAT16, pack_bitmask(LARGE, np.float16)],
    ids=["tiles", "two of four", "bitmask of bfloat16", "bitmask of float16"],
)
def test_sound_weights_for_cuda_are_taken(packed: bytes) -> None:
    run(packed)


@pytest.mark.parametrize(
    ("packed", "what"),
    [
        (pack_blocks(LARGE, 4, value_type=np.float16), "kind 1 (blocks) is"),
        (SEGMENTS, "kind 3 (segments) is"),
        (BITMASK, "float32 values are"),
    ],
)
def test_cuda_refuses_sound_weights_for_the_cpu(packed: bytes, what: str) -> None:
    text = f"packed weight: {what} for the CPU; lower the model again with --target cuda"
    with pytest.raises(CudaError, match=re.escape(text)):
        run(packed)


@pytest.mark.parametrize(
    "broken",
    [broken for broken in BROKEN if fits_a_layer(broken.packed)],
    ids=lambda broken: broken.name,
)
def test_broken_weights_are_refused_with_their_problem(broken: Broken) -> None:
    with pytest.raises(CudaError, match=re.escape(native_text(broken))):
        run(broken.packed)
