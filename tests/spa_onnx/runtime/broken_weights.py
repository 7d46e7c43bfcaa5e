"""Packed weights with one thing wrong each, and what readers must say about them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spa_onnx.runtime.packed_header import CHECKED_AGAIN, CHECKED_SIZE, read_header
from spa_onnx.runtime.packing import checksum, pack_bitmask, pack_blocks, pack_segments

WEIGHT = np.array([[0, 2, 3], [0, 0, 0], [7, 0, 9], [0, 0, 1]], np.float32)
WIDE = np.pad(WEIGHT, ((0, 0), (0, 30)))
WIDE[0, 32] = 5

BLOCKS = pack_blocks(WEIGHT, 1)
CHUNKED = pack_blocks(WEIGHT, 2, 2)
BITMASK = pack_bitmask(WEIGHT)
SEGMENTS = pack_segments(WIDE)

MAGIC, VERSION, KIND, ROWS, COLUMNS, BLOCK_ROWS, BLOCK_COLUMNS = 0, 4, 6, 8, 12, 16, 18
VALUE_TYPE, INDEX_BYTES, ZERO, CHUNK, ZEROS, COUNT = 20, 21, 22, 24, 28, 32
STARTS, INDICES, VALUES, TOTAL_SIZE, CRC, LATER_ZERO, LAST_ZERO = 40, 48, 56, 64, 72, 76, 124


@dataclass(frozen=True, slots=True)
class Broken:
    """Bytes that a reader refuses with an error that contains ``text``."""

    name: str
    packed: bytes
    text: str


def with_checksum(packed: bytes) -> bytes:
    """Return the bytes with the checksum put right, as an attacker would."""
    if len(packed) < CHECKED_AGAIN:
        return packed
    crc = struct.pack("<I", checksum(packed))
    return packed[:CHECKED_SIZE] + crc + packed[CHECKED_SIZE + 4 :]


def replaced(offset: int, kind: str, number: int, packed: bytes = BLOCKS) -> bytes:
    """Return the packed weight with one field replaced and the checksum put right."""
    field = struct.pack("<" + kind, number)
    return with_checksum(packed[:offset] + field + packed[offset + len(field) :])


def with_size(change: Callable[[bytes], bytes]) -> bytes:
    """Return the changed bytes with total size and checksum put right."""
    changed = change(BLOCKS)
    return replaced(TOTAL_SIZE, "Q", len(changed), changed)


FIELDS = (
    Broken("nothing", b"", "0 bytes are too few"),
    Broken("half a header", BLOCKS[:80], "80 bytes are too few"),
    Broken("other magic", replaced(MAGIC, "I", 0), "does not start with the magic 'SPAW'"),
    Broken("earlier version", replaced(VERSION, "H", 1), "version is 1, expected 2"),
    Broken("other kind", replaced(KIND, "H", 9), "kind is 9"),
    Broken("other kind that there is", replaced(KIND, "H", 2), "index bytes is 2, expected 0"),
    Broken("truncated", BLOCKS[:-1], "total size is"),
    Broken("bytes behind the tail", BLOCKS + b"\0", "total size is"),
    Broken("truncated tail", with_size(lambda p: p[:-4]), "do not fit"),
    Broken("longer tail", with_size(lambda p: p + b"\0" * 4), "end of values is"),
    Broken("no rows", replaced(ROWS, "I", 0), "shape (0, 3) is empty"),
    Broken("no columns", replaced(COLUMNS, "I", 0), "shape (4, 0) is empty"),
    Broken("columns past int32", replaced(COLUMNS, "I", 2**31), "more than 2^31 - 1 columns"),
    Broken("all the rows there can be", replaced(ROWS, "I", 2**32 - 1), "starts (17179869184 b"),
    Broken("more rows", replaced(ROWS, "I", 5), "last start is 0, expected 5"),
    Broken("blocks of three rows", replaced(BLOCK_ROWS, "H", 3), "have 3 rows"),
    Broken("blocks of no rows", replaced(BLOCK_ROWS, "H", 0), "have 0 rows"),
    Broken("wide blocks", replaced(BLOCK_COLUMNS, "H", 16), "blocks of kind 1 have 16 columns"),
    Broken("other value type", replaced(VALUE_TYPE, "B", 4), "value type is 4"),
    Broken("wide indices", replaced(INDEX_BYTES, "B", 4), "index bytes is 4, expected 2"),
    Broken("no chunk", replaced(CHUNK, "I", 0), "chunks of 0 columns"),
    Broken("chunk past the columns", replaced(CHUNK, "I", 4), "chunks of 4 columns"),
    Broken("chunked mask", replaced(CHUNK, "I", 2, BITMASK), "chunks of 2 columns"),
    Broken("count whose size overflows", replaced(COUNT, "Q", 2**62), "at most 4294967295"),
    Broken("count past the bytes", replaced(COUNT, "Q", 2**32 - 1), "do not fit"),
    Broken("starts in the header", replaced(STARTS, "Q", 64), "starts (20 bytes at"),
    Broken("starts outside", replaced(STARTS, "Q", 2**63), "starts (20 bytes at"),
    Broken("crooked starts", replaced(STARTS, "Q", 129), "not a multiple of 64"),
    Broken("indices over starts", replaced(INDICES, "Q", 128), "do not fit"),
    Broken("indices outside", replaced(INDICES, "Q", 2**64 - 64), "indices (10 bytes"),
    Broken("values over indices", replaced(VALUES, "Q", 192), "values (20 bytes at offset 192"),
    Broken("values outside", replaced(VALUES, "Q", 4096), "values (20 bytes at offset 4096"),
    *(
        Broken(f"reserved byte {offset} in use", replaced(offset, "B", 1), "reserved field")
        for offset in (ZERO, ZEROS, LATER_ZERO, LATER_ZERO + 4, LAST_ZERO)
    ),
    Broken("wrong checksum", BLOCKS[:CRC] + b"\1\2\3\4" + BLOCKS[76:], "CRC-32 is 67305985"),
    Broken("flipped value", BLOCKS[:256] + b"\1" + BLOCKS[257:], "CRC-32 is"),
)

AT, PLACES = read_header(BLOCKS).starts, read_header(BLOCKS).indices
CHUNKS, CHUNK_PLACES = read_header(CHUNKED).starts, read_header(CHUNKED).indices
MASK = read_header(BITMASK).indices
SEGMENT_PLACES, SEGMENT_VALUES = read_header(SEGMENTS).indices, read_header(SEGMENTS).values

CONTENTS = (
    Broken("first row not at 0", replaced(AT, "I", 1), "first start is 1"),
    Broken("last row short", replaced(AT + 16, "I", 4), "last start is 4"),
    Broken("falling starts", replaced(AT + 4, "I", 3), "row block 1 ends before"),
    Broken("start outside", replaced(AT + 8, "I", 2**31), "row block 2 ends before"),
    Broken("column outside", replaced(PLACES, "H", 3), "index 3 in row block 0, outside"),
    Broken("negative column", replaced(PLACES + 4, "h", -1), "index 65535 in row block 2"),
    Broken("column twice", replaced(PLACES, "H", 2), "of row block 0 do not rise at 2"),
    Broken("chunks apart", replaced(CHUNKS + 12, "I", 1, CHUNKED), "chunk 1 does not start"),
    Broken(
        "column of the next chunk", replaced(CHUNK_PLACES, "H", 2, CHUNKED), "outside chunk 0 (0 to"
    ),
    Broken(
        "column of the chunk before", replaced(CHUNK_PLACES + 4, "H", 1, CHUNKED), "outside chunk 1"
    ),
    Broken("one bit more", replaced(MASK, "H", 7, BITMASK), "row 0 has 3 bits set"),
    Broken("bit moved to another row", replaced(MASK, "H", 1, BITMASK), "row 0 has 1 bits set"),
    Broken("bit beyond the columns", replaced(MASK, "H", 10, BITMASK), "a bit beyond the 3 col"),
    Broken(
        "bit in the last word", replaced(MASK + 6, "H", 2**15, BITMASK), "a bit beyond the 3 col"
    ),
    Broken(
        "segment outside", replaced(SEGMENT_PLACES + 2, "H", 3, SEGMENTS), "index 3 in row block 0"
    ),
    Broken("segment twice", replaced(SEGMENT_PLACES, "H", 2, SEGMENTS), "do not rise at 2"),
    Broken(
        "value beyond the columns",
        replaced(SEGMENT_VALUES + 4 * 17, "f", 1, SEGMENTS),
        "a value beyond the 33 columns",
    ),
)

BROKEN = FIELDS + CONTENTS
