"""Convolutions of 1 x 1 by every kernel for GPUs, against float64."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spa_onnx.runtime.cuda import CudaError
from tests.runtime_kernels.cuda.given_layer import convolution
from tests.runtime_kernels.cuda.packing import Packing, few_packings, packings
from tests.runtime_kernels.cuda_library import cuda_library, needs_cuda_library
from tests.runtime_kernels.layers.oracle import ACTIVATION_ERROR

pytestmark = needs_cuda_library
planes = [packing for packing in few_packings() if packing.does_planes]
each_packing = pytest.mark.parametrize("packing", planes, ids=str)

# Tiles are of 64, 128 and 256 positions. Planes of 16, 8, 4 and 2 bytes' alignment are among them.
SIZES = ((1, 1), (3, 3), (7, 9), (8, 8), (5, 13), (2, 31), (1, 127), (8, 16), (3, 43), (4, 33),
         (15, 17), (16, 16), (1, 257), (2, 129), (12, 22))  # fmt: skip
STRIDES = ((1, 1), (2, 2), (1, 2), (3, 1), (4, 5))


@each_packing
def test_every_size_of_planes_is_right(packing: Packing) -> None:
    for size in SIZES:
        convolution(packing, (1, 24, *size), 20, density=0.6).with_epilogue("relu").check()


@each_packing
def test_strides_leave_pixels_out(packing: Packing) -> None:
    for strides, size in product(STRIDES, ((7, 8), (8, 9), (1, 1), (4, 40))):
        convolution(packing, (1, 20, *size), 18, strides, density=0.6).with_epilogue().check()


@each_packing
def test_images_follow_one_another(packing: Packing) -> None:
    for strides in ((1, 1), (2, 1)):
        for size in ((4, 4), (3, 5), (9, 9)):
            convolution(packing, (3, 36, *size), 70, strides).with_epilogue("clip").check()


@each_packing
def test_channels_around_a_tile_are_right(packing: Packing) -> None:
    for columns, rows in ((1, 1), (15, 17), (16, 16), (64, 65), (65, 64), (129, 33), (321, 129)):
        convolution(packing, (1, columns, 3, 6), rows, density=0.7).with_epilogue().check()


@each_packing
@pytest.mark.parametrize("density", [0.0, 1.0])
def test_all_and_no_weights_may_be_stored(packing: Packing, density: float) -> None:
    convolution(packing, (2, 70, 3, 3), 40, density=density).with_epilogue(residual=False).check()


@each_packing
def test_every_activation_follows_the_sums(packing: Packing) -> None:
    # planes of 64 go to the output 16 bytes at a time, those of 9 one by one
    added = ((3, True, False), (8, False, True), (8, True, True))
    for activation, (side, bias, residual) in product(ACTIVATION_ERROR, added):
        layer = convolution(packing, (1, 16, side, side), 17)
        layer.with_epilogue(activation, bias=bias, residual=residual).check()


@each_packing
def test_what_is_not_finite_in_one_pixel_stays_there(packing: Packing) -> None:
    for side, strides in ((5, (1, 1)), (8, (1, 1)), (5, (2, 2))):
        layer = convolution(packing, (2, 23, side, side), 33, strides, density=1)
        before = dict(layer.runs())
        layer.x[0, :4, 4, 2], layer.x[0, -4:, 4, 2] = np.inf, np.nan
        here = (0, slice(None), 4 // strides[0], 2 // strides[1])
        for name, y in layer.runs():
            assert not np.isfinite(y[here].astype(np.float32)).any(), name
            y[here] = before[name][here]
            np.testing.assert_array_equal(y, before[name], name)


def test_bit_masks_do_no_convolutions() -> None:
    layer = convolution(Packing("tiles"), (1, 24, 3, 3), 20)
    masks = replace(layer, packing=Packing("bitmask"))
    with pytest.raises(CudaError, match="convolutions need tiles or a 2:4 weight"):
        cuda_library().run(masks.native)


@settings(max_examples=40)
@given(
    packing=st.sampled_from([packing for packing in packings() if packing.does_planes]),
    images=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 150), st.integers(1, 140)),
    size=st.tuples(st.integers(1, 14), st.integers(1, 20)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    added=st.tuples(st.booleans(), st.booleans()),
    activation=st.sampled_from(sorted(ACTIVATION_ERROR)),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_convolution_is_right(
    packing: Packing,
    images: int,
    channels: tuple[int, int],
    size: tuple[int, int],
    strides: tuple[int, int],
    density: float,
    added: tuple[bool, bool],
    activation: str,
    seed: int,
) -> None:
    columns, rows = channels
    layer = convolution(
        packing, (images, columns, *size), rows, strides, density=density, seed=seed
    )
    layer.with_epilogue(activation, bias=added[0], residual=added[1]).check()
