from __future__ import annotations

import re
import zlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spa_onnx.runtime import dense_weight, unpacking
from spa_onnx.runtime.packed_header import BLOCK_ROWS, Kind, PackedWeightError, read_header
from spa_onnx.runtime.packing import (
    pack_bitmask,
    pack_blocks,
    pack_diagonal,
    pack_segments,
    pack_tiles,
    pack_two_of_four,
    unpack,
)
from tests.spa_onnx.runtime.broken_weights import BROKEN, Broken

Matrix = npt.NDArray[np.float32]
Pack = Callable[[npt.NDArray[np.floating]], bytes]

mostly_zero = st.just(0.0) | st.floats(width=32)
matrices = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=mostly_zero
)


@st.composite
def packs(draw: st.DrawFn) -> tuple[Matrix, bytes]:
    """Draw a matrix with many zeros, and its bytes in one of the kinds."""
    weight = draw(matrices)
    if draw(st.booleans()):
        return weight, draw(st.sampled_from([pack_bitmask, pack_segments]))(weight)
    chunk = draw(st.integers(1, weight.shape[1]))
    return weight, pack_blocks(weight, draw(st.sampled_from(BLOCK_ROWS)), chunk)


@given(packs())
def test_unpacking_gives_the_packed_matrix(case: tuple[Matrix, bytes]) -> None:
    weight, packed = case
    unpacked = unpack(packed)
    np.testing.assert_array_equal(unpacked, weight)
    assert unpacked.dtype == np.float32


@given(packs())
def test_sections_are_aligned_and_the_tail_is_empty(case: tuple[Matrix, bytes]) -> None:
    _, packed = case
    header = read_header(packed)
    assert all(offset % 64 == 0 for offset in (header.starts, header.indices, header.values))
    assert header.total_size == len(packed)
    assert header.values + header.values_size + 64 == len(packed)
    assert not any(packed[-64:])


def test_several_parts_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = sparse(70, 150).astype(np.float16)
    weight[:, 1::2] = 0
    ways: list[Pack] = [
        pack_bitmask,
        pack_segments,
        lambda w: pack_blocks(w, 4, 64),
        lambda w: pack_tiles(w, 16, 32),
        pack_two_of_four,
    ]
    whole = [pack(weight) for pack in ways]
    monkeypatch.setattr(dense_weight, "SLAB", 1000)
    monkeypatch.setattr(unpacking, "PART", 7)
    assert [pack(weight) for pack in ways] == whole
    for packed in whole:
        np.testing.assert_array_equal(unpack(packed), weight)


def sparse(rows: int, columns: int, share: float = 0.8) -> Matrix:
    """Return a matrix with so large a share of zeros."""
    random = np.random.default_rng(rows)
    weight = random.standard_normal((rows, columns)).astype(np.float32)
    weight[random.random(weight.shape) < share] = 0
    return weight


def head(kind: int, numbers: list[int], chunk: int, sizes: list[int]) -> bytes:
    """Return the bytes in front of the checksum."""
    rows, columns, block_rows, block_columns, index_bytes = numbers
    return (
        b"SPAW"
        + np.array([2, kind], "<u2").tobytes()
        + np.array([rows, columns], "<u4").tobytes()
        + np.array([block_rows, block_columns], "<u2").tobytes()
        + bytes([1, index_bytes, 0, 0])
        + np.array([chunk, 0], "<u4").tobytes()
        + np.array(sizes, "<u8").tobytes()
    )


def joined(front: bytes, *parts: npt.NDArray[np.generic]) -> bytes:
    """Return a header with its checksum, and aligned sections with a tail."""
    body = b"\0" * 48
    for part in parts:
        body += b"\0" * (-(len(body) + 80) % 64) + part.tobytes()
    body += b"\0" * 64
    crc = zlib.crc32(front + body)
    return front + np.array([crc, 0], "<u4").tobytes() + body


