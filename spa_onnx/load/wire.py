"""Protobuf wire format of ONNX files, as far as weights need it.

A model file is mostly the raw bytes of its tensors. :func:`strip_payloads` copies everything else
and replaces each large ``raw_data`` by an external-data reference into the file it came from;
:func:`inflate` is the inverse. So weights are read from a mapping when a stage wants them and
written one tensor at a time, and no stage ever holds the model in memory.

Source: protobuf encoding (varint and length-delimited fields); field numbers of onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Protocol, overload

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
INLINE_LIMIT: Final = 1024
"""Bytes of raw data up to which a tensor stays inside the skeleton."""

CHILDREN: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
    "function": {7: "node"},
}
"""Fields of each message that can hold tensors, directly or below."""

RAW_DATA, EXTERNAL_DATA, DATA_LOCATION = 9, 13, 14
MAX_DEPTH: Final = 64
"""Nesting of messages (graphs inside control flow) beyond which a file counts as hostile."""


class Buffer(Protocol):
    """What is scanned: bytes in memory or a window on a file."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, at: int, /) -> int: ...
    @overload
    def __getitem__(self, at: slice, /) -> bytes | memoryview[int]: ...


class WireError(Exception):
    """The bytes are no well-formed message; carries the offset."""


def read_varint(data: Buffer, at: int, end: int) -> tuple[int, int]:
    """Return the number at ``at`` and the offset behind it."""
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise WireError(f"a number at byte {at} does not end")


def varint(value: int) -> bytes:
    """Encode a non-negative number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def fields(data: Buffer, at: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield ``(number, wire type, field start, payload start, payload end)`` of a message.

    Raises:
        WireError: a field is cut off or has a wire type that protobuf does not know.
    """
    while at < end:
        start = at
        key, at = read_varint(data, at, end)
        kind = key & 7
        if kind == VARINT:
            begin = at
            _, at = read_varint(data, at, end)
        elif kind == LENGTH_DELIMITED:
            length, begin = read_varint(data, at, end)
            at = begin + length
        elif kind in (FIXED32, FIXED64):
            begin, at = at, at + (4 if kind == FIXED32 else 8)
        else:
            raise WireError(f"unknown wire type {kind} at byte {start}")
        if at > end or key >> 3 == 0:
            raise WireError(f"field {key >> 3} at byte {start} runs past the end")
        yield key >> 3, kind, start, begin, at


def delimited(number: int, payload: bytes) -> bytes:
    """Encode one length-delimited field."""
    return varint(number << 3 | LENGTH_DELIMITED) + varint(len(payload)) + payload


def external_reference(location: str, offset: int, length: int) -> bytes:
    """Encode the fields of a TensorProto whose data lies elsewhere."""
    entries = (("location", location), ("offset", str(offset)), ("length", str(length)))
    pairs = (delimited(1, key.encode()) + delimited(2, value.encode()) for key, value in entries)
    return b"".join(delimited(EXTERNAL_DATA, p) for p in pairs) + bytes((DATA_LOCATION << 3, 1))


def strip_payloads(data: Buffer, location: str) -> bytes:
    """Return the model with every large ``raw_data`` replaced by a reference into ``location``.

    Raises:
        WireError: ``data`` is no ModelProto.
    """
    return b"".join(_strip(data, 0, len(data), "model", location, 0))


def _strip(data: Buffer, at: int, end: int, kind: str, location: str, depth: int) -> list[bytes]:
    if depth > MAX_DEPTH:
        raise WireError(f"messages nested deeper than {MAX_DEPTH}")
    pieces: list[bytes] = []
    reference = b""
    copied = at
    children = CHILDREN.get(kind, {})
    for number, wire, start, begin, stop in fields(data, at, end):
        if wire != LENGTH_DELIMITED or stop - begin <= INLINE_LIMIT:
            continue
        if kind == "tensor" and number == RAW_DATA:
            replacement = b""  # the reference goes last, where it wins over an explicit location
            reference = external_reference(location, begin, stop - begin)
        elif number in children:
            inner = _strip(data, begin, stop, children[number], location, depth + 1)
            replacement = delimited(number, b"".join(inner))
        else:
            continue
        pieces += [bytes(data[copied:start]), replacement]
        copied = stop
    pieces += [bytes(data[copied:end]), reference]
    return pieces


Piece = bytes | tuple[str, int]
"""Literal bytes, or the key of a payload with its length."""


def inflate(
    skeleton: bytes, payload_of: Callable[[bytes], tuple[bytes, str, int] | None]
) -> list[Piece]:
    """Return the pieces of a file in which chosen tensors carry their data again.

    ``payload_of`` gets an encoded TensorProto that has external data and returns the encoded tensor
    without data, the payload's key and its length in bytes; or None to leave the tensor alone.
    """
    return _inflate(memoryview(skeleton), 0, len(skeleton), "model", payload_of)


def _inflate(
    data: Buffer,
    at: int,
    end: int,
    kind: str,
    payload_of: Callable[[bytes], tuple[bytes, str, int] | None],
) -> list[Piece]:
    pieces: list[Piece] = []
    copied = at
    for number, wire, start, begin, stop in fields(data, at, end):
        child = CHILDREN[kind].get(number)
        if wire != LENGTH_DELIMITED or child is None:
            continue
        body = bytes(data[begin:stop])
        if b"location" not in body:  # key of every external-data entry
            continue
        if child != "tensor":
            inner = _inflate(data, begin, stop, child, payload_of)
            if len(inner) == 1:
                continue
        else:
            found = payload_of(body)
            if found is None:
                continue
            header, key, length = found
            inner = [
                header + varint(RAW_DATA << 3 | LENGTH_DELIMITED) + varint(length),
                (key, length),
            ]
        total = sum(len(p) if isinstance(p, bytes) else p[1] for p in inner)
        pieces += [
            bytes(data[copied:start]),
            varint(number << 3 | LENGTH_DELIMITED) + varint(total),
        ]
        pieces += inner
        copied = stop
    pieces.append(bytes(data[copied:end]))
    return pieces
