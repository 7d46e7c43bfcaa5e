"""Write a rewritten model: one tensor in memory at a time, complete or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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


@dataclass(slots=True)
class PendingFile:
    """A model written under a temporary name beside its destination.

    Attributes:
        path: the temporary model file; it can be loaded and verified.
    """

    path: Path
    _target: Path
    _data: tuple[Path, Path] | None = None

    def commit(self) -> None:
        """Give the file its name, replacing what was there."""
        if self._data is not None:
            model = onnx.ModelProto.FromString(self.path.read_bytes())
            for tensor in all_tensors(model):
                for entry in tensor.external_data:
                    if entry.key == "location" and entry.value == self._data[0].name:
                        entry.value = self._data[1].name
            self.path.write_bytes(model.SerializeToString())
            self._data[0].replace(self._data[1])
        self.path.replace(self._target)


@contextmanager
def pending_file(rewritten: Rewritten, loaded: LoadedModel, target: Path) -> Generator[PendingFile]:
    """Write a model under a temporary name; nothing stays unless it is committed.

    Weights go to ``<target>.data`` when the original kept its own outside or one message is too
    small for them.

    Raises:
        ModelFileError: the folder cannot be written.
    """
    payloads = payloads_of(rewritten, loaded)
    external = loaded.has_external_data or sum(p.length for p in payloads.values()) > PROTOBUF_LIMIT
    made: list[Path] = []
    try:
        try:
            made.append(_temporary(target, ".onnx"))
            if external:
                made.append(_temporary(target, ".data"))
                data = target.with_name(target.name + ".data")
                _write_external(rewritten.model, payloads, made[0], made[1])
                pending = PendingFile(made[0], target, (made[1], data))
            else:
                with made[0].open("wb") as file:
                    _stream(rewritten.model, payloads, file.write)
                pending = PendingFile(made[0], target)
        except OSError as failure:
            remedy = "Choose a folder that can be written and has room"
            raise ModelFileError(str(target), f"cannot be written ({failure})", remedy) from failure
        yield pending
    finally:
        for path in made:
            with suppress(FileNotFoundError):
                path.unlink()


def _temporary(target: Path, suffix: str) -> Path:
    # ONNX Runtime takes weights in a file whose name starts with two dots for ones outside
    handle, name = tempfile.mkstemp(suffix, f".{target.name.lstrip('.')}.", target.parent)
    umask = os.umask(0)
    os.umask(umask)
    os.fchmod(handle, 0o666 & ~umask)
    os.close(handle)
    return Path(name)


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