def test_layout_of_blocks_is_the_documented_one() -> None:
    weight = np.array([[0, 2.5, 0], [0, 0, 0], [-1, 4, 6]], np.float32)
    expected = joined(
        head(1, [3, 3, 2, 1, 2], 2, [4, 128, 192, 256, 256 + 32 + 64]),
        np.array([[0, 1, 3], [3, 3, 4]], "<u4"),
        np.array([1, 0, 1, 2], "<u2"),
        np.array([[2.5, 0], [-1, 0], [4, 0], [6, 0]], "<f4"),
    )
    assert pack_blocks(weight, 2, 2) == expected


def test_layout_of_a_bitmask_is_the_documented_one() -> None:
    weight = np.zeros((2, 70), np.float32)
    weight[0, 1], weight[1, 0], weight[1, 69] = 3, 4, 5
    masks = np.zeros((2, 8), "<u2")
    masks[0, 0], masks[1, 0], masks[1, 4] = 2, 1, 1 << 5
    expected = joined(
        head(2, [2, 70, 1, 1, 0], 70, [3, 128, 192, 256, 256 + 12 + 64]),
        np.array([0, 1, 3], "<u4"),
        masks,
        np.array([3, 4, 5], "<f4"),
    )
    assert pack_bitmask(weight) == expected


def test_layout_of_segments_is_the_documented_one() -> None:
    weight = np.zeros((2, 20), np.float32)
    weight[0, 17], weight[1, 0] = 3, 4
    values = np.zeros((2, 16), "<f4")
    values[0, 1], values[1, 0] = 3, 4
    expected = joined(
        head(3, [2, 20, 1, 16, 2], 20, [2, 128, 192, 256, 256 + 128 + 64]),
        np.array([0, 1, 2], "<u4"),
        np.array([1, 0], "<u2"),
        values,
    )
    assert pack_segments(weight) == expected


def test_many_columns_have_indices_of_four_bytes() -> None:
    weight = np.zeros((1, 2**16 + 1), np.float32)
    weight[0, -1] = 1
    assert read_header(pack_blocks(weight[:, 1:], 1)).index_bytes == 2
    assert read_header(pack_blocks(weight, 1)).index_bytes == 4
    assert read_header(pack_segments(weight)).index_bytes == 2
    np.testing.assert_array_equal(unpack(pack_blocks(weight, 1)), weight)


def test_blocks_along_the_diagonal_are_stored_with_their_zeros() -> None:
    weight = np.array([[1, 0], [3, 4], [5, 6], [0, 8]], np.float32)
    packed = pack_diagonal(weight, 2)
    assert read_header(packed).blocks == 8
    expected = np.zeros((4, 4), np.float32)
    expected[:2, :2], expected[2:, 2:] = weight[:2], weight[2:]
    np.testing.assert_array_equal(unpack(packed), expected)
    whole = pack_diagonal(np.abs(weight) + 1, 1)
    assert whole == pack_blocks(np.abs(weight) + 1, 1)
    with pytest.raises(PackedWeightError, match="4 rows are not 3 groups of equal size"):
        pack_diagonal(weight, 3)


@pytest.mark.parametrize("pack", [pack_bitmask, pack_segments, lambda w: pack_blocks(w, 4)])
def test_half_precision_is_stored_exactly(pack: Pack) -> None:
    weight = np.array([[0.1, 0]], np.float16)
    np.testing.assert_array_equal(unpack(pack(weight)), weight.astype(np.float32))


def test_values_in_half_precision_take_two_bytes() -> None:
    weight = sparse(5, 40)
    packed = pack_bitmask(weight, np.float16)
    header = read_header(packed)
    assert header.values_size == 2 * header.blocks
    unpacked = unpack(packed)
    assert unpacked.dtype == np.float16
    np.testing.assert_array_equal(unpacked, weight.astype(np.float16))


def test_a_bitmask_holds_bfloat16() -> None:
    weight = sparse(5, 40).astype("bfloat16")
    packed = pack_bitmask(weight, "bfloat16")
    header = read_header(packed)
    assert (header.value_type, header.values_size) == (3, 2 * header.blocks)
    unpacked = unpack(packed)
    assert unpacked.dtype == "bfloat16"
    np.testing.assert_array_equal(unpacked.astype(np.float32), weight.astype(np.float32))
    np.testing.assert_array_equal(unpack(pack_bitmask(weight)), weight.astype(np.float32))


