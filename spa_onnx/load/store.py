"""Where weights lie, and how they come into memory: as views of mapped files, one at a time."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from spa_onnx.errors import ExternalDataError

PACKED_TYPES = {
    onnx.TensorProto.INT4,
    onnx.TensorProto.UINT4,
    onnx.TensorProto.FLOAT4E2M1,
}
"""Element types with two values in a byte: decoded by onnx instead of viewed in place."""


def references(tensor: onnx.TensorProto) -> Mapping[str, str]:
    """Return the external-data entries of a tensor."""
    return {entry.key: entry.value for entry in tensor.external_data}


def is_external(tensor: onnx.TensorProto) -> bool:
    """Say whether the tensor's bytes lie outside its message."""
    return tensor.data_location == onnx.TensorProto.EXTERNAL


@dataclass(slots=True)
class WeightStore:
    """Resolves external tensors of one model.

    Attributes:
        folder: the model's folder; None for models that live in memory.
        buffers: mapped files and in-memory models by location.
    """

    folder: Path | None
    buffers: dict[str, memoryview] = field(default_factory=dict)

    def array(self, tensor: onnx.TensorProto) -> NDArray[np.generic]:
        """Return the tensor's values, shape ``tensor.dims``; read-only, mapped where possible.

        Raises:
            ExternalDataError: data is missing, outside the folder or of the wrong length.
        """
        if not is_external(tensor):
            return numpy_helper.to_array(tensor)
        data = self.raw(tensor)
        if tensor.data_type in PACKED_TYPES:
            inline = onnx.TensorProto(data_type=tensor.data_type, dims=tensor.dims)
            inline.raw_data = bytes(data)
            return numpy_helper.to_array(inline)
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        return np.frombuffer(data, dtype).reshape(tuple(tensor.dims))

    def raw(self, tensor: onnx.TensorProto) -> memoryview:
        """Return the bytes of an external tensor, checked against its shape.

        Raises:
            ExternalDataError: as for :meth:`array`.
        """
        entries = references(tensor)
        location = entries.get("location", "")
        buffer = self._buffer(tensor.name, location)
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
        if offset < 0 or offset + length > len(buffer):
            problem = f"ends at byte {len(buffer)}, the tensor at {offset + length}"
            raise ExternalDataError(tensor.name, location, problem, "The file is truncated; copy it again")
        return buffer[offset : offset + length]

    def _buffer(self, tensor: str, location: str) -> memoryview:
        if location not in self.buffers:
            self.buffers[location] = map_file(self._inside(tensor, location))
        return self.buffers[location]

    def _inside(self, tensor: str, location: str) -> Path:
        """Return the path of a location, refusing every way out of the model's folder."""
        if self.folder is None:
            remedy = "Give the path of the model instead of a ModelProto"
            raise ExternalDataError(tensor, location, "cannot be found for a model in memory", remedy)
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


def byte_length(tensor: onnx.TensorProto) -> int:
    """Return the bytes that the tensor's shape and type need.

    Raises:
        ExternalDataError: a negative length or a type without a size.
    """
    count = 1
    for n in tensor.dims:
        if n < 0:
            problem = f"belongs to shape {list(tensor.dims)}"
            raise ExternalDataError(tensor.name, "", problem, "Export the model again")
        count *= n
    if tensor.data_type in PACKED_TYPES:
        return (count + 1) // 2
    try:
        return count * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, ValueError, TypeError):
        problem = f"has unknown element type {tensor.data_type}"
        raise ExternalDataError(tensor.name, "", problem, "Update onnx") from None


def map_file(path: Path) -> memoryview:
    """Return a file's bytes as a read-only mapping; an empty file gives an empty view."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
