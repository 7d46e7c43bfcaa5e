"""The sections of packed bytes as arrays, and the checksum over all of them."""

from __future__ import annotations

import zlib
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.packed_header import (
    CHECKED_AGAIN,
    CHECKED_SIZE,
    SIZE,
    Bytes,
    PackedHeader,
)

Array = npt.NDArray[Any]


def section(
    header: PackedHeader,
    packed: Bytes,
    name: Literal["starts", "indices", "values"],
    dtype: np.dtype[Any],
) -> Array:
    """Return a section as a view of the packed bytes."""
    size = {
        "starts": header.starts_size,
        "indices": header.indices_size,
        "values": header.values_size,
    }[name]
    return np.frombuffer(packed, dtype, size // dtype.itemsize, getattr(header, name))


def index_type(header: PackedHeader) -> np.dtype[Any]:
    """Return the type of the indices of blocks."""
    return np.dtype(f"<u{header.index_bytes}")


def checksum(packed: Bytes) -> int:
    """Return the CRC-32 of everything but the checksum's own field and the one behind it."""
    view = memoryview(packed)
    return zlib.crc32(view[CHECKED_AGAIN:], zlib.crc32(view[:CHECKED_SIZE]))


def sealed(header: PackedHeader, packed: bytearray) -> bytes:
    """Return the bytes with header and checksum."""
    packed[:SIZE] = header.to_bytes(crc=0)
    packed[:SIZE] = header.to_bytes(checksum(packed))
    return bytes(packed)
