"""The doctor looks at a GPU where there is one; the emulator is one to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spa_onnx.doctor import gpu
from spa_onnx.doctor.gpu import GROUP, gpu_checks, gpu_facts, outputs
from spa_onnx.runtime.cuda import CudaLayer
from tests.runtime_kernels.cuda_library import needs_cuda_library


def test_an_install_without_nvcc_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SPA_ONNX_CUDA_KERNELS", raising=False)
    monkeypatch.setenv("SPA_ONNX_KERNELS", str(tmp_path / "libspa_onnx_kernels.so"))
    assert gpu_facts() == {"library for CUDA": "not built: the install found no nvcc"}
    assert list(gpu_checks()) == []


def test_a_library_that_is_asked_for_and_missing_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPA_ONNX_CUDA_KERNELS", str(tmp_path / "gone.so"))
    assert "gone.so does not exist" in gpu_facts()["library for CUDA"]


def test_a_library_that_does_not_load_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    monkeypatch.setenv("SPA_ONNX_CUDA_KERNELS", str(broken))
    assert "cannot be used" in gpu_facts()["library for CUDA"]
    assert list(gpu_checks()) == []


@needs_cuda_library
@pytest.mark.slow
def test_every_kernel_is_tried_and_right() -> None:
    checks = list(gpu_checks())
    assert [check for check in checks if not check.passed] == []
    assert {check.group for check in checks} == {GROUP}
    tried = {check.name.split(":")[0] for check in checks}
    assert {"gemm_tiles64_x128", "gemm_two_of_four_x256", "gemv_tiles_x8", "gemv_masks_x1"} <= tried


@needs_cuda_library
def test_a_wrong_result_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(layer: CudaLayer, weight: gpu.Float32Array) -> object:
        expected, bound = outputs(layer, weight)
        return expected + 3 * bound, bound

    monkeypatch.setattr(gpu, "outputs", wrong)
    first = next(gpu_checks())
    assert not first.passed
    assert "of what rounding explains" in first.found


@needs_cuda_library
def test_the_device_is_told() -> None:
    facts = gpu_facts()
    assert "compute capability" in facts["GPU"]
    assert facts["CUDA provider"]


def test_bounds_are_those_of_a_sum_and_one_rounding() -> None:
    weight, packed = gpu.weight_of("bit mask", "float16")
    x = gpu.numbers("float16", 3, gpu.COLUMNS)
    expected, bound = outputs(CudaLayer(packed, x), weight)
    rounded = np.maximum(x.astype(np.float32) @ weight.T, 0).astype(np.float16)
    assert (np.abs(rounded.astype(np.float64) - expected) <= bound).all()
    assert bound.max() < 0.05
