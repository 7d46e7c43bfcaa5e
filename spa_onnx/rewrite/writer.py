"""Write a rewritten model: one tensor in memory at a time, complete or not at all."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import onnx

from spa_onnx.errors import ModelFileError
from spa_onnx.graph.tensors import all_tensors
from spa_onnx.load.model import LoadedModel
from spa_onnx.load.store import byte_length, is_external, references
from spa_onnx.load.wire import inflate
from spa_onnx.rewrite.apply import Rewritten
from spa_onnx.rewrite.payload import SCHEME, Payload, refer
from spa_onnx.rewrite.pending import PendingFile, pending

PROTOBUF_LIMIT = 2**31 - 1 - (1 << 20)
"""Bytes that fit one protobuf message, with a margin for its own fields."""

PAGE, LINE, LARGE = 4096, 64, 1 << 20
"""Alignment of external tensors: pages from a megabyte on, cache lines below."""


def payloads_of(rewritten: Rewritten, loaded: LoadedModel) -> dict[str, Payload]:
    """Return the data of every tensor that is not inside the skeleton, by a key for each."""
    found: dict[str, Payload] = {}
    for tensor in all_tensors(rewritten.model):
        if not is_external(tensor):
            continue
        location = references(tensor).get("location", "")
        if location.startswith(SCHEME):
            found[location] = rewritten.payloads[location.removeprefix(SCHEME)]
        else:
            found[_key(tensor)] = loaded.weights.place(tensor)
    return found


def _key(tensor: onnx.TensorProto) -> str:
    entries = references(tensor)
    location = entries.get("location", "")
    if location.startswith(SCHEME):
        return location
    return f"{location}@{entries.get('offset', '0')}+{byte_length(tensor)}"


def to_bytes(rewritten: Rewritten, loaded: LoadedModel) -> bytes:
    """Return the model as one protobuf message.

    Raises:
        ModelFileError: it is too large for that.
    """
    payloads = payloads_of(rewritten, loaded)
    if sum(p.length for p in payloads.values()) > PROTOBUF_LIMIT:
        remedy = "Give an output path, so that weights can be written beside it"
        raise ModelFileError("the pruned model", "is above the 2 GB that a message holds", remedy)
    out = bytearray()
    _stream(rewritten.model, payloads, out.extend)
    return bytes(out)


def _stream(
    model: onnx.ModelProto,
    payloads: Mapping[str, Payload],
    write: Callable[[memoryview | bytes], object],
) -> None:
    def payload_of(encoded: bytes) -> tuple[bytes, str, int] | None:
        tensor = onnx.TensorProto.FromString(encoded)
        if not is_external(tensor):
            return None
        key = _key(tensor)
        del tensor.external_data[:]
        tensor.ClearField("data_location")
        return tensor.SerializeToString(), key, payloads[key].length

    for piece in inflate(model.SerializeToString(), payload_of):
        if isinstance(piece, bytes):
            write(piece)
        else:
            for chunk in payloads[piece[0]].chunks():
                write(chunk)


@contextmanager
def pending_file(
    rewritten: Rewritten, loaded: LoadedModel, target: Path, most_inside: int = PROTOBUF_LIMIT
) -> Generator[PendingFile]:
    """Write a model under a temporary name; nothing stays unless it is committed.

    Weights go to ``<target>.data`` when the original kept its own outside or they are more bytes
    than ``most_inside``, at most what one message holds.

    Raises:
        ModelFileError: the folder cannot be written.
    """
    payloads = payloads_of(rewritten, loaded)
    total = sum(p.length for p in payloads.values())
    outside = loaded.has_external_data or total > min(most_inside, PROTOBUF_LIMIT)
    with ExitStack() as stack:
        try:
            file = pending(target, outside=outside)
            stack.callback(file.clean_up)
            if file.weights is not None:
                _write_external(rewritten.model, payloads, file.path, file.weights)
            else:
                with file.path.open("wb") as stream:
                    _stream(rewritten.model, payloads, stream.write)
        except OSError as failure:
            remedy = "Choose a folder that can be written and has room"
            raise ModelFileError(str(target), f"cannot be written ({failure})", remedy) from failure
        yield file


def _write_external(
    model: onnx.ModelProto, payloads: Mapping[str, Payload], path: Path, data_path: Path
) -> None:
    outside = onnx.ModelProto()
    outside.CopyFrom(model)
    offsets: dict[str, int] = {}
    with data_path.open("wb") as file:
        for key, payload in payloads.items():
            offsets[key] = _append(file, payload)
    for tensor in all_tensors(outside):
        if is_external(tensor):
            key = _key(tensor)
            refer(tensor, data_path.name, offsets[key], payloads[key].length)
    path.write_bytes(outside.SerializeToString())


def _append(file: BinaryIO, payload: Payload) -> int:
    align = PAGE if payload.length >= LARGE else LINE
    offset = -(-file.tell() // align) * align
    file.seek(offset)
    for chunk in payload.chunks():
        file.write(chunk)
    return offset
