"""Where weights lie, and how they come into memory: as views of mapped files, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from spa_onnx.errors import ExternalDataError, TensorDataError
from spa_onnx.load.source import FileSource, Source, chunks, read

BITS = {
    "INT2": 2,
    "UINT2": 2,
    "INT4": 4,
    "UINT4": 4,
    "FLOAT4E2M1": 4,
    "FLOAT6E2M3": 6,
    "FLOAT6E3M2": 6,
}
PACKED_TYPES = {
    number: BITS[name] for name, number in onnx.TensorProto.DataType.items() if name in BITS
}
"""Bits of element types that share bytes: decoded by onnx instead of viewed in place."""


def references(tensor: onnx.TensorProto) -> Mapping[str, str]:
    """Return the external-data entries of a tensor."""
    return {entry.key: entry.value for entry in tensor.external_data}


def is_external(tensor: onnx.TensorProto) -> bool:
    """Say whether the tensor's bytes lie outside its message."""
    return tensor.data_location == onnx.TensorProto.EXTERNAL


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor's bytes lie."""

    source: Source
    offset: int
    length: int

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes in pieces; each is valid until the next."""
        return chunks(self.source, self.offset, self.length)


@dataclass(slots=True)
class WeightStore:
    """Resolves external tensors of one model.

    Attributes:
        folder: the model's folder; None for models that live in memory.
        sources: open files and in-memory models by location.
    """

    folder: Path | None
    sources: dict[str, Source] = field(default_factory=dict)

    def array(self, tensor: onnx.TensorProto) -> NDArray[np.generic]:
        """Return the tensor's values, shape ``tensor.dims``, in memory.

        Raises:
            ExternalDataError: data is missing, outside the folder or of the wrong length.
            TensorDataError: data inside the model does not fit shape or type.
        """
        if not is_external(tensor):
            return _inline(tensor)
        place = self.place(tensor)
        data = read(place.source, place.offset, place.length)
        if tensor.data_type in PACKED_TYPES:
            inline = onnx.TensorProto(data_type=tensor.data_type, dims=tensor.dims)
            inline.raw_data = data.tobytes()
            return numpy_helper.to_array(inline)
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        return data.view(dtype).reshape(tuple(tensor.dims))

    def rows(self, tensor: onnx.TensorProto, start: int, stop: int) -> NDArray[np.generic]:
        """Return ``array(tensor)[start:stop]`` of an external tensor without reading the rest."""
        place = self.place(tensor)
        each = place.length // max(1, tensor.dims[0])
        data = read(place.source, place.offset + start * each, (stop - start) * each)
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        return data.view(dtype).reshape((stop - start, *tensor.dims[1:]))

    def is_uniform(self, tensor: onnx.TensorProto) -> bool:
        """Say whether all values are equal; reads no further than the piece in which one is not."""
        if not is_external(tensor) or tensor.data_type in PACKED_TYPES:
            values = self.array(tensor).reshape(-1)
            return bool((values == values[:1]).all())
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        first: NDArray[np.generic] | None = None
        for chunk in self.place(tensor).chunks():
            values = np.frombuffer(chunk, dtype)
            first = values[:1].copy() if first is None else first
            if not bool((values == first).all()):
                return False
        return True

    def place(self, tensor: onnx.TensorProto) -> Place:
        """Return where an external tensor lies, checked against its shape.

        Raises:
            ExternalDataError: as for :meth:`array`.
        """
        entries = references(tensor)
        location = entries.get("location", "")
        source = self._source(tensor.name, location)
        expected = byte_length(tensor)
        try:
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", expected))
        except ValueError:
            raise ExternalDataError(
                tensor.name, location, "has an offset or length that is no number", "Export again"
            ) from None
        if length != expected:
            problem = f"has {length} bytes where shape {list(tensor.dims)} needs {expected}"
            raise ExternalDataError(tensor.name, location, problem, "Export the model again")
        if offset < 0 or offset + length > source.size:
            problem = f"ends at byte {source.size}, the tensor at {offset + length}"
            remedy = "The file is truncated; copy it again"
            raise ExternalDataError(tensor.name, location, problem, remedy)
        return Place(source, offset, length)

    def _source(self, tensor: str, location: str) -> Source:
        if location not in self.sources:
            self.sources[location] = FileSource(self._inside(tensor, location))
        return self.sources[location]

    def _inside(self, tensor: str, location: str) -> Path:
        """Return the path of a location, refusing every way out of the model's folder."""
        if self.folder is None:
            remedy = "Give the path of the model instead of a ModelProto"
            raise ExternalDataError(
                tensor, location, "cannot be found for a model in memory", remedy
            )
        parts = (*PurePosixPath(location).parts, *PureWindowsPath(location).parts)
        folder = self.folder.resolve()
        path = (folder / location).resolve()
        escapes = not location or ".." in parts or PureWindowsPath(location).drive
        if escapes or PurePosixPath(location).is_absolute() or not path.is_relative_to(folder):
            remedy = "Such models are refused; move the data beside the model"
            raise ExternalDataError(tensor, location, "lies outside the model's folder", remedy)
        if not path.is_file():
            remedy = "Copy the data file beside the model"
            raise ExternalDataError(tensor, location, "is missing", remedy)
        return path


def _inline(tensor: onnx.TensorProto) -> NDArray[np.generic]:
    byte_length(tensor)
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as failure:
        problem = f"holds data that does not fill shape {list(tensor.dims)} ({failure})"
        raise TensorDataError(tensor.name, problem) from failure


def byte_length(tensor: onnx.TensorProto) -> int:
    """Return the bytes that the tensor's shape and type need.

    Raises:
        TensorDataError: a negative length or a type without a size.
    """
    count = 1
    for n in tensor.dims:
        if n < 0:
            raise TensorDataError(tensor.name, f"has shape {list(tensor.dims)}")
        count *= n
    if tensor.data_type in PACKED_TYPES:
        return (count * PACKED_TYPES[tensor.data_type] + 7) // 8
    try:
        return count * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except (KeyError, ValueError, TypeError):
        problem = f"has element type {tensor.data_type}, unknown to this version of onnx"
        raise TensorDataError(tensor.name, problem) from None
