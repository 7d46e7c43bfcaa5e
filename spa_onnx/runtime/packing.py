"""Sparse matrices as bytes: the weight input of ``ai.spa::SparseLinear``.

``runtime_kernels/kernels/csr_linear/packed_csr.h`` specifies the layout. In short, little-endian::

    header (64 bytes) | row starts uint32 | column indices uint32 | values float32
"""

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.packed_header import (
    CHECKED_SIZE,
    SIZE,
    PackedHeader,
    PackedWeightError,
    check_shape,
    expect,
    header_for,
    read_header,
)

Float32Array = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.uint32]

MOST_NONZEROS = 2**32 - 1


def pack_csr(weight: npt.NDArray[np.floating[Any]]) -> bytes:
    """Return the nonzeros of ``weight`` ``(rows, columns)`` as one packed CSR matrix.

    NaN counts as a nonzero; a negative zero is not stored.

    Raises:
        PackedWeightError: if the matrix is not two-dimensional, is empty, has more nonzeros than
            32 bits count, or has a type that float32 does not hold exactly.
    """
    rows, columns = checked_shape(weight)
    kept = weight != 0
    row_of, column_of = np.nonzero(kept)
    if row_of.size > MOST_NONZEROS:
        raise PackedWeightError(f"{row_of.size} nonzeros, at most {MOST_NONZEROS} fit")
    header = header_for(rows, columns, row_of.size)
    packed = bytearray(header.total_size)
    starts, indices, values = sections(header, packed)
    starts[:] = np.searchsorted(row_of, np.arange(rows + 1))
    indices[:] = column_of
    values[:] = weight[kept]
    packed[:SIZE] = header.to_bytes(crc=0)
    packed[:SIZE] = header.to_bytes(checksum(packed))
    return bytes(packed)


def unpack_csr(packed: bytes) -> Float32Array:
    """Return the dense matrix ``(rows, columns)`` of a packed one, as large as its header says.

    Raises:
        PackedWeightError: if the bytes break any rule of the layout.
    """
    header = read_header(packed)
    expect("CRC-32", header.crc, checksum(packed))
    starts, indices, values = sections(header, packed)
    check_row_starts(starts, header.nonzeros)
    row_of = np.repeat(np.arange(header.rows), starts[1:] - starts[:-1])
    check_columns(row_of, indices, header.columns)
    weight = np.zeros((header.rows, header.columns), np.float32)
    weight[row_of, indices] = values
    return weight


def checked_shape(weight: npt.NDArray[np.floating[Any]]) -> tuple[int, int]:
    """Return rows and columns of a matrix that can be packed."""
    if weight.ndim != 2:
        raise PackedWeightError(f"shape {weight.shape} is not that of a matrix")
    check_shape(*weight.shape)
    if not np.can_cast(weight.dtype, np.float32):
        raise PackedWeightError(f"type {weight.dtype} does not fit float32; convert it first")
    return weight.shape[0], weight.shape[1]


def sections(
    header: PackedHeader, packed: bytes | bytearray
) -> tuple[IndexArray, IndexArray, Float32Array]:
    """Return row starts, column indices and values as views of the packed bytes."""
    index, value = np.dtype("<u4"), np.dtype("<f4")
    return (
        np.frombuffer(packed, index, header.rows + 1, header.row_starts),
        np.frombuffer(packed, index, header.nonzeros, header.column_indices),
        np.frombuffer(packed, value, header.nonzeros, header.values),
    )


def checksum(packed: bytes | bytearray) -> int:
    """Return the CRC-32 of everything but the checksum's own field and the one behind it."""
    view = memoryview(packed)
    return zlib.crc32(view[SIZE:], zlib.crc32(view[:CHECKED_SIZE]))


def check_row_starts(starts: IndexArray, nonzeros: int) -> None:
    """Refuse row starts that do not rise from 0 to the number of nonzeros."""
    expect("first row start", int(starts[0]), 0)
    expect("last row start", int(starts[-1]), nonzeros)
    falling = np.flatnonzero(starts[1:] < starts[:-1])
    if falling.size:
        raise PackedWeightError(f"row {falling[0]} ends before it starts")


def check_columns(row_of: npt.NDArray[np.int64], indices: IndexArray, columns: int) -> None:
    """Refuse columns outside the matrix and columns that do not rise within a row."""
    outside = np.flatnonzero(indices >= columns)
    if outside.size:
        j = outside[0]
        raise PackedWeightError(
            f"column index {indices[j]} in row {row_of[j]} of a matrix with {columns} columns"
        )
    falling = np.flatnonzero((row_of[1:] == row_of[:-1]) & (indices[1:] <= indices[:-1]))
    if falling.size:
        j = falling[0] + 1
        raise PackedWeightError(f"column indices of row {row_of[j]} do not rise at {indices[j]}")
