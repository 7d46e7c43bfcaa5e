"""ParsePacked refuses whatever a kernel could not multiply, and says why."""

from __future__ import annotations

import re
import struct

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spa_onnx.runtime.packed_header import SIZE, PackedWeightError, read_header
from spa_onnx.runtime.packing import pack_blocks, pack_segments, unpack
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.runtime_kernels.layers.direct import (
    Float32Array,
    LayerRefusedError,
    Sweep,
    run_convolution,
    run_linear,
)
from tests.runtime_kernels.native_texts import NATIVE_TEXTS, native_text
from tests.spa_onnx.runtime.broken_weights import (
    BITMASK,
    BLOCKS,
    BROKEN,
    CHUNK,
    CHUNKED,
    COLUMNS,
    COUNT,
    CRC,
    LATER_ZERO,
    MASKED_BFLOAT16,
    ROWS,
    SEGMENTS,
    STARTS,
    TILES,
    TOTAL_SIZE,
    TWO_OF_FOUR,
    VALUE_TYPE,
    Broken,
    replaced,
    with_checksum,
)

pytestmark = needs_kernels

CUDA = {
    "tiles": TILES,
    "two of four": TWO_OF_FOUR,
    "bitmask of bfloat16": MASKED_BFLOAT16,
}
SOUND = {
    "blocks": BLOCKS,
    "blocks in chunks": CHUNKED,
    "bitmask": BITMASK,
    "segments": SEGMENTS,
    "halves": pack_blocks(np.eye(5, dtype=np.float32), 4, 3, np.float16),
    **CUDA,
}
FOR_CUDA = (
    "for CUDA; give the session the CUDA provider, or lower the model again without --target cuda"
)
each_sound = pytest.mark.parametrize("packed", SOUND.values(), ids=SOUND.keys())


def refusal(packed: bytes) -> str | None:
    """Return why a packed weight is refused, or nothing if it is sound, whatever it is for."""
    said = refusal_on_cpu(packed)
    return None if said is not None and said.endswith(FOR_CUDA) else said


def refusal_on_cpu(packed: bytes) -> str | None:
    """Return why a packed weight is refused, or nothing; no token needs any input."""
    try:
        run_linear(packed, np.empty((0, 1), np.float32), 1)
    except LayerRefusedError as error:
        text = str(error)
        assert text.startswith("packed weight: ")
        return text
    return None


def multiplied(packed: bytes) -> Float32Array:
    """Return the dense matrix, from products with the identity."""
    header = read_header(packed)
    return run_linear(packed, np.eye(header.columns, dtype=np.float32), header.rows).T


@each_sound
def test_sound_weights_are_taken(packed: bytes) -> None:
    assert refusal(packed) is None


@pytest.mark.parametrize(
    ("packed", "what"),
    [
        (TILES, "kind 4 (tiles) is"),
        (TWO_OF_FOUR, "kind 5 (two of four) is"),
        (MASKED_BFLOAT16, "bfloat16 values are"),
    ],
)
def test_the_cpu_refuses_sound_weights_for_cuda(packed: bytes, what: str) -> None:
    assert refusal_on_cpu(packed) == f"packed weight: {what} {FOR_CUDA}"
    x = np.zeros((1, 65, 2, 2), np.float32)
    with pytest.raises(LayerRefusedError, match=re.escape(f"{what} {FOR_CUDA}")):
        run_convolution(packed, x, 17, Sweep((1, 1)))


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_broken_weights_are_refused_with_their_problem(broken: Broken) -> None:
    said = refusal(broken.packed)
    assert said is not None
    assert native_text(broken) in said


def test_every_text_of_the_native_reader_is_that_of_a_broken_weight() -> None:
    assert {broken.name for broken in BROKEN} >= NATIVE_TEXTS.keys()


@each_sound
def test_every_truncation_is_refused(packed: bytes) -> None:
    for size in range(len(packed)):
        short = packed[:size]
        wanted = "are too few" if size < SIZE else f"total size is {len(packed)}, expected {size}"
        assert wanted in (refusal(short) or "")
        if size >= SIZE:  # the size put right, as an attacker would
            said = refusal(replaced(TOTAL_SIZE, "Q", size, short)) or ""
            assert re.search("do not fit|end of values is", said)


