"""Kinds TILES and TWO_OF_FOUR against loops over their layout."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.runtime.packed_header import PackedWeightError, read_header
from spa_onnx.runtime.packed_kinds import TILE_SIDES
from spa_onnx.runtime.packing import pack_tiles, pack_two_of_four, unpack
from tests.spa_onnx.runtime.plain_reader import (
    fields_of,
    metadata_of,
    read_tiles,
    read_two_of_four,
    values_of,
)
from tests.spa_onnx.runtime.thinned import two_of_four

Matrix = npt.NDArray[np.float32]
Half = Literal["float16", "bfloat16"]

HALVES: tuple[Half, ...] = ("float16", "bfloat16")
halves = st.sampled_from(HALVES)
sides = st.sampled_from([1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97]) | st.integers(1, 130)


@st.composite
def matrices(draw: st.DrawFn) -> Matrix:
    """Draw a matrix with zeros in all places of some squares, and in some of others."""
    rows, columns = draw(sides), draw(sides)
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    weight = random.standard_normal((rows, columns)).astype(np.float32)
    weight[random.random(weight.shape) < draw(st.sampled_from([0, 0.5, 0.99]))] = 0
    square = draw(st.sampled_from([8, 16, 64]))
    empty = random.random((rows // square + 1, columns // square + 1)) < draw(
        st.sampled_from([0, 0.6, 1])
    )
    weight[np.kron(empty, np.ones((square, square), bool))[:rows, :columns]] = 0
    return weight


def rounded(weight: Matrix, values: Half) -> Matrix:
    """Return a matrix as stored."""
    return weight.astype(np.dtype(values)).astype(np.float32)


def check(packed: bytes, expected: Matrix, found: Matrix, values: Half) -> None:
    """Compare a matrix with what the loops found, and with what :func:`unpack` finds."""
    rows, columns = expected.shape
    np.testing.assert_array_equal(found[:rows, :columns], expected)
    assert not found[rows:].any()
    assert not found[:, columns:].any()
    unpacked = unpack(packed)
    assert unpacked.dtype == values
    np.testing.assert_array_equal(unpacked.astype(np.float32), expected)


@given(matrices(), st.sampled_from(TILE_SIDES), st.sampled_from(TILE_SIDES), halves)
def test_tiles_are_what_the_loops_read(
    weight: Matrix, block_rows: int, block_columns: int, values: Half
) -> None:
    packed = pack_tiles(weight, block_rows, block_columns, values)
    check(packed, rounded(weight, values), read_tiles(packed), values)
    padded = np.zeros((-(-weight.shape[0] // block_rows) * block_rows, 192), np.float32)
    padded[: weight.shape[0], : weight.shape[1]] = weight
    grid = padded.reshape(-1, block_rows, 192 // block_columns, block_columns)
    assert read_header(packed).blocks == np.count_nonzero(grid.any(axis=(1, 3)))


@given(matrices().map(two_of_four), halves)
def test_two_of_four_are_what_the_loops_read(weight: Matrix, values: Half) -> None:
    packed = pack_two_of_four(weight, values)
    check(packed, rounded(weight, values), read_two_of_four(packed), values)


@given(matrices().map(two_of_four))
def test_metadata_names_two_columns_in_order_and_none_beyond_the_steps(weight: Matrix) -> None:
    words = metadata_of(pack_two_of_four(weight))
    bits = words[..., None] >> np.arange(0, 32, 4, dtype=np.uint32)
    assert (bits % 4 < bits // 4 % 4).all()
    if -(-weight.shape[1] // 32) % 2:
        lanes = words[:, -1].reshape(-1, 8, 4)
        assert (lanes[:, :, 2:] == 0x44444444).all()


@pytest.mark.parametrize("values", HALVES)
def test_sources_of_every_type_give_the_same_bytes(values: Half) -> None:
    weight = two_of_four(np.arange(20 * 40, dtype=np.float32).reshape(20, 40) % 128)
    for other in HALVES:
        source = weight.astype(np.dtype(other))
        assert pack_tiles(source, 16, 32, values) == pack_tiles(weight, 16, 32, values)
        assert pack_two_of_four(source, values) == pack_two_of_four(weight, values)


def test_a_view_with_strides_is_packed_like_its_copy() -> None:
    weight = two_of_four(np.arange(80 * 72, dtype=np.float32).reshape(80, 72) % 512).T[::2]
    weight = np.where(np.arange(80) % 4 < 2, weight, np.float32(0))[:, ::-1]
    assert pack_tiles(weight, 16, 16) == pack_tiles(weight.copy(), 16, 16)
    assert pack_two_of_four(weight) == pack_two_of_four(weight.copy())


def test_layout_of_tiles_is_the_documented_one() -> None:
    weight = np.zeros((17, 40), np.float32)
    weight[16, 33], weight[3, 5], weight[9, 8] = 1, 2, 3
    packed = pack_tiles(weight, 16, 32)
    head = fields_of(packed)
    assert (head.kind, head.rows, head.columns, head.blocks) == (4, 17, 40, 2)
    assert (head.block_rows, head.block_columns, head.chunk) == (16, 32, 40)
    assert (head.value_type, head.index_bytes) == (2, 2)
    assert (head.starts, head.indices, head.values) == (128, 192, 256)
    assert head.total == len(packed) == 256 + 2 * 16 * 32 * 2 + 64
    assert packed[128:140] == np.array([0, 1, 2], "<u4").tobytes()
    assert packed[192:196] == np.array([0, 1], "<u2").tobytes()
    values = values_of(packed).reshape(2, 2, 1, 32, 8)
    # row 3, column 5: g 3, t 2, second; row 9, column 8: g 1 and lower, t 0, right
    assert values[0, 0, 0, 14, 1] == 2
    assert values[0, 0, 0, 4, 6] == 3
    assert values[1, 0, 0, 0, 1] == 1
    assert np.count_nonzero(values) == 3


def test_layout_of_two_of_four_is_the_documented_one() -> None:
    weight = np.zeros((17, 40), np.float32)
    weight[0, 1], weight[0, 3], weight[9, 30], weight[16, 36] = 1, 2, 3, 4
    packed = pack_two_of_four(weight, "bfloat16")
    head = fields_of(packed)
    assert (head.kind, head.rows, head.columns, head.blocks) == (5, 17, 40, 4)
    assert (head.block_rows, head.block_columns, head.chunk) == (16, 32, 40)
    assert (head.value_type, head.index_bytes) == (3, 4)
    assert (head.starts, head.indices, head.values) == (128, 128, 128 + 2 * 32 * 4)
    assert head.total == len(packed) == head.values + 4 * 16 * 16 * 2 + 64
    words = metadata_of(packed)
    assert words.shape == (2, 1, 32)
    # row 0 is in lane 0: columns 1 and 3 of the first group
    assert words[0, 0, 0] == 0x4444444D
    # row 9 is the upper half of g 1, columns 16 to 31 are j 1: column 2 of the fourth group
    assert words[0, 0, 5] >> 28 in {0b1000, 0b1001, 0b1110}
    values = values_of(packed).reshape(2, 2, 32, 8)
    assert values[0, 0, 0, :2].tolist() == [1, 2]
    assert 3 in values[0, 0, 7, 6:]
    assert values[1, 1, 1, 0] == 4 or values[1, 1, 1, 1] == 4
    assert np.count_nonzero(values) == 4


def test_many_block_columns_have_indices_of_four_bytes() -> None:
    weight = np.zeros((1, 2**20 + 1), np.float16)
    weight[0, -1] = 1
    assert read_header(pack_tiles(weight[:, 1:], 16, 16)).index_bytes == 2
    assert read_header(pack_tiles(weight, 16, 16)).index_bytes == 4
    assert read_header(pack_tiles(weight, 64, 32)).index_bytes == 2
    for packed in (pack_tiles(weight, 16, 16), pack_two_of_four(weight)):
        np.testing.assert_array_equal(unpack(packed), weight)


def test_a_matrix_of_zeros_stores_no_tiles_but_all_of_two_of_four() -> None:
    weight = np.zeros((33, 65), np.float32)
    assert read_header(pack_tiles(weight, 32, 32)).blocks == 0
    assert read_header(pack_two_of_four(weight)).blocks == 3 * 3
    assert (metadata_of(pack_two_of_four(weight)) == 0x44444444).all()


def test_not_a_number_is_stored_and_negative_zero_is_not() -> None:
    weight = np.array([[-0.0, np.nan, -0.0, np.inf]], np.float32)
    for packed in (pack_tiles(weight, 16, 16), pack_two_of_four(weight)):
        np.testing.assert_array_equal(unpack(packed).astype(np.float32), weight)
    assert read_header(pack_tiles(-0 * weight[:, :1], 16, 16)).blocks == 0


def test_three_of_four_are_refused() -> None:
    weight = np.zeros((70, 90), np.float32)
    weight[66, 84:88] = [1, 0, np.nan, 3]
    text = "row 66 has more than two nonzeros in columns 84 to 87"
    with pytest.raises(PackedWeightError, match=text):
        pack_two_of_four(weight)
    weight[66, 87] = 0
    weight[66, 88] = 3
    np.testing.assert_array_equal(unpack(pack_two_of_four(weight)), weight)


@pytest.mark.parametrize(("rows", "columns"), [(8, 16), (16, 48), (128, 64), (0, 16)])
def test_tiles_that_there_are_not_are_refused(rows: int, columns: int) -> None:
    text = re.escape(f"tiles of {rows} x {columns}, not of two of (16, 32, 64)")
    with pytest.raises(PackedWeightError, match=text):
        pack_tiles(np.ones((3, 4), np.float32), rows, columns)


def test_tensor_cores_have_no_values_of_four_bytes() -> None:
    weight = np.eye(3, dtype=np.float32)
    with pytest.raises(PackedWeightError, match="kind 4 stores no float32 values"):
        pack_tiles(weight, 16, 16, np.float32)
    with pytest.raises(PackedWeightError, match="kind 5 stores no float32 values"):
        pack_two_of_four(weight, np.float32)


@pytest.mark.parametrize(
    ("weight", "text"),
    [
        (np.zeros(3, np.float32), "shape (3,) is not that of a matrix"),
        (np.zeros((0, 3), np.float32), "shape (0, 3) is empty"),
        (np.zeros((2, 3), np.float64), "type float64 does not fit float32"),
        (np.full((2, 3), 7e4, np.float32), "a value of 70000.0 is too large for float16"),
    ],
)
def test_what_cannot_be_packed_is_refused(weight: npt.NDArray[np.floating], text: str) -> None:
    with pytest.raises(PackedWeightError, match=re.escape(text)):
        pack_tiles(weight, 16, 16)
    kept = weight[:, :2] if weight.ndim == 2 and weight.size else weight
    with pytest.raises(PackedWeightError, match=re.escape(text)):
        pack_two_of_four(kept)
