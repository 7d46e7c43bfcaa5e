"""The dense product that kernels are compared with, by a cuBLASLt that computes on the CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spa_onnx.runtime.cuda import CudaError, Half, Runner, dtype_of
from tests.runtime_kernels.cuda.fakes import Fake, compiled, needs_compiler
from tests.runtime_kernels.cuda_library import cuda_library, emulated_bytes, needs_emulator

VARIABLE = "SPA_ONNX_CUBLASLT"
ROWS, COLUMNS, TOKENS = 5, 24, 3

NOT_SUPPORTED = 15

pytestmark = [needs_emulator, needs_compiler]


class Last(ctypes.Structure):
    """The product that was begun last: addresses, then sizes."""

    _fields_ = (
        ("a", ctypes.c_void_p),
        ("b", ctypes.c_void_p),
        ("d", ctypes.c_void_p),
        ("rows", ctypes.c_uint64),
        ("columns", ctypes.c_uint64),
        ("inner", ctypes.c_uint64),
        ("workspace", ctypes.c_uint64),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Fake:
    return Fake(compiled("fake_cublaslt.cc", tmp_path_factory.mktemp("cublaslt")))


@pytest.fixture
def fake(library: Fake, monkeypatch: pytest.MonkeyPatch) -> Generator[Fake]:
    monkeypatch.setenv(VARIABLE, str(library.path))
    library.native.FakeReset(3, 1)
    before = emulated_bytes()
    yield library
    assert library.alive == 0
    assert emulated_bytes() == before


def prepared(dtype: Half = "float16", copies: int = 1) -> Runner:
    return cuda_library().prepare_dense(ROWS, COLUMNS, TOKENS, dtype, copies)


def last(fake: Fake) -> Last:
    found = Last()
    fake.native.FakeLast(ctypes.byref(found))
    return found


def matrix(address: int, dtype: Half, *shape: int) -> npt.NDArray[np.float64]:
    """Return a matrix that lies row after row."""
    size = dtype_of(dtype).itemsize * int(np.prod(shape))
    raw: Any = np.frombuffer(ctypes.string_at(address, size), dtype_of(dtype))
    numbers: npt.NDArray[np.float64] = raw.astype(np.float64).reshape(shape)
    return numbers


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_product_is_of_inputs_and_transposed_weight(fake: Fake, dtype: Half) -> None:
    with prepared(dtype) as runner:
        assert runner.time(1) > 0
        found = last(fake)
        assert (found.rows, found.columns, found.inner) == (ROWS, TOKENS, COLUMNS)
        w = matrix(found.a, dtype, ROWS, COLUMNS)
        x = matrix(found.b, dtype, TOKENS, COLUMNS)
        y = matrix(found.d, dtype, TOKENS, ROWS)
    # A sum in float and a rounding to 8 or 11 bits.
    bound = (2.0**-11 if dtype == "float16" else 2.0**-8) + COLUMNS * 2.0**-23
    assert (np.abs(y - x @ w.T) <= bound * (np.abs(x) @ np.abs(w).T)).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_numbers_are_spread_over_minus_one_to_one(fake: Fake, dtype: Half) -> None:
    rows, columns = 600, 1000  # more than one run of different ones
    with cuda_library().prepare_dense(rows, columns, 1, dtype) as runner:
        runner.time(1)
        w = matrix(last(fake).a, dtype, rows, columns)
    assert np.abs(w).max() < 1
    assert np.isfinite(w).all()
    counts, _ = np.histogram(w, bins=8, range=(-1, 1))
    assert counts == pytest.approx(w.size / 8, rel=0.02)
    assert len(np.unique(w[:, :8], axis=0)) == rows


def test_the_workspace_is_of_32_mebibytes(fake: Fake) -> None:
    with prepared() as runner:
        runner.time(1)
    assert last(fake).workspace == 32 << 20


@pytest.mark.parametrize("fastest", [0, 1, 4])
def test_the_fastest_algorithm_is_kept(fake: Fake, fastest: int) -> None:
    fake.native.FakeReset(5, fastest)
    with prepared() as runner:
        tried = [fake.native.FakeDone(k) for k in range(5)]
        runner.time(7)
        done = [fake.native.FakeDone(k) for k in range(5)]
    assert min(tried) > 1
    # once in front of what is timed
    assert [after - before for before, after in zip(tried, done, strict=True)] == [
        1 + 7 if k == fastest else 0 for k in range(5)
    ]


def test_more_than_eight_algorithms_are_not_asked_for(fake: Fake) -> None:
    fake.native.FakeReset(12, 0)
    with prepared():
        assert [fake.native.FakeDone(k) > 0 for k in range(12)] == [True] * 8 + [False] * 4


@pytest.mark.parametrize("what", ["first proposal", "first algorithm"])
def test_an_algorithm_that_fails_is_passed_over(fake: Fake, what: str) -> None:
    fake.refuse(what, NOT_SUPPORTED)
    with prepared() as runner:
        runner.time(4)
        assert fake.native.FakeDone(0) == 0
        assert last(fake).d


def test_copies_are_multiplied_in_turn(fake: Fake) -> None:
    with prepared(copies=3) as runner:
        outputs: list[int] = []
        for runs in (1, 2, 3, 4):
            runner.time(runs)
            outputs.append(last(fake).d)
    assert len(set(outputs)) == 3
    assert outputs[3] == outputs[0]


FUNCTIONS = (
    "cublasLtCreate",
    "cublasLtMatmulDescCreate",
    "cublasLtMatmulDescSetAttribute",
    "cublasLtMatrixLayoutCreate",
    "cublasLtMatmulPreferenceCreate",
    "cublasLtMatmulPreferenceSetAttribute",
    "cublasLtMatmulAlgoGetHeuristic",
)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_the_library_refuses_is_an_error_with_its_status(fake: Fake, function: str) -> None:
    fake.refuse(function, NOT_SUPPORTED)
    with pytest.raises(CudaError, match=r"^cuBLASLt: .*: CUBLAS_STATUS_NOT_SUPPORTED$"):
        prepared()


def test_a_product_that_no_algorithm_does_is_an_error(fake: Fake) -> None:
    for what in ("first algorithm", "cublasLtMatmul"):
        fake.refuse(what, NOT_SUPPORTED)
    with pytest.raises(CudaError, match="multiplying: CUBLAS_STATUS_NOT_SUPPORTED"):
        prepared()


def test_a_product_without_algorithms_is_an_error(fake: Fake) -> None:
    fake.native.FakeReset(0, 0)
    with pytest.raises(CudaError, match="cuBLASLt: it has no algorithm for this product"):
        prepared()


def test_a_failure_while_it_is_timed_is_an_error(fake: Fake) -> None:
    with prepared() as runner:
        for what in ("first algorithm", "cublasLtMatmul"):
            fake.refuse(what, NOT_SUPPORTED)
        with pytest.raises(CudaError, match="multiplying: CUBLAS_STATUS_NOT_SUPPORTED"):
            runner.time(2)


def test_a_matrix_that_cannot_be_counted_is_refused(fake: Fake) -> None:
    with pytest.raises(CudaError, match=r"W would have .* elements, too many"):
        cuda_library().prepare_dense(2**40, 2**40, 1, "float16")
    assert fake.alive == 0


def test_a_matrix_beyond_the_memory_is_an_error(fake: Fake) -> None:
    with pytest.raises(CudaError, match="out of memory"):
        cuda_library().prepare_dense(2**15, 2**15, 1, "float16")
    assert fake.alive == 0


def test_without_the_library_its_names_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    missing = (
        r"cuBLASLt cannot be loaded \(libcublasLt.so.13, libcublasLt.so.12, libcublasLt.so\): "
        "install it, or name its file in SPA_ONNX_CUBLASLT"
    )
    with pytest.raises(CudaError, match=f"{missing}|cuBLASLt needs a GPU"):
        prepared()


def test_a_library_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/no/such/library.so")
    with pytest.raises(CudaError, match=r"from where SPA_ONNX_CUBLASLT says it is: /no/such"):
        prepared()


def test_another_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(cuda_library().path))
    with pytest.raises(CudaError, match=r"of a version that cannot be used: .*cublasLtCreate"):
        prepared()
