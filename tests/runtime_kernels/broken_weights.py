"""Packed weights with one thing wrong each, and what both readers must say about them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spa_onnx.runtime.packed_header import CHECKED_SIZE, read_header
from spa_onnx.runtime.packing import checksum, pack_csr

WEIGHT = np.array([[0, 2, 3], [0, 0, 0], [7, 0, 9], [0, 0, 1]], np.float32)
PACKED = pack_csr(WEIGHT)
HEADER = read_header(PACKED)

MAGIC, VERSION, FORMAT, ROWS, COLUMNS, NONZEROS = 0, 4, 6, 8, 12, 16
ROW_STARTS, COLUMN_INDICES, VALUES, TOTAL_SIZE, CRC, ZERO = 24, 32, 40, 48, 56, 60


@dataclass(frozen=True, slots=True)
class Broken:
    """Bytes that a reader refuses with an error that contains ``text``."""

    name: str
    packed: bytes
    text: str


def with_checksum(packed: bytes) -> bytes:
    """Return the bytes with the checksum put right, as an attacker would."""
    if len(packed) < CRC + 4:
        return packed
    return packed[:CHECKED_SIZE] + struct.pack("<I", checksum(packed)) + packed[CRC + 4 :]


def replaced(offset: int, kind: str, number: int, packed: bytes = PACKED) -> bytes:
    """Return the packed weight with one field replaced and the checksum put right."""
    field = struct.pack("<" + kind, number)
    return with_checksum(packed[:offset] + field + packed[offset + len(field) :])


def with_size(change: Callable[[bytes], bytes]) -> bytes:
    """Return the changed bytes with total size and checksum put right."""
    changed = change(PACKED)
    return replaced(TOTAL_SIZE, "Q", len(changed), changed)


BROKEN = (
    Broken("nothing", b"", "0 bytes are too few"),
    Broken("half a header", PACKED[:40], "40 bytes are too few"),
    Broken("other magic", replaced(MAGIC, "I", 0), "does not start with the magic 'SPAW'"),
    Broken("later version", replaced(VERSION, "H", 2), "version is 2, expected 1"),
    Broken("other format", replaced(FORMAT, "H", 9), "format is 9, expected 1"),
    Broken("truncated", PACKED[:-1], "total size is"),
    Broken("bytes behind the values", PACKED + b"\0", "total size is"),
    Broken("truncated values", with_size(lambda p: p[:-4]), "do not fit"),
    Broken("more behind the values", with_size(lambda p: p + b"\0" * 4), "end of values is"),
    Broken("no rows", replaced(ROWS, "I", 0), "shape (0, 3) is empty"),
    Broken("no columns", replaced(COLUMNS, "I", 0), "shape (4, 0) is empty"),
    Broken("columns past int32", replaced(COLUMNS, "I", 2**31), "more than 2^31 - 1 columns"),
    Broken("all the rows there can be", replaced(ROWS, "I", 2**32 - 1), "row starts (4294967296"),
    Broken("more rows", replaced(ROWS, "I", 5), "last row start is 0, expected 5"),
    Broken("nonzeros whose size overflows", replaced(NONZEROS, "Q", 2**62), "do not fit"),
    Broken("as many as 64 bits count", replaced(NONZEROS, "Q", 2**64 - 1), "do not fit"),
    Broken("row starts in the header", replaced(ROW_STARTS, "Q", 0), "row starts (5 elements at"),
    Broken("row starts outside", replaced(ROW_STARTS, "Q", 2**63), "row starts (5 elements at"),
    Broken("crooked row starts", replaced(ROW_STARTS, "Q", 65), "not a multiple of 64"),
    Broken("columns over row starts", replaced(COLUMN_INDICES, "Q", 64), "do not fit"),
    Broken("columns outside", replaced(COLUMN_INDICES, "Q", 2**64 - 64), "column indices (5"),
    Broken("values over columns", replaced(VALUES, "Q", 128), "values (5 elements at offset 128"),
    Broken("values outside", replaced(VALUES, "Q", 4096), "values (5 elements at offset 4096"),
    Broken("reserved field in use", replaced(ZERO, "I", 1), "reserved field is 1"),
    Broken("wrong checksum", PACKED[:CRC] + b"\1\2\3\4" + PACKED[ZERO:], "CRC-32 is 67305985"),
    Broken("flipped value", PACKED[:-1] + b"\1", "CRC-32 is"),
    Broken("first row not at 0", replaced(HEADER.row_starts, "I", 1), "first row start is 1"),
    Broken("last row short", replaced(HEADER.row_starts + 16, "I", 4), "last row start is 4"),
    Broken("falling row starts", replaced(HEADER.row_starts + 4, "I", 3), "row 1 ends before"),
    Broken("row start outside", replaced(HEADER.row_starts + 8, "I", 2**31), "row 2 ends before"),
    Broken("column outside", replaced(HEADER.column_indices, "I", 3), "column index 3 in row 0"),
    Broken("negative column", replaced(HEADER.column_indices + 8, "i", -1), "column index 42949"),
    Broken("column twice", replaced(HEADER.column_indices, "I", 2), "of row 0 do not rise at 2"),
)
