"""Tensor data that does not exist yet: sliced when it is written, one tensor at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx
from onnx import numpy_helper

from spa_onnx.algebra.expression import Axes, IntArray
from spa_onnx.load.source import CHUNK
from spa_onnx.load.store import PACKED_TYPES, byte_length, is_external
from spa_onnx.load.wire import INLINE_LIMIT
from spa_onnx.normalise.graph import Graph
from spa_onnx.plan.lanes import KeptLanes
from spa_onnx.plan.places import Array, taken

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
        """Read, slice and yield the tensor, block by block where its first axis keeps its order."""
        tensor = self.graph.tensors[self.name]
        if tensor.data_type in PACKED_TYPES:
            array = self.lanes.slice(self.graph.array(self.name), self.axes)
            yield memoryview(numpy_helper.from_array(array).raw_data)
            return
        places = [self.lanes.places(e) for e in self.axes]
        ordered = not self.lanes.is_ragged(self.axes) and bool((np.diff(places[0]) > 0).all())
        if not ordered or not is_external(tensor):
            yield _raw(self.lanes.slice(self.graph.array(self.name), self.axes))
        else:
            yield from self._blocks(tensor, places)

    def _blocks(self, tensor: onnx.TensorProto, places: Sequence[IntArray]) -> Iterator[memoryview]:
        row_bytes = max(1, byte_length(tensor) // tensor.dims[0])
        step = max(1, CHUNK // row_bytes)
        for start in range(0, tensor.dims[0], step):
            stop = min(tensor.dims[0], start + step)
            rows = places[0][np.searchsorted(places[0], start) : np.searchsorted(places[0], stop)]
            if not len(rows):
                continue
            block = self.graph.weights.rows(tensor, rows[0], rows[-1] + 1)
            for k, place in enumerate([rows - rows[0], *places[1:]]):
                block = taken(block, place, k)
            yield _raw(block)


@dataclass(frozen=True, slots=True)
class ArrayPayload:
    """Data that is in memory."""

    array: Array

    @property
    def length(self) -> int:
        """Return the number of bytes."""
        return self.array.nbytes

    def chunks(self) -> Iterator[memoryview]:
        """Yield everything."""
        yield _raw(self.array)


def _raw(array: Array) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


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
