from pathlib import Path

import pytest

from spa_onnx.errors import SpaError
from spa_onnx.runtime import library
from spa_onnx.runtime.library import (
    CudaKernelsMissingError,
    KernelsMissingError,
    cuda_library_path,
    library_path,
)
from spa_onnx.runtime.session import session
from tests.runtime_kernels.kernel_library import needs_kernels


@needs_kernels
def test_the_library_is_a_file() -> None:
    assert library_path().is_file()


def test_the_environment_names_another_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "kernels.so"
    other.touch()
    monkeypatch.setenv("SPA_ONNX_KERNELS", str(other))
    assert library_path() == other


def test_a_wrong_name_in_the_environment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPA_ONNX_KERNELS", str(tmp_path / "gone.so"))
    with pytest.raises(KernelsMissingError, match=r"gone\.so does not exist: .*SPA_ONNX_KERNELS"):
        library_path()


def test_an_install_without_kernels_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPA_ONNX_KERNELS", raising=False)
    monkeypatch.setattr(library, "installed_path", lambda: tmp_path / "absent.so")
    with pytest.raises(SpaError, match=r"absent\.so does not exist: .*C\+\+ compiler.*pip install"):
        session(b"")


def test_the_cuda_library_lies_beside_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPA_ONNX_CUDA_KERNELS", raising=False)
    monkeypatch.setenv("SPA_ONNX_KERNELS", str(tmp_path / "libspa_onnx_kernels.so"))
    with pytest.raises(CudaKernelsMissingError, match=r"spa_onnx_cuda.*no CUDA compiler \(nvcc\)"):
        cuda_library_path()
    beside = tmp_path / "libspa_onnx_cuda.so"
    beside.touch()
    assert cuda_library_path() == beside


def test_the_environment_names_another_cuda_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "emulated.so"
    monkeypatch.setenv("SPA_ONNX_CUDA_KERNELS", str(other))
    with pytest.raises(CudaKernelsMissingError, match=r"emulated\.so.*SPA_ONNX_CUDA_KERNELS"):
        cuda_library_path()
    other.touch()
    assert cuda_library_path() == other
