from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ml_dtypes import bfloat16

from spa_onnx.runtime.cuda import CudaError, CudaLayer, CudaLayerError, CudaLibrary, dtype_of
from spa_onnx.runtime.cuda_abi import CudaLibraryError
from spa_onnx.runtime.packing import pack_bitmask
from tests.runtime_kernels.cuda_library import needs_cuda_library, needs_gpu

ROWS, COLUMNS = 5, 24


def weight() -> npt.NDArray[np.float16]:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((ROWS, COLUMNS)).astype(np.float16)
    return np.where(rng.random(values.shape) < 0.3, values, np.float16(0))


def array(*shape: int, dtype: Any = np.float16) -> npt.NDArray[Any]:
    return np.random.default_rng(1).standard_normal(shape).astype(dtype)


PACKED = pack_bitmask(weight(), np.float16)


def test_shapes_of_results_follow_from_weight_and_input() -> None:
    assert CudaLayer(PACKED, array(2, 3, COLUMNS)).y_shape == (2, 3, ROWS)
    assert CudaLayer(PACKED, array(COLUMNS)).y_shape == (ROWS,)
    planes = CudaLayer(PACKED, array(2, COLUMNS, 7, 4), strides=(2, 3))
    assert planes.y_shape == (2, ROWS, 4, 2)


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "few bytes": ("3 bytes, too few", {"packed": b"SPA"}),
    "float32": ("type float32, not float16 or bfloat16", {"x": array(2, COLUMNS, dtype="f4")}),
    "no axes": ("x has no axes", {"x": array()}),
    "other columns": ("has 23 inputs, the weight 24", {"x": array(2, COLUMNS - 1)}),
    "empty": ("is empty", {"x": array(0, COLUMNS)}),
    "strided": ("x of shape .* is not contiguous", {"x": array(2, 2 * COLUMNS)[:, ::2]}),
    "two axes": ("a convolution needs four", {"strides": (1, 1)}),
    "no stride": (
        "a convolution needs four axes and positive strides",
        {"x": array(1, COLUMNS, 2, 2), "strides": (0, 1)},
    ),
    "bias of another type": (
        "bias is of type bfloat16, x of type float16",
        {"bias": array(ROWS, dtype=bfloat16)},
    ),
    "long bias": (r"bias has shape \(6,\), expected \(5,\)", {"bias": array(6)}),
    "residual": (
        r"residual has shape \(1, 5\), expected \(2, 5\)",
        {"residual": array(1, ROWS)},
    ),
    "large result": (
        r"more than 2\^31 - 1 numbers",
        {"packed": PACKED[:8] + b"\xff\xff\xff\xff" + PACKED[12:]},
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_arrays_that_make_no_layer_are_refused(name: str) -> None:
    text, changed = WRONG[name]
    arrays: dict[str, Any] = {"packed": PACKED, "x": array(2, COLUMNS), **changed}
    with pytest.raises(CudaLayerError, match=text):
        CudaLayer(**arrays)


def test_a_file_that_is_no_library_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.so"
    path.write_text("text")
    with pytest.raises(CudaLibraryError, match=r"other\.so cannot be used as the CUDA library"):
        CudaLibrary.open(path)


@needs_cuda_library
def test_the_device_is_described() -> None:
    device = CudaLibrary.open().device()
    assert device.name
    assert device.shared_memory >= 48 << 10
    with pytest.raises(CudaError):
        CudaLibrary.open(index=99).device()


@needs_cuda_library
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_layer_is_run(dtype: Any) -> None:
    kind = dtype_of(dtype)
    exact = weight().astype(kind)
    x, bias = array(3, COLUMNS, dtype=kind), array(ROWS, dtype=kind)
    packed = pack_bitmask(exact, kind)
    layer = CudaLayer(packed, x, bias, residual=array(3, ROWS, dtype=kind), activation="relu")
    y = CudaLibrary.open().run(layer)
    assert layer.residual is not None
    wide = [a.astype(np.float64) for a in (x, exact.T, bias, layer.residual)]
    expected = np.maximum(wide[0] @ wide[1] + wide[2] + wide[3], 0)
    # one rounding of the result, and sums in float32
    step = 2.0**-11 if dtype == "float16" else 2.0**-8
    magnitude = np.abs(wide[0]) @ np.abs(wide[1]) + np.abs(wide[2]) + np.abs(wide[3])
    error = np.abs(y.astype(np.float64) - expected)
    assert (
        error <= step * np.abs(expected) + (COLUMNS + 3) * 2.0**-24 * magnitude + 2.0**-25
    ).all()
    assert CudaLibrary.open().kernels(layer)


@needs_cuda_library
def test_refusals_of_the_library_are_errors() -> None:
    library = CudaLibrary.open()
    with pytest.raises(CudaError, match="swoosh"):
        library.run(CudaLayer(PACKED, array(1, COLUMNS), activation="swoosh"))
    broken = PACKED[:-100] + bytes([PACKED[-100] ^ 1]) + PACKED[-99:]
    with pytest.raises(CudaError, match="CRC-32"):
        library.run(CudaLayer(broken, array(1, COLUMNS)))
    with pytest.raises(CudaError, match="nothing"):
        library.run(CudaLayer(PACKED, array(1, COLUMNS), kernel="nothing"))


@needs_cuda_library
def test_layers_are_timed_until_they_are_closed() -> None:
    library = CudaLibrary.open()
    with library.prepare(CudaLayer(PACKED, array(1, COLUMNS)), copies=2) as runner:
        assert runner.time(3) >= 0
        with pytest.raises(CudaError, match="0 runs cannot be timed"):
            runner.time(0)
    with pytest.raises(CudaError, match="is closed"):
        runner.time(1)
    with library.prepare_read(1 << 12) as read:
        assert read.time(1) >= 0
    with pytest.raises(CudaError, match="copies is 0"):
        library.prepare(CudaLayer(PACKED, array(1, COLUMNS)), copies=0)


@pytest.mark.parametrize(
    "dtype", [pytest.param(name, marks=needs_gpu) for name in ("float16", "bfloat16")]
)
def test_the_dense_product_is_timed(dtype: Any) -> None:
    with CudaLibrary.open().prepare_dense(64, 64, 2, dtype, copies=2) as dense:
        assert dense.time(3) > 0
