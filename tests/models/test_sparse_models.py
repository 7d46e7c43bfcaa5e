"""The script puts zeros into the layers that it names, and into no others."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from spa_onnx.sparse.pattern import parse_pattern

pytest.importorskip("torch", reason="the decoder's step is exported from it")
MODELS = Path(__file__).parents[2] / "models"
SHAPES = {
    "stem": (8, 3, 3, 3), "pointwise": (16, 8, 1, 1), "depthwise": (16, 1, 3, 3),
    "hidden": (16, 32), "classifier": (12, 32),
}  # fmt: skip


def write_dense(path: Path, *, outside: bool) -> None:
    """Write a small network with one layer of each kind."""
    random = np.random.default_rng(0)
    stored = [
        numpy_helper.from_array(random.standard_normal(shape, np.float32), name)
        for name, shape in SHAPES.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "stem"], ["a"]),
        helper.make_node("Conv", ["a", "pointwise"], ["b"]),
        helper.make_node("Conv", ["b", "depthwise"], ["c"], group=16),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("MatMul", ["e", "hidden"], ["f"]),
        helper.make_node("Gemm", ["f", "classifier"], ["y"], transB=1),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(
        model,
        path,
        save_as_external_data=outside,
        location=f"{path.name}.data",
        size_threshold=0,
    )


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("head", [False, True])
def test_zeros_lie_in_blocks_of_the_sparse_layers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, outside: bool, head: bool
) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    script: Any = importlib.import_module("sparse_models")
    dense = tmp_path / "small.onnx"
    write_dense(dense, outside=outside)
    script.write_all(dense, parse_pattern("4x1"), [0.5], head=head)
    sparse = tmp_path / f"small.4x1-50{'-head' * head}.onnx"
    before, after = (
        {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
        for path in (dense, sparse)
    )
    for name, shape in SHAPES.items():
        if name in ("stem", "depthwise") or (name == "classifier" and not head):
            np.testing.assert_array_equal(after[name], before[name])
            continue
        rows = after[name].T if name == "hidden" else after[name].reshape(shape[0], -1)
        stays = (rows != 0).reshape(len(rows) // 4, 4, -1)
        assert (stays.all(axis=1) == stays.any(axis=1)).all()
        assert stays.mean() == 0.5
        np.testing.assert_array_equal(after[name], np.where(after[name], before[name], 0))