@each_sound
def test_no_byte_of_the_header_may_change(packed: bytes) -> None:
    for offset in [*range(CRC), *range(LATER_ZERO, SIZE)]:
        for flipped in (1, 0x80, 0xFF):
            changed = bytearray(packed)
            changed[offset] ^= flipped
            if offset == VALUE_TYPE and packed in CUDA.values() and changed[offset] in {2, 3}:
                continue  # the same bytes are as sound a weight of the other type
            assert refusal(with_checksum(bytes(changed))) is not None, offset


@each_sound
def test_no_byte_may_change_without_the_checksum(packed: bytes) -> None:
    for offset in range(SIZE, len(packed)):
        changed = bytearray(packed)
        changed[offset] ^= 0x10
        assert "CRC-32 is" in (refusal(bytes(changed)) or "")


@pytest.mark.parametrize(("offset", "kind"), [(ROWS, "I"), (COLUMNS, "I"), (COUNT, "Q")])
@each_sound
def test_no_length_overflows(packed: bytes, offset: int, kind: str) -> None:
    bits = 8 * struct.calcsize(kind)
    for number in (2**bits - 1, 2**bits - 64, 2 ** (bits - 1), 2 ** (bits - 1) - 1, 2**31, 2**29):
        assert refusal(replaced(offset, kind, number, packed)) is not None


@each_sound
def test_no_offset_overflows(packed: bytes) -> None:
    for offset in (STARTS, STARTS + 8, STARTS + 16, TOTAL_SIZE):
        for number in (2**64 - 1, 2**64 - 64, 2**64 - 128, 2**63, 2**32, 0, 64):
            assert refusal(replaced(offset, "Q", number, packed)) is not None


def test_all_lengths_at_their_limits_are_refused() -> None:
    packed = BITMASK
    for offset, kind, number in (
        (ROWS, "I", 2**31 - 1),
        (COLUMNS, "I", 2**31 - 1),
        (CHUNK, "I", 2**31 - 1),
        (COUNT, "Q", 2**32 - 1),
    ):
        packed = replaced(offset, kind, number, packed)
    assert "do not fit" in (refusal(packed) or "")


@pytest.mark.parametrize("value", [1.0, np.inf, np.nan])
@pytest.mark.parametrize("values", [np.float32, np.float16])
def test_segments_hold_nothing_beyond_the_columns(value: float, values: type[np.floating]) -> None:
    packed = pack_segments(np.ones((3, 20), np.float32), values)
    size = np.dtype(values).itemsize
    place = read_header(packed).values + ((2 * 2 + 1) * 16 + 4) * size
    changed = packed[:place] + values(value).tobytes() + packed[place + size :]
    assert "a value beyond the 20 columns is not 0" in (refusal(with_checksum(changed)) or "")


# Not the upper bytes of rows and columns, lest the dense matrix fill the memory.
LONGEST = max(map(len, SOUND.values()))
HARMLESS = [offset for offset in range(LONGEST) if offset not in {9, 10, 11, 13, 14, 15}]
edits_of_bytes = st.dictionaries(st.sampled_from(HARMLESS), st.integers(0, 255), max_size=3)
edits_of_places = st.dictionaries(
    st.sampled_from([offset for offset in HARMLESS if offset < 700]), st.integers(0, 255)
)


@given(packed=st.sampled_from(list(SOUND.values())), edits=edits_of_bytes | edits_of_places)
def test_both_readers_take_the_same_bytes(packed: bytes, edits: dict[int, int]) -> None:
    changed = bytearray(packed)
    for offset, byte in edits.items():
        if offset < len(changed):
            changed[offset] = byte
    sealed = with_checksum(bytes(changed))
    try:
        weight = unpack(sealed)
    except PackedWeightError:
        assert refusal(sealed) is not None
        return
    assert refusal(sealed) is None
    if refusal_on_cpu(sealed) is not None:
        return
    assume(np.isfinite(weight).all())  # infinity times the zeros of the identity
    np.testing.assert_array_equal(multiplied(sealed), weight.astype(np.float32))
