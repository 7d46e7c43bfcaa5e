"""The first 128 bytes of a packed matrix: what it is and where its sections lie."""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields, replace

from spa_onnx.runtime.packed_kinds import (
    BLOCK_ROWS,
    BLOCK_SHAPES,
    PAIR_WORDS,
    SEGMENT,
    Kind,
    PackedWeightError,
    ValueType,
    check_values,
    index_bytes,
)

__all__ = [
    "BLOCK_ROWS",
    "SEGMENT",
    "Kind",
    "PackedHeader",
    "PackedWeightError",
    "ValueType",
    "read_header",
]

MAGIC = b"SPAW"
VERSION = 2
ALIGNMENT = 64
TAIL = 64
"""Zeros behind the values, which kernels may read but not use."""

MOST_COLUMNS = 2**31 - 1
MOST_BLOCKS = 2**32 - 1

# magic, version; the fields of PackedHeader with zeros between; CRC-32, zero. Then zeros.
FIELDS = struct.Struct("<4sH HIIHHBBHIIQQQQQ II")
SIZE = 128
CHECKED_SIZE = 72
"""Bytes in front of the checksum."""

CHECKED_AGAIN = 80
"""Where the bytes begin that the checksum counts again."""

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class PackedHeader:
    """Size of the matrix, and sections as byte offsets from the first byte.

    Attributes:
        kind: how the kept values are told.
        rows: outputs.
        columns: inputs; of a convolution all channels times the kernel's area.
        block_rows: how many rows are stored together.
        block_columns: how many columns are stored together.
        value_type: of the stored values.
        index_bytes: size of one index; 0 for BITMASK.
        zero: reserved.
        chunk_columns: of kind BLOCKS, columns that are stored together; else all.
        zeros: reserved.
        blocks: that are stored; for BITMASK stored values.
        starts: offset of uint32 ``(chunks, row_blocks + 1)``, the first block of each row block;
            nothing for TWO_OF_FOUR, where all blocks are stored.
        indices: offset of the indices, or of uint16 ``(rows, mask_words)``; for TWO_OF_FOUR of
            uint32 ``(row_blocks, pairs, 32)``, which columns the values belong to.
        values: offset of the values.
        total_size: of all bytes.
        crc: CRC-32 as stored.
    """

    kind: int
    rows: int
    columns: int
    block_rows: int
    block_columns: int
    value_type: int
    index_bytes: int
    zero: int
    chunk_columns: int
    zeros: int
    blocks: int
    starts: int
    indices: int
    values: int
    total_size: int
    crc: int = 0

    @property
    def row_blocks(self) -> int:
        """Return how many blocks lie above each other."""
        return -(-self.rows // self.block_rows)

    @property
    def block_places(self) -> int:
        """Return how many blocks lie beside each other, stored or not."""
        return -(-self.columns // self.block_columns)

    @property
    def chunks(self) -> int:
        """Return how many chunks of columns there are."""
        return -(-self.columns // self.chunk_columns)

    @property
    def mask_words(self) -> int:
        """Return how many 16-bit words of mask a row has: whole multiples of 64 bits."""
        return -(-self.columns // 64) * 4

    @property
    def pairs(self) -> int:
        """Return how many times two blocks lie beside each other, the last one perhaps alone."""
        return -(-self.block_places // 2)

    @property
    def starts_size(self) -> int:
        """Return the bytes of the starts."""
        if self.kind == Kind.TWO_OF_FOUR:
            return 0
        return 4 * self.chunks * (self.row_blocks + 1)

    @property
    def indices_size(self) -> int:
        """Return the bytes of the indices."""
        if self.kind == Kind.BITMASK:
            return 2 * self.rows * self.mask_words
        if self.kind == Kind.TWO_OF_FOUR:
            return 4 * self.row_blocks * self.pairs * PAIR_WORDS
        return self.index_bytes * self.blocks

    @property
    def values_size(self) -> int:
        """Return the bytes of the values."""
        return ValueType(self.value_type).dtype.itemsize * self.blocks * self.block_values

    @property
    def block_values(self) -> int:
        """Return how many values of a block are stored."""
        size = self.block_rows * self.block_columns
        return size // 2 if self.kind == Kind.TWO_OF_FOUR else size

    def to_bytes(self, crc: int) -> bytes:
        """Return the header with the given checksum."""
        numbers = [int(getattr(self, field.name)) for field in fields(self)][:-1]
        return FIELDS.pack(MAGIC, VERSION, *numbers, crc, 0).ljust(SIZE, b"\0")


def header_for(
    kind: Kind,
    shape: tuple[int, int],
    value_type: ValueType,
    blocks: int,
    block: tuple[int, int] = (1, 1),
    chunk_columns: int | None = None,
) -> PackedHeader:
    """Return the header of a matrix with its sections as close together as alignment allows."""
    rows, columns = shape
    block_rows, block_columns = block
    unplaced = PackedHeader(
        kind, rows, columns, block_rows, block_columns, value_type,
        index_bytes(kind, -(-columns // block_columns)), 0, chunk_columns or columns, 0, blocks,
        SIZE, 0, 0, 0,
    )  # fmt: skip
    indices = aligned(SIZE + unplaced.starts_size)
    values = aligned(indices + unplaced.indices_size)
    total = values + unplaced.values_size + TAIL
    return replace(unplaced, indices=indices, values=values, total_size=total)


def aligned(offset: int) -> int:
    """Return the next multiple of the alignment."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def read_header(packed: Bytes) -> PackedHeader:
    """Return the header of packed bytes whose sections lie inside them.

    Raises:
        PackedWeightError: if the bytes are too few, of another kind or version, or the sections
            do not follow one another within them.
    """
    if len(packed) < SIZE:
        raise PackedWeightError(f"{len(packed)} bytes are too few for the header of {SIZE}")
    magic, version, *numbers, zero = FIELDS.unpack_from(packed)
    if magic != MAGIC:
        raise PackedWeightError(f"does not start with the magic {MAGIC.decode()!r}")
    expect("version", version, VERSION)
    header = PackedHeader(*numbers)
    expect("total size", header.total_size, len(packed))
    if header.zero or header.zeros or zero or any(packed[FIELDS.size : SIZE]):
        raise PackedWeightError("a reserved field is not 0")
    check_shape(header.rows, header.columns)
    check_kind(header)
    check_sections(header)
    return header


def check_shape(rows: int, columns: int) -> None:
    """Refuse matrices without elements, and columns that a signed 32-bit index cannot reach."""
    if rows == 0 or columns == 0 or columns > MOST_COLUMNS:
        raise PackedWeightError(
            f"shape ({rows}, {columns}) is empty or has more than 2^31 - 1 columns"
        )


def check_kind(header: PackedHeader) -> None:
    """Refuse kinds that there are not, and fields that do not fit the kind."""
    if header.kind not in tuple(Kind):
        raise PackedWeightError(f"kind is {header.kind}, not 1 to {max(Kind)}")
    if header.value_type not in tuple(ValueType):
        raise PackedWeightError(f"value type is {header.value_type}, not 1 to {max(ValueType)}")
    check_values(header.kind, ValueType(header.value_type))
    rows, columns = BLOCK_SHAPES[header.kind]
    if header.block_rows not in rows:
        raise PackedWeightError(f"blocks of kind {header.kind} have {header.block_rows} rows")
    if header.block_columns not in columns:
        raise PackedWeightError(f"blocks of kind {header.kind} have {header.block_columns} columns")
    expect("index bytes", header.index_bytes, index_bytes(header.kind, header.block_places))
    fewest = 1 if header.kind == Kind.BLOCKS else header.columns
    if not fewest <= header.chunk_columns <= header.columns:
        raise PackedWeightError(
            f"chunks of {header.chunk_columns} columns in kind {header.kind} "
            f"of {header.columns} columns"
        )
    if header.blocks > MOST_BLOCKS:
        raise PackedWeightError(f"{header.blocks} blocks, at most {MOST_BLOCKS} can be counted")
    if header.kind == Kind.TWO_OF_FOUR:
        expect("blocks", header.blocks, header.row_blocks * header.block_places)


def expect(what: str, found: int, expected: int) -> None:
    """Refuse a field with another value than the only possible one."""
    if found != expected:
        raise PackedWeightError(f"{what} is {found}, expected {expected}")


def check_sections(header: PackedHeader) -> None:
    """Refuse sections that are misaligned, overlap, or do not end right before the tail."""
    end = SIZE
    for name, offset, size in (
        ("starts", header.starts, header.starts_size),
        ("indices", header.indices, header.indices_size),
        ("values", header.values, header.values_size),
    ):
        if offset % ALIGNMENT:
            raise PackedWeightError(f"{name} start at {offset}, not a multiple of {ALIGNMENT}")
        if offset < end or offset + size > header.total_size - TAIL:
            raise PackedWeightError(
                f"{name} ({size} bytes at offset {offset}) do not fit between "
                f"byte {end} and the tail at {header.total_size - TAIL}"
            )
        end = offset + size
    expect("end of values", end, header.total_size - TAIL)
