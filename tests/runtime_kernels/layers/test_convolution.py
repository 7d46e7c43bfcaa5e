"""SparseConv's layer in every instruction set, window and size, against float64."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.runtime.kernels import KernelSet
from tests.runtime_kernels.kernel_library import kernel_params, needs_kernels
from tests.runtime_kernels.layers.direct import (
    Epilogue,
    Float32Array,
    How,
    Sweep,
    run_convolution,
)
from tests.runtime_kernels.layers.fenced import fenced
from tests.runtime_kernels.layers.oracle import ACTIVATION_ERROR, convolution
from tests.runtime_kernels.layers.weights import (
    Packing,
    block_packings,
    random_epilogue,
    random_input,
)

pytestmark = needs_kernels
each_kernel = pytest.mark.parametrize("kernels", kernel_params())
each_packing = pytest.mark.parametrize("packing", block_packings(), ids=str)
SOME = (
    Packing("blocks"),
    Packing("blocks", "float16", 2, chunk=7),
    Packing("blocks", block_rows=8),
    Packing("blocks", block_rows=32, chunk=20),
)
some_packings = pytest.mark.parametrize("packing", SOME, ids=str)


def assert_right(
    packing: Packing,
    weight: Float32Array,
    x: Float32Array,
    sweep: Sweep,
    epilogue: Epilogue,
    how: How,
) -> None:
    packed = packing.pack(weight.reshape(len(weight), -1))
    y = run_convolution(packed, x, len(weight), sweep, epilogue, how)
    assert convolution(weight, x, sweep, epilogue).agrees(y)
    if epilogue.residual is not None and how.repeats == 1:
        there = run_convolution(
            packed, x, len(weight), sweep, epilogue, replace(how, in_place=True)
        )
        np.testing.assert_array_equal(there, y)


def random_kernel(
    packing: Packing, out: int, channels: int, sweep: Sweep, **how: float
) -> Float32Array:
    """Return a weight ``(out, channels, kh, kw)``."""
    high, wide = sweep.kernel
    density = how.get("density", 0.4)
    flat = packing.random_weight(out, channels * high * wide, density=density)
    return flat.reshape(out, channels, high, wide)


def check(
    kernels: KernelSet, packing: Packing, sweep: Sweep, x_shape: tuple[int, ...], out: int = 9
) -> None:
    """Run one convolution with bias, residual and ReLU."""
    weight = random_kernel(packing, out, x_shape[1], sweep)
    shape = (x_shape[0], out, *sweep.output(*x_shape[2:]))
    epilogue = random_epilogue(out, shape, "relu")
    assert_right(packing, weight, random_input(*x_shape), sweep, epilogue, How(kernels))


# Vectors hold 4 to 16 positions, tiles up to 128.
POSITIONS = (1, 4, 7, 8, 9, 15, 16, 17, 33, 65, 127, 129, 260)


@each_kernel
@each_packing
def test_pointwise_convolutions_of_every_size_are_right(
    kernels: KernelSet, packing: Packing
) -> None:
    for positions in POSITIONS:
        check(kernels, packing, Sweep((1, 1)), (2, 25, 1, positions), 35)


@each_kernel
@some_packings
@pytest.mark.parametrize("out", [1, 7, 8, 9, 31, 32, 33, 65])
def test_every_number_of_channels_is_right(kernels: KernelSet, packing: Packing, out: int) -> None:
    for channels in (1, 7, 130):
        check(kernels, packing, Sweep((1, 1)), (1, channels, 5, 7), out)
        check(kernels, packing, Sweep((3, 3), pads=(1, 1, 1, 1)), (1, channels, 5, 7), out)


@each_kernel
@some_packings
@pytest.mark.parametrize("side", ["before", "behind"])
def test_strided_pointwise_convolutions_read_nothing_beside_the_input(
    kernels: KernelSet, packing: Packing, side: Literal["before", "behind"]
) -> None:
    for size, strides in product(((7, 7), (15, 16), (1, 9)), ((2, 2), (1, 3))):
        sweep = Sweep((1, 1), strides)
        weight = random_kernel(packing, 33, 6, sweep)
        x = fenced(random_input(1, 6, *size), side)
        y = run_convolution(packing.pack(weight.reshape(33, -1)), x, 33, sweep, how=How(kernels))
        assert convolution(weight, x, sweep, Epilogue()).agrees(y)


@each_kernel
@some_packings
def test_many_images_share_runs_of_tiles(kernels: KernelSet, packing: Packing) -> None:
    for images, positions in ((13, 3), (3, 600), (40, 17)):
        check(kernels, packing, Sweep((1, 1)), (images, 9, positions, 1))


WINDOWS = {
    "3x3": Sweep((3, 3), pads=(1, 1, 1, 1)),
    "3x3 without pads": Sweep((3, 3)),
    "5x5": Sweep((5, 5), pads=(2, 2, 2, 2)),
    "7x7 stride 2": Sweep((7, 7), (2, 2), pads=(3, 3, 3, 3)),
    "1x7": Sweep((1, 7), pads=(0, 3, 0, 3)),
    "7x1": Sweep((7, 1), pads=(3, 0, 3, 0)),
    "2x4": Sweep((2, 4), pads=(0, 1, 1, 2)),
    "1x1 stride 2": Sweep((1, 1), (2, 2)),
    "1x1 strides 3 and 1": Sweep((1, 1), (3, 1)),
    "1x1 with pads": Sweep((1, 1), pads=(1, 2, 0, 1)),
    "1x1 with pads behind": Sweep((1, 1), pads=(0, 0, 2, 1)),
    "3x3 stride 2": Sweep((3, 3), (2, 2), pads=(1, 1, 1, 1)),
    "3x3 strides 1 and 2": Sweep((3, 3), (1, 2), pads=(0, 1, 0, 1)),
    "3x3 strides 4 and 3": Sweep((3, 3), (4, 3), pads=(2, 1, 0, 3)),
    "2x2 stride 4": Sweep((2, 2), (4, 4)),
    "3x3 dilation 2": Sweep((3, 3), dilations=(2, 2), pads=(2, 2, 2, 2)),
    "3x3 dilations 1 and 3, strides 2 and 1": Sweep((3, 3), (2, 1), (1, 3), (1, 3, 1, 3)),
    "3x2 dilations 3 and 2, strides 3 and 2": Sweep((3, 2), (3, 2), (3, 2), (4, 0, 1, 2)),
    "5x5 dilation 3 stride 2": Sweep((5, 5), (2, 2), (3, 3), (6, 6, 6, 6)),
    "pads wider than the window": Sweep((3, 3), pads=(5, 4, 6, 3)),
}


@each_kernel
@some_packings
@pytest.mark.parametrize("sweep", WINDOWS.values(), ids=WINDOWS.keys())
def test_every_window_is_right(kernels: KernelSet, packing: Packing, sweep: Sweep) -> None:
    for shape in ((2, 5, 13, 18), (1, 3, 16, 33), (1, 4, 9, 7)):
        check(kernels, packing, sweep, shape)


@each_kernel
@each_packing
def test_every_block_convolves(kernels: KernelSet, packing: Packing) -> None:
    check(kernels, packing, WINDOWS["3x3"], (2, 6, 14, 14), 70)
    check(kernels, packing, WINDOWS["3x3 stride 2"], (1, 6, 15, 9), 33)


@each_kernel
@some_packings
def test_one_pixel_and_windows_larger_than_the_image_are_right(
    kernels: KernelSet, packing: Packing
) -> None:
    for sweep, size in (
        (Sweep((1, 1)), (1, 1)),
        (Sweep((3, 3), pads=(1, 1, 1, 1)), (1, 1)),
        (Sweep((5, 5), pads=(2, 2, 2, 2)), (2, 1)),
        (Sweep((7, 7), (2, 2), pads=(3, 3, 3, 3)), (3, 2)),
        (Sweep((5, 3), (4, 3), (2, 1), (4, 0, 4, 2)), (1, 1)),
        (Sweep((2, 2), (3, 3), pads=(9, 9, 9, 9)), (1, 1)),
        (Sweep((3, 3)), (3, 3)),
    ):
        check(kernels, packing, sweep, (2, 3, *size))


@each_kernel
@pytest.mark.parametrize("groups", [2, 6])
def test_grouped_and_depthwise_weights_have_zeros_outside_their_group(
    kernels: KernelSet, groups: int
) -> None:
    channels, out = 6, 12
    for sweep in (WINDOWS["3x3"], WINDOWS["3x3 stride 2"], WINDOWS["5x5"], Sweep((1, 1))):
        weight = random_kernel(Packing("blocks"), out, channels, sweep, density=1.0)
        for o in range(out):
            own = o // (out // groups) * (channels // groups)
            weight[o, :own] = 0
            weight[o, own + channels // groups :] = 0
        x = random_input(2, channels, 11, 13)
        epilogue = random_epilogue(out, (2, out, *sweep.output(11, 13)), "hard_swish")
        for packing in SOME[:1] + SOME[2:]:
            assert_right(packing, weight, x, sweep, epilogue, How(kernels))


@each_kernel
@some_packings
@pytest.mark.parametrize("activation", ACTIVATION_ERROR)
def test_every_activation_follows_the_sums(
    kernels: KernelSet, packing: Packing, activation: str
) -> None:
    # 33 positions: whole vectors and one more
    for sweep, size in product((Sweep((1, 1)), WINDOWS["3x3"]), ((5, 9), (3, 11))):
        weight = random_kernel(packing, 20, 4, sweep)
        for bias, residual in ((True, False), (False, True), (True, True)):
            shape = (2, 20, *size)
            epilogue = random_epilogue(20, shape, activation, bias=bias, residual=residual)
            assert_right(packing, weight, random_input(2, 4, *size), sweep, epilogue, How(kernels))


@each_kernel
@some_packings
def test_tile_alignment_and_repetition_do_not_matter(kernels: KernelSet, packing: Packing) -> None:
    for sweep in (Sweep((1, 1)), WINDOWS["3x3"], WINDOWS["3x3 stride 2"]):
        weight = random_kernel(packing, 33, 6, sweep)
        for k, tile in enumerate((1, 2, 3, 5, 1000, 0)):
            how = How(kernels, tile, misalignment=k + 1, repeats=1 + k % 2)
            assert_right(packing, weight, random_input(2, 6, 12, 11), sweep, Epilogue(), how)


@each_kernel
@some_packings
@pytest.mark.parametrize("density", [0.0, 1.0])
def test_all_and_no_weights_may_be_stored(
    kernels: KernelSet, packing: Packing, density: float
) -> None:
    for sweep in (Sweep((1, 1)), WINDOWS["3x3"]):
        weight = random_kernel(packing, 40, 5, sweep, density=density)
        epilogue = random_epilogue(40, (), residual=False)
        assert_right(packing, weight, random_input(1, 5, 8, 9), sweep, epilogue, How(kernels))


@each_kernel
@some_packings
def test_inputs_of_weights_that_are_not_stored_do_not_count(
    kernels: KernelSet, packing: Packing
) -> None:
    for sweep in (Sweep((1, 1)), WINDOWS["3x3"], WINDOWS["3x3 stride 2"]):
        weight, x = random_kernel(packing, 33, 6, sweep), random_input(2, 6, 9, 10)
        weight[:, 2:5] = 0
        packed = packing.pack(weight.reshape(33, -1))
        expected = run_convolution(packed, x, 33, sweep, how=How(kernels))
        x[:, 2], x[:, 3], x[:, 4] = np.inf, np.nan, -np.inf
        y = run_convolution(packed, x, 33, sweep, how=How(kernels))
        np.testing.assert_array_equal(y, expected)


@each_kernel
def test_columns_that_two_bytes_do_not_count_are_right(kernels: KernelSet) -> None:
    for sweep, channels in ((Sweep((1, 1)), 2**16 + 3), (WINDOWS["3x3"], 7300)):
        weight = np.zeros((5, channels, *sweep.kernel), np.float32)
        weight[:, ::499] = random_input(5, -(-channels // 499), *sweep.kernel)
        weight[:, -1] = 1
        x = random_input(1, channels, 2, 3)
        assert_right(Packing("blocks"), weight, x, sweep, Epilogue(), How(kernels))


@st.composite
def sweeps(draw: st.DrawFn) -> tuple[Sweep, tuple[int, int]]:
    """Draw a window and the size of an image that has at least one output."""
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    strides = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilations = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = draw(st.tuples(*[st.integers(0, 6)] * 4))
    size = [
        draw(st.integers(max(1, dilations[a] * (kernel[a] - 1) + 1 - pads[a] - pads[a + 2]), 20))
        for a in range(2)
    ]
    return Sweep(kernel, strides, dilations, pads), (size[0], size[1])


@each_kernel
@given(
    drawn=sweeps(),
    packing=st.sampled_from(block_packings()),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 40)),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    added=st.tuples(st.booleans(), st.booleans()),
    activation=st.sampled_from(sorted(ACTIVATION_ERROR)),
    tile=st.integers(0, 10),
)
def test_any_convolution_is_right(
    kernels: KernelSet,
    drawn: tuple[Sweep, tuple[int, int]],
    packing: Packing,
    sizes: tuple[int, int, int],
    density: float,
    added: tuple[bool, bool],
    activation: str,
    tile: int,
) -> None:
    (sweep, size), (images, channels, out) = drawn, sizes
    weight = random_kernel(packing, out, channels, sweep, density=density)
    shape = (images, out, *sweep.output(*size))
    epilogue = random_epilogue(out, shape, activation, bias=added[0], residual=added[1])
    how = How(kernels, tile, misalignment=tile % 8)
    assert_right(packing, weight, random_input(images, channels, *size), sweep, epilogue, how)


STRIPS = (
    Sweep((3, 3), pads=(1, 1, 1, 1)),
    Sweep((3, 3), (2, 2), pads=(0, 1, 2, 0)),
    Sweep((5, 3), (3, 1), (1, 2), (2, 0, 4, 3)),
    Sweep((1, 1), (2, 2)),
)


@each_kernel
@pytest.mark.parametrize("sweep", STRIPS, ids=str)
@pytest.mark.parametrize("size", [(230, 61), (31, 470)], ids=str)
def test_images_whose_planes_are_large_are_cut_into_strips(
    kernels: KernelSet, sweep: Sweep, size: tuple[int, int]
) -> None:
    for packing in (Packing("blocks"), Packing("blocks", block_rows=4, chunk=30)):
        check(kernels, packing, sweep, (2, 16, *size))
