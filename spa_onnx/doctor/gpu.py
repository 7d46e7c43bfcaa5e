"""The GPU, if there is one: what it is, and whether its kernels compute what numpy does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spa_onnx.doctor.check import REINSTALL, Check
from spa_onnx.runtime.cuda import CudaError, CudaLayer, CudaLibrary, Half, dtype_of
from spa_onnx.runtime.cuda_abi import CudaLibraryError
from spa_onnx.runtime.library import CUDA_VARIABLE, CudaKernelsMissingError
from spa_onnx.runtime.packing import pack_bitmask, pack_tiles, pack_two_of_four

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

GROUP = "kernels for CUDA"
ROWS, COLUMNS = 147, 200
TOKENS = (1, 90)
"""One token, as in decoding, and a number that fills no tile."""

IMAGE = (2, 7, 9)
SUM_ROUNDING = 2.0**-24
"""Of float32, in which products are added up."""

TYPES: tuple[Half, ...] = ("float16", "bfloat16")
BITS = {"float16": 11, "bfloat16": 8}
"""Of a number's fraction, the leading one counted."""


def gpu_facts() -> dict[str, str]:
    """Return what there is for GPUs: the library, a device, the provider of ONNX Runtime."""
    try:
        library = CudaLibrary.open()
    except CudaKernelsMissingError as missing:
        asked = os.environ.get(CUDA_VARIABLE)
        text = missing.problem if asked else "not built: the install found no nvcc"
        return {"library for CUDA": text}
    except CudaLibraryError as failure:
        return {"library for CUDA": str(failure)}
    facts = {"library for CUDA": f"{library.path} ({library.version})"}
    try:
        device = library.device()
    except CudaError as failure:
        return facts | {"GPU": f"none ({failure})"}
    capability = f"compute capability {device.major}.{device.minor}"
    facts["GPU"] = f"{device.name}, {capability}, {device.memory / 2**30:.0f} GiB"
    facts["CUDA provider"] = (
        "yes" if _has_provider() else "no: have onnxruntime-gpu in place of onnxruntime"
    )
    return facts


def _has_provider() -> bool:
    try:
        import onnxruntime
    except ImportError:
        return False
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def gpu_checks() -> Iterator[Check]:
    """Run every kernel on layers of odd sizes; nothing where there is no device."""
    try:
        library = CudaLibrary.open()
        library.device()
    except (CudaKernelsMissingError, CudaLibraryError, CudaError):
        return
    for half in TYPES:
        for form in ("tiles 16x16", "tiles 32x64", "tiles 64x32", "2:4", "bit mask"):
            weight, packed = weight_of(form, half)
            for tokens in TOKENS:
                x = numbers(half, tokens, COLUMNS)
                yield from _tries(library, f"{form}, {tokens} x {half}", weight, packed, x)
            if form != "bit mask":
                image = numbers(half, IMAGE[0], COLUMNS, *IMAGE[1:])
                yield from _tries(library, f"{form}, image, {half}", weight, packed, image)


def _tries(
    library: CudaLibrary, name: str, weight: Float32Array, packed: bytes, x: npt.NDArray[np.generic]
) -> Iterator[Check]:
    """Yield a check of each kernel that can do a layer."""
    bias = numbers("float16", ROWS).astype(x.dtype)
    strides = (1, 2) if x.ndim == 4 else None
    layer = CudaLayer(packed, x, bias, activation="relu", strides=strides)
    expected, bound = outputs(layer, weight)
    try:
        kernels = library.kernels(layer)
    except CudaError as failure:
        yield Check(name, False, str(failure), REINSTALL, GROUP)
        return
    for kernel in kernels:
        try:
            y = library.run(replace(layer, kernel=kernel)).astype(np.float64)
        except CudaError as failure:
            yield Check(f"{kernel}: {name}", False, str(failure), REINSTALL, GROUP)
            continue
        off = np.abs(y - expected) / bound
        error = float("inf") if np.isnan(off).any() else float(off.max())
        found = f"differs from numpy by {error:.2g} of what rounding explains"
        remedy = "" if error <= 1 else REINSTALL
        yield Check(f"{kernel}: {name}", error <= 1, found, remedy, GROUP)


def outputs(layer: CudaLayer, weight: Float32Array) -> tuple[Float64Array, Float64Array]:
    """Return what a layer with ReLU makes, and how far rounding may take each number from it.

    Sums of n products in any order are off by n roundings of the sum of their magnitudes at most;
    then the result is rounded once to the type of the layer.
    """
    x = layer.x.astype(np.float64)
    if layer.strides is not None:
        x = np.moveaxis(x[:, :, :: layer.strides[0], :: layer.strides[1]], 1, -1)
    matrix = weight.astype(np.float64).T
    bias = np.zeros(layer.rows) if layer.bias is None else layer.bias.astype(np.float64)
    exact, magnitude = x @ matrix + bias, np.abs(x) @ np.abs(matrix) + np.abs(bias)
    bits = BITS["float16" if layer.x.dtype == np.float16 else "bfloat16"]
    bound = (layer.columns + 1) * SUM_ROUNDING * magnitude
    bound += 2.0**-bits * (np.abs(exact) + bound) + 2.0**-24
    results = np.maximum(exact, 0), bound
    if layer.strides is not None:
        return np.moveaxis(results[0], -1, 1), np.moveaxis(results[1], -1, 1)
    return results


def numbers(half: Half, *shape: int) -> npt.NDArray[np.generic]:
    """Return normal numbers of a 16-bit type, the same for the same shape."""
    drawn = np.random.default_rng(shape).standard_normal(shape, np.float32)
    return drawn.astype(dtype_of(half))


def weight_of(form: str, half: Half) -> tuple[Float32Array, bytes]:
    """Return a weight whose zeros suit a form, and the same packed."""
    weight = np.random.default_rng(7).standard_normal((ROWS, COLUMNS), np.float32)
    dtype = dtype_of(half)
    weight = weight.astype(dtype).astype(np.float32)
    random = np.random.default_rng(8)
    if form.startswith("tiles"):
        rows, columns = map(int, form.split()[1].split("x"))
        kept = random.random((-(-ROWS // rows), -(-COLUMNS // columns))) < 1 / 3
        kept[0] = False  # a row of blocks without any
        weight *= kept.repeat(rows, 0)[:ROWS].repeat(columns, 1)[:, :COLUMNS]
        return weight, pack_tiles(weight, rows, columns, dtype)
    if form == "2:4":
        order = random.random((ROWS, COLUMNS // 4, 4)).argsort(axis=2)
        weight *= (order < 2).reshape(ROWS, COLUMNS)
        return weight, pack_two_of_four(weight, dtype)
    weight *= random.random(weight.shape) < 1 / 5
    return weight, pack_bitmask(weight, dtype)
