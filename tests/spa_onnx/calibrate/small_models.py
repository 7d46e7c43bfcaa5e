"""Small models whose inputs are fed, and what is read for them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import spa_onnx
from spa_onnx.inputs.batches import Batches
from spa_onnx.inputs.signature import Signature, signature_of
from spa_onnx.inputs.sources import CalibrationInputs, read_calibration
from tests.builders import GraphBuilder

Array = NDArray[Any]

ROWS = 50


def image_model(*shape: int | str, dtype: type[np.generic] = np.float32) -> onnx.ModelProto:
    """Return a classifier of pictures; ``shape`` is ``(batch, 3, 8, 8)`` if not given."""
    g = GraphBuilder(sizes={"height": 8, "width": 8}, dtype=dtype)
    shape = shape or ("batch", 3, 8, 8)
    x = g.input("image", shape)
    if shape[-1] == 3:
        x = g.transpose(x, 0, 3, 1, 2)
    y = g.relu(g.conv(x, 8, 3))
    return g.model(g.gemm(g.flatten(g.global_average_pool(y)), 4))


def token_model(
    *names: str, batch: int | str = "batch", length: int | str = "sequence"
) -> onnx.ModelProto:
    """Return a sum over a table's rows; other inputs than the first scale them."""
    g = GraphBuilder(sizes={"sequence": 5})
    first, *others = names or ("input_ids", "attention_mask")
    ids = g.input(first, (batch, length), np.int64)
    y = g.node("Gather", [g.weight(ROWS, 6), ids], axis=0)
    for name in others:
        mask = g.node("Cast", [g.input(name, (batch, length), np.int64)], to=1)
        y = g.mul(y, g.unsqueeze(mask, 2))
    hidden = g.relu(g.matmul(y, g.weight(6, 8)))
    return g.model(g.matmul(hidden, g.weight(8, 3)))


def two_input_model() -> onnx.ModelProto:
    """Return a model whose inputs share the axis of items, the second one as its last axis."""
    g = GraphBuilder()
    a, b = g.input("a", ("n", 4)), g.input("b", (6, "n"))
    scale = g.input("scale", (1,))
    y = g.add(g.gemm(a, 8), g.gemm(g.transpose(b, 1, 0), 8))
    return g.model(g.mul(g.gemm(g.relu(y), 3), scale))


def signature(model: onnx.ModelProto) -> Signature:
    return signature_of(spa_onnx.analyze(model).propagation)


def read(source: Any, model: onnx.ModelProto, **options: Any) -> CalibrationInputs:
    return read_calibration(source, spa_onnx.analyze(model).propagation, **options)


def pictures(count: int, *shape: int) -> Array:
    return np.random.default_rng(0).standard_normal((count, *(shape or (3, 8, 8))), np.float32)


def joined(batches: Batches, name: str = "image") -> Array:
    """Return the items of all batches; reading twice must give the same."""
    once = [feeds[name].copy() for feeds in batches]
    for before, feeds in zip(once, batches, strict=True):
        np.testing.assert_array_equal(before, feeds[name])
    return np.concatenate(once)


def lengths(batches: Batches, name: str = "image") -> list[int]:
    return [len(feeds[name]) for feeds in batches]


def one_by_one(array: Array) -> Iterator[Array]:
    yield from array
