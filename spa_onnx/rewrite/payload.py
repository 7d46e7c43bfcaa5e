"""Tensor data that does not exist yet: sliced when it is written, one tensor at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx
from onnx import numpy_helper

from spa_onnx.algebra.expression import Axes
from spa_onnx.load.store import PACKED_TYPES, byte_length
from spa_onnx.load.wire import INLINE_LIMIT
from spa_onnx.normalise.graph import Graph
from spa_onnx.plan.lanes import KeptLanes

SCHEME = "spa-onnx-payload:"
"""Location prefix of tensors whose data is a payload."""


class Payload(Protocol):
    """Bytes of one tensor, made on demand."""

    @property
    def length(self) -> int:
        """Return the number of bytes."""
        ...

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes in pieces."""
        ...


@dataclass(frozen=True, slots=True)
class SlicedTensor:
    """The lanes of an initializer that stay."""

    graph: Graph
    name: str
    axes: Axes
    lanes: KeptLanes
    length: int

    def chunks(self) -> Iterator[memoryview]:
        """Read, slice and yield the tensor."""
        tensor = self.graph.tensors[self.name]
        array = self.lanes.slice(self.graph.array(self.name), self.axes)
        if tensor.data_type in PACKED_TYPES:
            yield memoryview(numpy_helper.from_array(array).raw_data)
            return
        yield memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


@dataclass(frozen=True, slots=True)
class MappedBytes:
    """Bytes that are copied from the original as they are."""

    data: memoryview

    @property
    def length(self) -> int:
        """Return the number of bytes."""
        return len(self.data)

    def chunks(self) -> Iterator[memoryview]:
        """Yield the mapping."""
        yield self.data


def sliced(
    graph: Graph, name: str, axes: Axes, lanes: KeptLanes
) -> tuple[onnx.TensorProto, SlicedTensor | None]:
    """Return the message of a sliced tensor, and its payload unless the data is small."""
    old = graph.tensors[name]
    new = onnx.TensorProto(name=name, data_type=old.data_type, doc_string=old.doc_string)
    new.metadata_props.extend(old.metadata_props)
    new.dims.extend(int(lanes.length(e)) for e in axes)  # type: ignore[arg-type]
    length = byte_length(new)
    payload = SlicedTensor(graph, name, axes, lanes, length)
    if length <= INLINE_LIMIT:
        new.raw_data = b"".join(payload.chunks())
        return new, None
    refer(new, SCHEME + name, 0, length)
    return new, payload


def refer(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    """Let a tensor's data lie elsewhere."""
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
