from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from ml_dtypes import bfloat16

from spa_onnx.errors import GraphError
from spa_onnx.execute.runtime import open_session
from spa_onnx.load.model import load
from spa_onnx.lower.cuda.widen import widened
from spa_onnx.lower.find import find_layers
from spa_onnx.lower.packings import Packing
from spa_onnx.lower.rewrite import Lowering, lower_layers
from spa_onnx.lower.undo import is_lowered, raise_layers, target_of
from spa_onnx.lower.view import View
from spa_onnx.normalise.graph import normalise
from spa_onnx.runtime.packed_kinds import Kind
from spa_onnx.runtime.packing import pack_blocks
from tests.spa_onnx.lower.models import MODELS, SPELLINGS, Array, built, feeds_of, linear, zeroed
from tests.spa_onnx.lower.test_rewrite import lowered, undone, whole


def broken(op: str, packed: bytes, **attributes: Any) -> onnx.ModelProto:
    """Return a model of one lowered node."""
    node = onnx.helper.make_node(op, ["x", "w"], ["y"], "layer", domain="ai.spa", **attributes)
    rank = 2 if op == "SparseLinear" else 4
    graph = onnx.helper.make_graph(
        [node], "g",
        [onnx.helper.make_tensor_value_info("x", 1, [None] * rank)],
        [onnx.helper.make_tensor_value_info("y", 1, [None] * rank)],
        [onnx.numpy_helper.from_array(np.frombuffer(packed, np.uint8), "w")],
    )  # fmt: skip
    imports = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.spa", 1)]
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)


def weight(rows: int = 4, columns: int = 18) -> Array:
    return zeroed(np.ones((rows, columns)))


@pytest.mark.parametrize(
    ("op", "packed", "attributes", "text"),
    [
        ("SparseLinear", b"nothing", {"out_features": 4}, "7 bytes are too few"),
        ("SparseLinear", pack_blocks(weight(), 4)[:-1], {"out_features": 4}, "total size is"),
        ("SparseLinear", pack_blocks(weight(), 4), {"out_features": 5}, "(4, 18) does not fit [5]"),
        (
            "SparseConv", pack_blocks(weight(), 4),
            {"out_channels": 4, "kernel_shape": [2, 2]}, "(4, 18) does not fit [4, 2, 2]",
        ),
        (
            "SparseConv", pack_blocks(np.ones((4, 18), np.float32), 4),
            {"out_channels": 4, "kernel_shape": [3, 3], "group": 2}, "values outside its groups",
        ),
        (
            "SparseConv", pack_blocks(weight(), 4),
            {"out_channels": 4, "kernel_shape": [0, 3]}, "does not fit [4, 0, 3]",
        ),
        ("SparseSort", b"nothing", {}, "is no operator that this version lowers to"),
    ],
)  # fmt: skip
def test_broken_nodes_are_told(
    op: str, packed: bytes, attributes: dict[str, Any], text: str
) -> None:
    with pytest.raises(GraphError) as failure:
        raise_layers(normalise(load(broken(op, packed, **attributes))))
    assert text in str(failure.value)
    assert "layer" in str(failure.value)


def test_a_weight_that_is_no_initializer_is_told() -> None:
    model = lowered(built(MODELS["gemm"]))
    name = model.graph.node[0].input[1]
    model.graph.node[0].input[1] = "x"
    assert name != "x"
    with pytest.raises(GraphError, match="is not stored in the model"):
        raise_layers(normalise(load(model)))


HALF = {"float16": (np.float16, 17), "bfloat16": (bfloat16, 22)}
OF_CUDA = ["1x1", "1x1 with stride", "two branches", "perceptron", "gemm", "shared weight"]


def lowered_for_cuda(model: onnx.ModelProto, kind: Kind) -> onnx.ModelProto:
    """Return a model with all its layers lowered for CUDA in one kind of packing."""
    loaded = load(model)
    view = View.of(normalise(loaded))
    sides = (16, 32) if kind is Kind.TILES else (1, 1)
    way = Packing(kind, sides[0], block_columns=sides[1])
    made = [Lowering(layer, way) for layer in find_layers(view, "cuda").layers]
    return whole(lower_layers(view, made), loaded)


