"""Packed weights with one thing wrong each, and what readers must say about them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spa_onnx.runtime.packed_header import CHECKED_AGAIN, CHECKED_SIZE, read_header
from spa_onnx.runtime.packing import (
    checksum,
    pack_bitmask,
    pack_blocks,
    pack_segments,
    pack_tiles,
    pack_two_of_four,
)

WEIGHT = np.array([[0, 2, 3], [0, 0, 0], [7, 0, 9], [0, 0, 1]], np.float32)
WIDE = np.pad(WEIGHT, ((0, 0), (0, 30)))
WIDE[0, 32] = 5

BLOCKS = pack_blocks(WEIGHT, 1)
CHUNKED = pack_blocks(WEIGHT, 2, 2)
BITMASK = pack_bitmask(WEIGHT)
SEGMENTS = pack_segments(WIDE)

LARGE = np.pad(WEIGHT, ((0, 13), (0, 62)))
LARGE[0, 64] = LARGE[16, 64] = 5
TILES = pack_tiles(LARGE, 16, 64)
TWO_OF_FOUR = pack_two_of_four(LARGE, "bfloat16")
MASKED_BFLOAT16 = pack_bitmask(LARGE, "bfloat16")

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


def replaced(offset: int, kind: str, number: float, packed: bytes = BLOCKS) -> bytes:
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

TILE_AT, TILE_PLACES = read_header(TILES).starts, read_header(TILES).indices
TILE_VALUES = read_header(TILES).values
METADATA, STORED = read_header(TWO_OF_FOUR).indices, read_header(TWO_OF_FOUR).values

TILE_FIELDS = (
    Broken("tiles of float32", replaced(VALUE_TYPE, "B", 1, TILES), "kind 4 stores no float32"),
    Broken("tiles of 8 rows", replaced(BLOCK_ROWS, "H", 8, TILES), "of kind 4 have 8 rows"),
    Broken("tiles of 128 rows", replaced(BLOCK_ROWS, "H", 128, TILES), "have 128 rows"),
    Broken("tiles of 48 columns", replaced(BLOCK_COLUMNS, "H", 48, TILES), "have 48 columns"),
    Broken("tiles of no columns", replaced(BLOCK_COLUMNS, "H", 0, TILES), "have 0 columns"),
    Broken("tiles in chunks", replaced(CHUNK, "I", 64, TILES), "chunks of 64 columns"),
    Broken(
        "tiles with wide indices", replaced(INDEX_BYTES, "B", 4, TILES), "bytes is 4, expected 2"
    ),
    Broken(
        "tiles past the bytes", replaced(COUNT, "Q", 2**32 - 1, TILES), "indices (8589934590 bytes"
    ),
    Broken("larger tiles", replaced(BLOCK_ROWS, "H", 64, TILES), "values (24576 bytes"),
)

TILE_CONTENTS = (
    Broken("first tile not at 0", replaced(TILE_AT, "I", 1, TILES), "first start is 1"),
    Broken("falling starts of tiles", replaced(TILE_AT + 4, "I", 4, TILES), "row block 1 ends"),
    Broken("tile outside", replaced(TILE_PLACES + 4, "H", 2, TILES), "index 2 in row block 1"),
    Broken("tile twice", replaced(TILE_PLACES, "H", 1, TILES), "row block 0 do not rise at 1"),
    *(
        Broken(
            f"{number} at the {k}th value of a tile beyond the columns",
            replaced(TILE_VALUES + 2 * (1024 + k), "e", number, TILES),
            "a value beyond the 65 columns is not 0",
        )
        for k, number in ((1, 1.0), (252, float("nan")), (256, float("inf")), (1023, 1.0))
    ),
)

TWO_OF_FOUR_FIELDS = (
    Broken("two of four of float32", replaced(VALUE_TYPE, "B", 1, TWO_OF_FOUR), "no float32"),
    Broken("two of four rows", replaced(BLOCK_ROWS, "H", 32, TWO_OF_FOUR), "have 32 rows"),
    Broken("two of four columns", replaced(BLOCK_COLUMNS, "H", 16, TWO_OF_FOUR), "have 16 col"),
    Broken(
        "two of four with short words",
        replaced(INDEX_BYTES, "B", 2, TWO_OF_FOUR),
        "index bytes is 2, expected 4",
    ),
    Broken("chunked two of four", replaced(CHUNK, "I", 64, TWO_OF_FOUR), "chunks of 64 columns"),
    Broken("one block less", replaced(COUNT, "Q", 5, TWO_OF_FOUR), "blocks is 5, expected 6"),
    Broken("more row tiles", replaced(ROWS, "I", 33, TWO_OF_FOUR), "blocks is 6, expected 9"),
    Broken(
        "metadata over the header", replaced(INDICES, "Q", 64, TWO_OF_FOUR), "indices (512 bytes"
    ),
)

TWO_OF_FOUR_CONTENTS = (
    *(
        Broken(
            f"code {code} in metadata",
            replaced(METADATA + 4 * word, "I", 0x44444444 ^ (4 ^ code) << bit, TWO_OF_FOUR),
            "metadata names no two columns of four in rising order",
        )
        for code, word, bit in ((0, 0, 0), (1, 127, 28), (10, 33, 16), (7, 34, 4))
    ),
    Broken(
        "metadata of no block",
        replaced(METADATA + 4 * (32 + 2), "I", 0x4444444C, TWO_OF_FOUR),
        "metadata beyond the last block is not 0x44444444",
    ),
    Broken(
        "metadata that moves a value beyond the columns",
        replaced(METADATA + 4 * 32, "I", 0x4444444E, TWO_OF_FOUR),
        "a value beyond the 65 columns is not 0",
    ),
    *(
        Broken(
            f"bits {bits:x} at the {k}th of two of four beyond the columns",
            replaced(STORED + 2 * (512 + k), "H", bits, TWO_OF_FOUR),
            "a value beyond the 65 columns is not 0",
        )
        for k, bits in ((1, 0x3F80), (4, 1), (8, 0x7F80), (255, 0x7FC0))
    ),
)

OTHER_VALUES = (
    Broken("blocks of bfloat16", replaced(VALUE_TYPE, "B", 3), "kind 1 stores no bfloat16 values"),
    Broken(
        "segments of bfloat16",
        replaced(VALUE_TYPE, "B", 3, SEGMENTS),
        "kind 3 stores no bfloat16 values",
    ),
    Broken(
        "mask of bfloat16 with a bit more",
        replaced(read_header(MASKED_BFLOAT16).indices, "H", 7, MASKED_BFLOAT16),
        "row 0 has 4 bits set",
    ),
)

BROKEN = (
    *FIELDS,
    *CONTENTS,
    *TILE_FIELDS,
    *TILE_CONTENTS,
    *TWO_OF_FOUR_FIELDS,
    *TWO_OF_FOUR_CONTENTS,
    *OTHER_VALUES,
)
