"""Depthwise convolutions: of every window, beside memory that may not be read."""

from __future__ import annotations

import sys
from typing import Literal

import numpy as np
import pytest

from spa_onnx.runtime.kernels import KernelSet
from tests.runtime_kernels.kernel_library import kernel_params, needs_kernels
from tests.runtime_kernels.layers.direct import (
    Epilogue,
    Float32Array,
    How,
    Sweep,
    run_convolution,
    run_linear,
)
from tests.runtime_kernels.layers.fenced import fenced
from tests.runtime_kernels.layers.oracle import convolution, linear
from tests.runtime_kernels.layers.weights import Packing, random_epilogue, random_input

pytestmark = needs_kernels
each_kernel = pytest.mark.parametrize("kernels", kernel_params())
needs_mprotect = pytest.mark.skipif(sys.platform == "win32", reason="there is no mprotect")

# One to several vectors of 16 in a row or an image, and all their tails.
SIZES = ((1, 1), (2, 3), (3, 2), (4, 7), (7, 7), (8, 5), (5, 15), (14, 14), (6, 16), (9, 17),
         (15, 31), (4, 33), (28, 28), (3, 70))  # fmt: skip
PADS = ((0, 0, 0, 0), (1, 1, 1, 1), (0, 0, 1, 1), (2, 2, 2, 2), (1, 2, 0, 1), (3, 1, 2, 3))


def depthwise(channels: int, multiplier: int, sweep: Sweep, density: float = 1.0) -> Float32Array:
    """Return a weight ``(outputs, channels, kh, kw)`` with zeros outside its groups."""
    outputs = channels * multiplier
    weight = np.zeros((outputs, channels, *sweep.kernel), np.float32)
    drawn = Packing("blocks").random_weight(outputs, int(np.prod(sweep.kernel)), density=density)
    for o in range(outputs):
        weight[o, o // multiplier] = drawn[o].reshape(sweep.kernel)
    return weight


def centred(taps: int, stride: int) -> Sweep:
    """Return a square window that keeps an image's size but for the stride."""
    pad = taps // 2
    return Sweep((taps, taps), (stride, stride), pads=(pad, pad, pad, pad))


def assert_right(
    kernels: KernelSet, weight: Float32Array, x: Float32Array, sweep: Sweep, activation: str
) -> None:
    y_shape = (len(x), len(weight), *sweep.output(*x.shape[2:]))
    if min(y_shape) < 1:
        return
    epilogue = random_epilogue(len(weight), y_shape, activation)
    packed = Packing("blocks").pack(weight.reshape(len(weight), -1))
    y = run_convolution(packed, x, len(weight), sweep, epilogue, How(kernels))
    assert convolution(weight, x, sweep, epilogue).agrees(y), (sweep, x.shape)
    there = run_convolution(packed, x, len(weight), sweep, epilogue, How(kernels, in_place=True))
    np.testing.assert_array_equal(there, y)


@each_kernel
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("taps", [3, 5, 7])
def test_depthwise_windows_over_every_size_are_right(
    kernels: KernelSet, taps: int, stride: int
) -> None:
    for pads in PADS:
        sweep = Sweep((taps, taps), (stride, stride), pads=pads)
        for k, size in enumerate(SIZES):
            weight = depthwise(3, 1 + k % 2, sweep)
            activation = ("none", "relu", "clip", "silu")[k % 4]
            assert_right(kernels, weight, random_input(1 + k % 2, 3, *size), sweep, activation)


@each_kernel
def test_taps_that_are_not_stored_add_nothing_even_to_infinite_inputs(kernels: KernelSet) -> None:
    sweep = Sweep((3, 3), pads=(1, 1, 1, 1))
    weight = depthwise(4, 1, sweep, density=0.5)
    weight[:, :, 1, 1] = 0
    x = random_input(1, 4, 9, 9)
    packed = Packing("blocks").pack(weight.reshape(4, -1))
    expected = run_convolution(packed, x, 4, sweep, Epilogue(), How(kernels))
    x[0, :, 4, 4] = np.inf
    y = run_convolution(packed, x, 4, sweep, Epilogue(), How(kernels))
    assert np.array_equal(y[0, :, 4, 4], expected[0, :, 4, 4])


@needs_mprotect
@each_kernel
@pytest.mark.parametrize("side", ["before", "behind"])
def test_no_input_beside_the_image_is_read(
    kernels: KernelSet, side: Literal["before", "behind"]
) -> None:
    for taps, stride in ((3, 1), (3, 2), (5, 1), (5, 2), (7, 1)):
        sweep = centred(taps, stride)
        for size in ((7, 7), (9, 17), (14, 14), (5, 33)):
            x = fenced(random_input(1, 2, *size), side)
            assert_right(kernels, depthwise(2, 1, sweep), x, sweep, "relu")


@needs_mprotect
@each_kernel
@pytest.mark.parametrize("side", ["before", "behind"])
@pytest.mark.parametrize("rows", [1, 4, 16])
def test_no_input_beside_a_layer_is_read(
    kernels: KernelSet, side: Literal["before", "behind"], rows: int
) -> None:
    packing = Packing("blocks", block_rows=rows, chunk=36)
    for taps, stride in ((1, 1), (3, 1), (3, 2)):
        sweep = centred(taps, stride)
        for size in ((7, 7), (9, 17), (14, 14)):
            x = fenced(random_input(1, 8, *size), side)
            weight = packing.random_weight(20, 8 * taps**2).reshape(20, 8, taps, taps)
            y = run_convolution(
                packing.pack(weight.reshape(20, -1)), x, 20, sweep, Epilogue(), How(kernels)
            )
            assert convolution(weight, x, sweep, Epilogue()).agrees(y)
    for tokens in (1, 3, 16, 37, 130):
        weight = packing.random_weight(20, 75)
        x = fenced(random_input(tokens, 75), side)
        y = run_linear(packing.pack(weight), x, 20, Epilogue(), How(kernels))
        assert linear(weight, x, Epilogue()).agrees(y)