def test_kinds_for_the_cpu_hold_no_bfloat16() -> None:
    weight = sparse(4, 6)
    with pytest.raises(PackedWeightError, match="kind 1 stores no bfloat16 values"):
        pack_blocks(weight, 4, value_type="bfloat16")
    with pytest.raises(PackedWeightError, match="kind 1 stores no bfloat16 values"):
        pack_diagonal(weight, 2, "bfloat16")
    with pytest.raises(PackedWeightError, match="kind 3 stores no bfloat16 values"):
        pack_segments(weight, "bfloat16")


def test_what_half_precision_cannot_hold_is_refused() -> None:
    with pytest.raises(PackedWeightError, match=r"70000\.0 is too large for float16"):
        pack_blocks(np.array([[7e4, np.nan]], np.float32), 1, value_type=np.float16)
    most = np.array([[np.finfo(np.float32).max]])
    with pytest.raises(PackedWeightError, match=r"3\.4028.* is too large for bfloat16"):
        pack_bitmask(most.astype(np.float32), "bfloat16")


def test_negative_zero_is_not_stored() -> None:
    assert read_header(pack_blocks(np.array([[-0.0, 1]], np.float32), 1)).blocks == 1


def test_a_matrix_of_zeros_has_no_blocks() -> None:
    for packed in (pack_blocks(np.zeros((3, 5), np.float32), 2), pack_bitmask(sparse(3, 5, 1))):
        assert read_header(packed).blocks == 0
        assert not unpack(packed).any()


def test_a_view_with_strides_is_packed_like_its_copy() -> None:
    weight = np.arange(24, dtype=np.float32).reshape(4, 6).T[::2]
    for pack in (pack_bitmask, pack_segments, lambda w: pack_blocks(w, 8)):
        assert pack(weight) == pack(weight.copy())


@pytest.mark.parametrize(
    ("weight", "text"),
    [
        (np.zeros(3, np.float32), "shape (3,) is not that of a matrix"),
        (np.zeros((0, 3), np.float32), "shape (0, 3) is empty"),
        (np.zeros((2, 3), np.float64), "type float64 does not fit float32"),
    ],
)
def test_what_cannot_be_packed_is_refused(weight: npt.NDArray[np.floating], text: str) -> None:
    for pack in (pack_bitmask, pack_segments, lambda w: pack_blocks(w, 8)):
        with pytest.raises(PackedWeightError, match=re.escape(text)):
            pack(weight)


def test_blocks_and_chunks_that_there_are_not_are_refused() -> None:
    weight = sparse(4, 6)
    with pytest.raises(PackedWeightError, match="blocks of 3 rows"):
        pack_blocks(weight, 3)
    with pytest.raises(PackedWeightError, match="chunks of 7 columns in 6 columns"):
        pack_blocks(weight, 4, 7)
    with pytest.raises(
        PackedWeightError, match="values of type int8, not float32, float16 or bfloat16"
    ):
        pack_blocks(weight, 4, value_type=np.int8)


def test_a_matrix_larger_than_expected_is_refused_before_it_is_made() -> None:
    packed = pack_blocks(np.zeros((64, 2**20), np.float32), 32)
    with pytest.raises(PackedWeightError, match=r"shape \(64, 1048576\), at most 100 elements"):
        unpack(packed, most_elements=100)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_broken_bytes_are_refused_with_their_problem(broken: Broken) -> None:
    with pytest.raises(PackedWeightError, match=re.escape(broken.text)):
        unpack(broken.packed)


@given(packs(), st.data())
def test_changed_bytes_give_a_matrix_or_the_error(
    case: tuple[Matrix, bytes], data: st.DataObject
) -> None:
    packed = bytearray(case[1])
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    packed[72:76] = unpacking.checksum(packed).to_bytes(4, "little")
    try:
        unpacked = unpack(bytes(packed), most_elements=10**6)
    except PackedWeightError:
        return
    header = read_header(packed)
    assert unpacked.shape == (header.rows, header.columns)
    assert header.kind in tuple(Kind)