def thinned(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave the first two of every four inputs and outputs of weights."""
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.ndim < 2:
            continue
        kept = np.ones((), bool)
        for axis in range(2):  # weights of products are stored either way round
            shape = [-1 if k == axis else 1 for k in range(array.ndim)]
            kept = kept & (np.arange(array.shape[axis]) % 4 < 2).reshape(shape)
        zeroed_array = np.where(kept, array, np.zeros((), array.dtype))
        tensor.CopyFrom(onnx.numpy_helper.from_array(zeroed_array, tensor.name))
    return model


@pytest.mark.parametrize("kind", [Kind.BITMASK, Kind.TILES, Kind.TWO_OF_FOUR])
@pytest.mark.parametrize("half", HALF)
@pytest.mark.parametrize("name", OF_CUDA)
def test_weights_of_16_bits_come_back_as_they_were(name: str, half: str, kind: Kind) -> None:
    dtype, opset = HALF[half]
    model = thinned(built(MODELS[name], opset, dtype))
    back = undone(lowered_for_cuda(model, kind))
    onnx.checker.check_model(back, full_check=True)
    assert not is_lowered(back)
    feeds: Any = {n: a.astype(np.float32) for n, a in feeds_of(model).items()}
    for a, b in zip(*(wide_outputs(m, feeds) for m in (back, model)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-2 * np.abs(b).max())
    if name != "gemm":  # whose factor is folded into its weight
        assert weights_of(back) == weights_of(model)


def weights_of(model: onnx.ModelProto) -> list[list[float]]:
    """Return the numbers of a model's weights, whichever way round they are stored."""
    stored = map(onnx.numpy_helper.to_array, model.graph.initializer)
    return sorted(sorted(map(float, w.reshape(-1))) for w in stored if w.ndim > 1)


def wide_outputs(model: onnx.ModelProto, feeds: Any) -> list[Array]:
    """Return what a model computes in float32."""
    graph = normalise(widened(load(model)))
    found: Any = open_session(graph.model, graph.weights, graph.outputs).run(graph.outputs, feeds)
    return list(found)


@pytest.mark.parametrize("half", HALF)
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("newest", [False, True])
def test_activations_of_16_bits_are_spelled_in_their_type(
    spelling: str, half: str, newest: bool
) -> None:
    dtype, _ = HALF[half]
    _, spelled = SPELLINGS[spelling]
    opset = 22 if newest or (half == "bfloat16" and spelling.startswith("hard")) else 17
    model = built(lambda g: spelled(g, linear(g, g.input("x", (2, 8)), 6)), opset, dtype)
    lowered_model = lowered_for_cuda(model, Kind.BITMASK)
    assert [node.op_type for node in lowered_model.graph.node] == ["SparseLinear"]
    del lowered_model.opset_import[:]
    lowered_model.opset_import.extend(
        [
            onnx.helper.make_opsetid("", opset if newest else 17),
            onnx.helper.make_opsetid("ai.spa", 1),
        ]
    )
    back = undone(lowered_model)
    onnx.checker.check_model(back, full_check=True)
    feeds: Any = {n: a.astype(np.float32) for n, a in feeds_of(model).items()}
    (a,), (b,) = (wide_outputs(m, feeds) for m in (back, model))
    np.testing.assert_allclose(a, b, rtol=0, atol=2.0**-8 * np.abs(b).max())


def test_models_for_cuda_are_told_from_others() -> None:
    half = lowered_for_cuda(built(MODELS["gemm"], dtype=np.float16), Kind.BITMASK)
    assert target_of(normalise(load(half))) == "cuda"
    assert target_of(normalise(load(lowered(built(MODELS["gemm"]))))) == "cpu"
