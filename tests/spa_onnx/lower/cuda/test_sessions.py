from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from ml_dtypes import bfloat16
from onnx import TensorProto, helper

from spa_onnx.errors import LoweredRefusedError, OriginalRefusedError
from spa_onnx.execute.piecewise import value_of
from spa_onnx.lower.cuda.errors import NoProviderError
from spa_onnx.lower.cuda.sessions import Sessions, array_of
from spa_onnx.runtime.library import library_path
from spa_onnx.runtime.packed_kinds import ValueType
from tests.builders import GraphBuilder
from tests.runtime_kernels.cuda_library import cuda_library, needs_emulator
from tests.runtime_kernels.kernel_library import needs_kernels

pytestmark = needs_kernels


def refused(text: str) -> Exception:
    return OriginalRefusedError("it", text)


def emulated() -> Sessions:
    return Sessions.found(library_path(), cuda_library().path, threads=1)


def written(folder: Path, kind: Any = np.float16) -> Path:
    g = GraphBuilder(22, dtype=kind)
    x = g.input("x", ("batch", 3))
    path = folder / "model.onnx"
    path.write_bytes(
        g.model(g.node("Reshape", [x, g.constant(np.array([-1]))])).SerializeToString()
    )
    return path


@pytest.mark.skipif(
    "CUDAExecutionProvider" in ort.get_available_providers(), reason="there is the provider"
)
def test_a_runtime_without_cuda_is_told() -> None:
    with pytest.raises(
        NoProviderError, match=r"no CUDA provider, so .* `pip install onnxruntime-gpu`"
    ):
        Sessions.found(library_path(), None, threads=1)


def test_bfloat16_comes_back_as_an_array() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3).astype(bfloat16)
    found = array_of(value_of(x))
    assert found.dtype == np.dtype(bfloat16)
    np.testing.assert_array_equal(found, x)
    assert array_of(value_of(x[:0])).shape == (0, 3)


@needs_emulator
@pytest.mark.parametrize("kind", [np.float16, bfloat16])
def test_models_get_inputs_of_their_types_and_return_arrays(tmp_path: Path, kind: Any) -> None:
    sessions = emulated()
    session = sessions.open(written(tmp_path, kind), refused)
    feeds = {"x": np.ones((2, 3), np.float32)}
    (y,) = sessions.outputs(session, feeds, refused)
    assert y.dtype == np.dtype(kind)
    np.testing.assert_array_equal(y, np.ones(6, kind))
    run = sessions.run(session, feeds, refused)
    run()
    assert sessions.compute_in(ValueType.FLOAT16)
    assert not sessions.compute_in(ValueType.BFLOAT16)


@needs_emulator
def test_sequences_are_passed_as_they_are(tmp_path: Path) -> None:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT16, None))
    node = helper.make_node("SequenceInsert", ["x", "y"], ["z"])
    entries = [helper.make_value_info("x", kind), helper.make_tensor_value_info("y", 10, [2])]
    graph = helper.make_graph([node], "g", entries, [helper.make_value_info("z", kind)])
    path = tmp_path / "model.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    sessions = emulated()
    session = sessions.open(path, refused)
    feeds: Any = {"x": [np.ones(2, np.float32)], "y": np.zeros(2, np.float32)}
    (z,) = sessions.outputs(session, feeds, refused)
    np.testing.assert_array_equal(z, [1, 1, 0, 0])
    sessions.run(session, feeds, refused)()


@needs_emulator
def test_what_the_runtime_says_is_told(tmp_path: Path) -> None:
    sessions = emulated()
    with pytest.raises(LoweredRefusedError, match="refuses the lowered model"):
        sessions.open(tmp_path / "nothing.onnx", LoweredRefusedError)
    session = sessions.open(written(tmp_path), refused)
    feeds = {"x": np.ones((2, 4), np.float32)}
    with pytest.raises(OriginalRefusedError):
        sessions.outputs(session, feeds, refused)
    with pytest.raises(OriginalRefusedError):
        sessions.run(session, feeds, refused)()
