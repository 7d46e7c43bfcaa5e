"""A repaired model with the weights that its plan alone would have given it.

A repair changes numbers, never shapes or nodes but for biases that it adds. With the plan's numbers
in place of the repaired ones the model must therefore equal the masked original.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from spa_onnx.errors import OtherWeightsError
from spa_onnx.graph.tensors import FLOATS
from spa_onnx.load.model import LoadedModel, load
from spa_onnx.load.store import WeightStore
from spa_onnx.load.wire import INLINE_LIMIT
from spa_onnx.rewrite.apply import Rewritten
from spa_onnx.rewrite.payload import SCHEME, ArrayPayload, Payload, refer
from spa_onnx.rewrite.writer import pending_file

Array = NDArray[Any]
BIAS = 2
"""Position of the bias among the inputs of a layer that has one."""


@contextmanager
def with_planned_weights(
    pruned: LoadedModel, rewritten: Rewritten, loaded: LoadedModel
) -> Generator[tuple[LoadedModel, int]]:
    """Yield ``pruned`` with the weights that a plan makes, and how many had other numbers.

    ``rewritten`` is what the plan makes of ``loaded``. Only float weights are replaced; biases that
    ``pruned`` alone has become zero. Both models lie in a temporary folder, so that weights need
    not fit into memory.

    Raises:
        OtherWeightsError: a weight of both has another shape or type, or numbers that are not
            finite where the plan's are.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spa-onnx-")))
        plain = stack.enter_context(pending_file(rewritten, loaded, folder / "planned.onnx"))
        replaced, repaired = _replaced(pruned, load(plain.path))
        proved = stack.enter_context(pending_file(replaced, pruned, folder / "proved.onnx"))
        yield load(proved.path), repaired


def _replaced(pruned: LoadedModel, planned: LoadedModel) -> tuple[Rewritten, int]:
    model = onnx.ModelProto()
    model.CopyFrom(pruned.skeleton)
    known = dict(_stored(planned.skeleton))
    biases = _biases(model, planned.skeleton)
    payloads: dict[str, Payload] = {}
    repaired = 0
    for tensor in model.graph.initializer:
        if tensor.data_type not in FLOATS:
            continue
        source = known.get(tensor.name)
        if source is not None and (list(source.dims), source.data_type) != (
            list(tensor.dims),
            tensor.data_type,
        ):
            shapes = f"is {list(tensor.dims)}, not {list(source.dims)} as the plan makes it"
            raise OtherWeightsError(tensor.name, shapes)
        source = source or known.get(biases.get(tensor.name, ""))
        shape = tuple(tensor.dims)
        payload = _Planned(tensor.name, shape, tensor.data_type, source, planned.weights)
        repaired += _is_repaired(tensor, pruned.weights.array(tensor), payload.values())
        if payload.length <= INLINE_LIMIT:
            tensor.CopyFrom(numpy_helper.from_array(np.array(payload.values()), tensor.name))
        else:
            payloads[tensor.name] = payload
            tensor.CopyFrom(payload.reference())
    return Rewritten(model, payloads, ()), repaired


def _is_repaired(tensor: onnx.TensorProto, found: Array, planned: Array) -> bool:
    """Say whether a weight has other numbers than its plan makes."""
    if np.array_equal(found, planned, equal_nan=True):
        return False
    finite = np.isfinite(planned.astype(np.float64)).all()
    if finite and not np.isfinite(found.astype(np.float64)).all():
        raise OtherWeightsError(
            tensor.name, "has numbers that are not finite; no repair makes such"
        )
    return True


@dataclass(frozen=True, slots=True)
class _Planned:
    """Data of a weight that the plan makes, read when it is written.

    Attributes:
        name: of the weight in the pruned model.
        shape: that it has there.
        element: its type there.
        source: the plan's tensor; None for a bias that it has not.
        weights: where the plan's weights lie.
    """

    name: str
    shape: tuple[int, ...]
    element: int
    source: onnx.TensorProto | None
    weights: WeightStore

    @property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(helper.tensor_dtype_to_np_dtype(self.element))

    @property
    def length(self) -> int:
        """Return the number of bytes."""
        return prod(self.shape) * self._dtype.itemsize

    def values(self) -> Array:
        """Return the numbers in the shape of the weight; a single one counts for all."""
        if self.source is None:
            return np.zeros(self.shape, self._dtype)
        values = self.weights.array(self.source)
        if values.size == prod(self.shape):
            return values.reshape(self.shape)
        return np.broadcast_to(values.reshape(-1), self.shape)

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes."""
        yield from ArrayPayload(self.values()).chunks()

    def reference(self) -> onnx.TensorProto:
        """Return a tensor whose data is this payload."""
        made = onnx.TensorProto(name=self.name, dims=self.shape, data_type=self.element)
        refer(made, SCHEME + self.name, 0, self.length)
        return made


def _stored(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yield the stored tensors of the main graph, those of Constant nodes under their output."""
    for node in model.graph.node:
        if node.op_type == "Constant":
            yield from ((node.output[0], a.t) for a in node.attribute if a.name == "value")
    yield from ((tensor.name, tensor) for tensor in model.graph.initializer)


def _biases(model: onnx.ModelProto, planned: onnx.ModelProto) -> dict[str, str]:
    """Return the biases of layers by name, with the plan's bias of the same layer if it has one."""
    nodes = {node.output[0]: node for node in planned.graph.node if node.output}
    found = {}
    for node in model.graph.node:
        twin = nodes.get(node.output[0]) if node.output else None
        if twin is not None and len(twin.input) > BIAS and len(node.input) > BIAS:
            found[node.input[BIAS]] = twin.input[BIAS]
    return found
