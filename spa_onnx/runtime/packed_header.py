"""The first 64 bytes of a packed matrix: what it is and where its sections lie."""

import struct
from dataclasses import dataclass

from spa_onnx.errors import SpaError

MAGIC = b"SPAW"
VERSION = 1
CSR_UINT32_FLOAT32 = 1
ALIGNMENT = 64
ELEMENT_SIZE = 4
MOST_COLUMNS = 2**31 - 1

# magic, version, format, rows, columns, nonzeros, three offsets, total size, CRC-32, zero
FIELDS = struct.Struct("<4sHHIIQQQQQII")
SIZE = FIELDS.size
CHECKED_SIZE = SIZE - 8


class PackedWeightError(SpaError):
    """A matrix that cannot be packed, or bytes that are no packed matrix."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"packed weight: {problem}")


@dataclass(frozen=True, slots=True)
class PackedHeader:
    """Size of the matrix, and sections as byte offsets from the first byte.

    Attributes:
        row_starts: offset of ``rows + 1`` uint32.
        column_indices: offset of ``nonzeros`` uint32.
        values: offset of ``nonzeros`` float32.
        crc: CRC-32 as stored.
    """

    rows: int
    columns: int
    nonzeros: int
    row_starts: int
    column_indices: int
    values: int
    total_size: int
    crc: int = 0

    def to_bytes(self, crc: int) -> bytes:
        """Return the header with the given checksum."""
        return FIELDS.pack(
            MAGIC, VERSION, CSR_UINT32_FLOAT32, self.rows, self.columns, self.nonzeros,
            self.row_starts, self.column_indices, self.values, self.total_size, crc, 0,
        )  # fmt: skip


def header_for(rows: int, columns: int, nonzeros: int) -> PackedHeader:
    """Return the header of a matrix with its sections as close together as alignment allows."""
    column_indices = aligned(SIZE + ELEMENT_SIZE * (rows + 1))
    values = aligned(column_indices + ELEMENT_SIZE * nonzeros)
    total_size = values + ELEMENT_SIZE * nonzeros
    return PackedHeader(rows, columns, nonzeros, SIZE, column_indices, values, total_size)


def aligned(offset: int) -> int:
    """Return the next multiple of the alignment."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def read_header(packed: bytes) -> PackedHeader:
    """Return the header of packed bytes whose sections lie inside them.

    Raises:
        PackedWeightError: if the bytes are too few, of another kind or version, or the sections
            do not follow one another within them.
    """
    if len(packed) < SIZE:
        raise PackedWeightError(f"{len(packed)} bytes are too few for the header of {SIZE}")
    magic, version, kind, *numbers, zero = FIELDS.unpack_from(packed)
    if magic != MAGIC:
        raise PackedWeightError(f"does not start with the magic {MAGIC.decode()!r}")
    header = PackedHeader(*numbers)
    expect("version", version, VERSION)
    expect("format", kind, CSR_UINT32_FLOAT32)
    expect("total size", header.total_size, len(packed))
    expect("reserved field", zero, 0)
    check_shape(header.rows, header.columns)
    check_sections(header)
    return header


def check_shape(rows: int, columns: int) -> None:
    """Refuse matrices without elements, and columns that a signed 32-bit index cannot reach."""
    if rows == 0 or columns == 0 or columns > MOST_COLUMNS:
        raise PackedWeightError(
            f"shape ({rows}, {columns}) is empty or has more than 2^31 - 1 columns"
        )


def expect(what: str, found: int, expected: int) -> None:
    """Refuse a field with another value than the only possible one."""
    if found != expected:
        raise PackedWeightError(f"{what} is {found}, expected {expected}")


def check_sections(header: PackedHeader) -> None:
    """Refuse sections that are misaligned, overlap, or do not end with the bytes."""
    end = SIZE
    for name, offset, elements in (
        ("row starts", header.row_starts, header.rows + 1),
        ("column indices", header.column_indices, header.nonzeros),
        ("values", header.values, header.nonzeros),
    ):
        if offset % ALIGNMENT:
            raise PackedWeightError(f"{name} start at {offset}, not a multiple of {ALIGNMENT}")
        if offset < end or offset + ELEMENT_SIZE * elements > header.total_size:
            raise PackedWeightError(
                f"{name} ({elements} elements at offset {offset}) do not fit between "
                f"byte {end} and the end at {header.total_size}"
            )
        end = offset + ELEMENT_SIZE * elements
    expect("end of values", end, header.total_size)
