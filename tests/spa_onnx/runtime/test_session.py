from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from spa_onnx.runtime.library import CUDA_VARIABLE, CudaKernelsMissingError
from spa_onnx.runtime.packed_kinds import HALVES, ValueType
from spa_onnx.runtime.packing import pack_tiles
from spa_onnx.runtime.session import CUDA_ENTRY, CudaModelError, add_operators, session
from tests.runtime_kernels.cuda_library import cuda_library, needs_emulator
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.runtime_kernels.op_models import (
    linear_node,
    quiet_options,
    random_input,
    random_weight,
)


@needs_kernels
def test_a_model_is_opened_from_a_path_and_from_bytes(tmp_path: Path) -> None:
    weight, x = random_weight(7, 20), random_input(4, 20)
    model = linear_node(weight, x_shape=("batch", 20)).model()
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    for source in (path, str(path), model.SerializeToString()):
        opened: Any = session(source)
        (y,) = opened.run(None, {"x": x})
        np.testing.assert_allclose(y, x @ weight.T, rtol=1e-4, atol=1e-5)


@needs_kernels
def test_options_reach_onnxruntime() -> None:
    model = linear_node(random_weight(7, 20), x_shape=("batch", 20)).model()
    opened: Any = session(model.SerializeToString(), sess_options=quiet_options(threads=2))
    assert opened.get_session_options().intra_op_num_threads == 2
    assert opened.get_providers() == ["CPUExecutionProvider"]


@needs_kernels
def test_options_serve_one_session_only() -> None:
    model = linear_node(random_weight(7, 20)).model().SerializeToString()
    options = quiet_options()
    session(model, sess_options=options)
    with pytest.raises(Exception, match="Domain already set"):
        session(model, sess_options=options)


def for_cuda(kind: ValueType = ValueType.FLOAT16) -> bytes:
    """Return a model of a layer of 16 bits, which only the CUDA provider has kernels for."""
    dtype = kind.dtype
    packed = pack_tiles(random_weight(16, 32), 16, 16, dtype)
    element = helper.np_dtype_to_tensor_dtype(dtype)
    graph = helper.make_graph(
        [helper.make_node("SparseLinear", ["x", "w"], ["y"], domain="ai.spa", out_features=16)],
        "layer",
        [helper.make_tensor_value_info("x", element, [2, 32])],
        [helper.make_tensor_value_info("y", element, [2, 16])],
        [helper.make_tensor("w", TensorProto.UINT8, [len(packed)], packed, raw=True)],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.spa", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    return model.SerializeToString()


@needs_kernels
@pytest.mark.parametrize("kind", HALVES)
def test_a_model_for_cuda_in_a_session_without_it_is_told(
    kind: ValueType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CUDA_VARIABLE, raising=False)
    with pytest.raises(
        CudaModelError,
        match=r"was lowered for CUDA, .* its providers are CPUExecutionProvider, .* "
        r"onnxruntime-gpu .* --target cpu",
    ):
        session(for_cuda(kind), sess_options=quiet_options())


@needs_kernels
def test_a_model_for_cuda_without_kernels_for_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("Could not find an implementation for SparseLinear(1) node")

    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    failing = SimpleNamespace(
        SessionOptions=quiet_options,
        InferenceSession=fails,
        get_available_providers=lambda: providers,
    )
    monkeypatch.delenv(CUDA_VARIABLE, raising=False)
    monkeypatch.setattr("spa_onnx.runtime.session.import_module", lambda _: failing)
    monkeypatch.setattr("spa_onnx.runtime.session.add_operators", lambda _: None)
    monkeypatch.setenv("SPA_ONNX_KERNELS", str(tmp_path / "libspa_onnx_kernels.so"))
    chosen = [("CUDAExecutionProvider", {"device_id": 0}), "CPUExecutionProvider"]
    with pytest.raises(CudaKernelsMissingError, match="no CUDA compiler"):
        session(b"", providers=chosen)
    (tmp_path / "libspa_onnx_cuda.so").touch()
    with pytest.raises(RuntimeError, match="Could not find an implementation"):
        session(b"", providers=chosen)


@needs_kernels
def test_other_failures_are_the_runtimes_own() -> None:
    with pytest.raises(Exception, match=r"INVALID_PROTOBUF|Failed to load|Unable to parse"):
        session(b"no model", sess_options=quiet_options())


@needs_kernels
def test_a_wrong_name_of_a_cuda_library_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CUDA_VARIABLE, str(tmp_path / "gone.so"))
    with pytest.raises(CudaKernelsMissingError, match=rf"gone\.so.*{CUDA_VARIABLE}"):
        session(for_cuda(), sess_options=quiet_options())


@needs_kernels
@needs_emulator
@pytest.mark.parametrize("named", ["argument", "environment"])
def test_another_cuda_library_can_be_named(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cuda_library().path
    monkeypatch.delenv(CUDA_VARIABLE, raising=False)
    if named == "environment":
        monkeypatch.setenv(CUDA_VARIABLE, str(path))
    settings = quiet_options()
    add_operators(settings, cuda_library=path if named == "argument" else None)
    assert settings.get_session_config_entry(CUDA_ENTRY) == str(path)
    opened: Any = onnxruntime.InferenceSession(for_cuda(), settings)
    (y,) = opened.run(None, {"x": np.ones((2, 32), np.float16)})
    assert y.dtype == np.float16


def test_importing_the_module_does_not_import_onnxruntime() -> None:
    code = "import sys, spa_onnx.runtime.session; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
