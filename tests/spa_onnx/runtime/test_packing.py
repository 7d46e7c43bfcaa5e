from __future__ import annotations

import re
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spa_onnx.runtime.packed_header import PackedWeightError, read_header
from spa_onnx.runtime.packing import pack_csr, unpack_csr
from tests.runtime_kernels.broken_weights import BROKEN, Broken

mostly_zero = st.just(0.0) | st.floats(width=32)
matrices = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2), elements=mostly_zero)


@given(matrices)
def test_unpacking_gives_the_packed_matrix(weight: npt.NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(unpack_csr(pack_csr(weight)), weight)


@given(matrices)
def test_sections_are_aligned_and_end_with_the_bytes(weight: npt.NDArray[np.float32]) -> None:
    packed = pack_csr(weight)
    header = read_header(packed)
    offsets = (header.row_starts, header.column_indices, header.values)
    assert all(offset % 64 == 0 for offset in offsets)
    assert header.total_size == len(packed)
    assert header.nonzeros == np.count_nonzero(weight)


def test_layout_is_the_documented_one() -> None:
    packed = pack_csr(np.array([[0, 2.5], [0, 0], [-1, 4]], np.float32))
    numbers = [3, 2], [3, 64, 128, 192, 204]
    head = b"SPAW\1\0\1\0" + np.array(numbers[0], "<u4").tobytes()
    head += np.array(numbers[1], "<u8").tobytes()
    row_starts = np.array([0, 1, 1, 3], "<u4").tobytes().ljust(64, b"\0")
    columns = np.array([1, 0, 1], "<u4").tobytes().ljust(64, b"\0")
    body = row_starts + columns + np.array([2.5, -1, 4], "<f4").tobytes()
    crc = zlib.crc32(head + body)
    assert packed == head + np.array([crc, 0], "<u4").tobytes() + body


def test_half_precision_is_stored_exactly() -> None:
    weight = np.array([[0.1, 0]], np.float16)
    np.testing.assert_array_equal(unpack_csr(pack_csr(weight)), weight)


def test_negative_zero_is_not_stored() -> None:
    assert read_header(pack_csr(np.array([[-0.0, 1]], np.float32))).nonzeros == 1


def test_a_view_with_strides_is_packed_like_its_copy() -> None:
    weight = np.arange(24, dtype=np.float32).reshape(4, 6)
    assert pack_csr(weight.T[::2]) == pack_csr(weight.T[::2].copy())


@pytest.mark.parametrize(
    ("weight", "text"),
    [
        (np.zeros(3, np.float32), "shape (3,) is not that of a matrix"),
        (np.zeros((0, 3), np.float32), "shape (0, 3) is empty"),
        (np.zeros((2, 3), np.float64), "type float64 does not fit float32"),
    ],
)
def test_what_cannot_be_packed_is_refused(weight: npt.NDArray[np.floating], text: str) -> None:
    with pytest.raises(PackedWeightError, match=re.escape(text)):
        pack_csr(weight)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_broken_bytes_are_refused_with_their_problem(broken: Broken) -> None:
    with pytest.raises(PackedWeightError, match=re.escape(broken.text)):
        unpack_csr(broken.packed)
