"""How long sparse layers take on a GPU beside dense ones: measured there."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from spa_onnx.bench.kernels.cuda.gpu import Gpu
from spa_onnx.bench.kernels.cuda.measure import race, with_fastest_kernel
from spa_onnx.bench.kernels.cuda.weights import drawn_input, drawn_weight
from spa_onnx.errors import SpaError
from spa_onnx.layers.convolution import Convolution
from spa_onnx.layers.layer import Layer
from spa_onnx.lower.cuda.ways import FEW_TOKENS
from spa_onnx.runtime.cuda import CudaDevice, CudaError, CudaLayer, CudaLibrary
from spa_onnx.runtime.cuda_abi import CudaLibraryError
from spa_onnx.runtime.library import CudaKernelsMissingError
from spa_onnx.sparse.gpu_speed_table import GpuSpeedTable, Product, gpu_table
from spa_onnx.sparse.pattern import Pattern
from spa_onnx.sparse.speed import between

SPARSITIES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
"""At which patterns are measured that do not say it themselves."""

ROUNDS = 5
SMALLEST = 16
"""Rows, columns and tokens of a product that tells whether cuBLASLt is there."""


class NoSpeedError(SpaError):
    """Patterns are to be chosen by their speed on a GPU, and there is none."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            "pattern auto for target cuda measures layers on a GPU, and none can be measured here: "
            f"{problem.strip()}. Run it on a machine with an NVIDIA GPU and the CUDA toolkit's "
            "libraries, or name a pattern"
        )


@contextmanager
def open_table() -> Generator[GpuSpeedTable]:
    """Yield the table of the GPU here, which measures what it does not know; it is saved then.

    Raises:
        NoSpeedError: there is no GPU, no library for it, or nothing dense to compare with.
    """
    try:
        library = CudaLibrary.open()
        device = library.device()
        if device.emulated:
            raise NoSpeedError("the device is emulated, and its times mean nothing")
        library.prepare_dense(SMALLEST, SMALLEST, SMALLEST, "float16").close()
    except (CudaKernelsMissingError, CudaLibraryError, CudaError) as missing:
        raise NoSpeedError(str(missing)) from missing
    table = gpu_table(library, device, lambda *what: measured(library, device, *what))
    try:
        yield table
    finally:
        table.save()


def measured(
    gpu: Gpu, device: CudaDevice, product: Product, pattern: Pattern, sparsity: float
) -> float:
    """Return the time of a layer of float16 as a share of the dense one's, the median of rounds.

    A convolution is one of an image that is one line.
    """
    weight = drawn_weight(product.outputs, product.inputs, pattern, sparsity, "float16")
    if product.is_convolution:
        x = drawn_input((1, product.inputs, 1, product.places), "float16")
        layer = CudaLayer(weight.packed, x, strides=(1, 1))
    else:
        layer = CudaLayer(weight.packed, drawn_input((product.places, product.inputs), "float16"))
    timed = with_fastest_kernel(gpu, device, layer)
    return float(1 / np.median(race(gpu, device, timed, ROUNDS).ratios))


def product_of(layer: Layer, places: int) -> Product | None:
    """Return what a GPU multiplies for a layer; None where no kernel does.

    Args:
        layer: a layer.
        places: tokens or pixels of all inputs of a run.
    """
    positions = layer.positions()
    if len(positions) != 1:
        return None
    is_convolution = isinstance(layer, Convolution)
    if isinstance(layer, Convolution):
        window = layer.window
        is_plain = not any(window.pads) and all(n == 1 for n in window.dilations)
        if tuple(window.kernel) != (1, 1) or not is_plain:
            return None
    return Product(layer.width, positions.shape[1], places, is_convolution)


@dataclass(frozen=True, slots=True)
class GpuSpeed:
    """Times from a table, in between by straight lines.

    Attributes:
        places: tokens or pixels of all inputs of a run, by output of the layer.
        table: of the GPU.
    """

    places: Mapping[str, int]
    table: GpuSpeedTable

    def __call__(self, layer: Layer, pattern: Pattern, sparsity: float) -> float | None:
        """Return the time as a share of the dense one."""
        product = product_of(layer, self.places.get(layer.node.outputs[0], 1))
        if product is None:
            return None
        is_masked = pattern == Pattern()
        if is_masked and (product.is_convolution or product.places > FEW_TOKENS):
            return None
        if pattern.sparsity is not None:
            return self.table.time(product, pattern, pattern.sparsity)
        times = [self.table.time(product, pattern, known) for known in SPARSITIES]
        return between(SPARSITIES, times, sparsity)
