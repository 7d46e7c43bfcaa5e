from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from spa_onnx.errors import GraphError
from spa_onnx.load.model import load
from spa_onnx.lower.undo import raise_layers
from spa_onnx.normalise.graph import normalise
from spa_onnx.runtime.packing import pack_blocks
from tests.spa_onnx.lower.models import MODELS, Array, built, zeroed
from tests.spa_onnx.lower.test_rewrite import lowered


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
