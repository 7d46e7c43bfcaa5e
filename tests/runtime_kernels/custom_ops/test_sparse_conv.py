from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spa_onnx.runtime.packing import pack_bitmask, pack_blocks, pack_segments
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.runtime_kernels.layers.direct import Epilogue, Sweep
from tests.runtime_kernels.layers.oracle import ACTIVATION_ERROR, convolution
from tests.runtime_kernels.op_models import (
    AnyShape,
    Float32Array,
    OneNode,
    conv_node,
    infers_shapes,
    open_quietly,
    random_input,
    random_weight,
)

pytestmark = needs_kernels

SWEEPS = {
    "1x1": Sweep((1, 1)),
    "1x1 stride 2": Sweep((1, 1), (2, 2)),
    "3x3": Sweep((3, 3), pads=(1, 1, 1, 1)),
    "3x3 strides 2 and 1, uneven pads": Sweep((3, 3), (2, 1), pads=(0, 2, 1, 0)),
    "5x3 dilations 1 and 2": Sweep((5, 3), dilations=(1, 2), pads=(2, 2, 2, 2)),
}
each_sweep = pytest.mark.parametrize("sweep", SWEEPS.values(), ids=SWEEPS.keys())


def node_of(weight: Float32Array, sweep: Sweep, **settings: Any) -> OneNode:
    """Return a SparseConv node with the attributes of a window."""
    window = {
        "strides": [*sweep.strides],
        "pads": [*sweep.pads],
        "dilations": [*sweep.dilations],
    }
    return conv_node(weight, **{**window, **settings})


@each_sweep
@pytest.mark.parametrize("block_rows", [1, 4, 32])
def test_images_of_any_size_and_number_are_convolved(sweep: Sweep, block_rows: int) -> None:
    weight, bias = random_weight(37, 6, *sweep.kernel), random_input(37)
    packed = pack_blocks(weight.reshape(37, -1), block_rows, 5)
    node = node_of(weight, sweep, packed=packed, bias=bias, x_shape=("batch", 6, "h", "w"))
    opened = open_quietly(node, threads=2)
    for shape in ((1, 6, 9, 8), (3, 6, 21, 5), (0, 6, 9, 8), (1, 6, 9, 8), (2, 6, 5, 30)):
        x = random_input(*shape)
        (y,) = opened.run(None, {"x": x})
        assert convolution(weight, x, sweep, Epilogue(bias)).agrees(y)


@each_sweep
def test_any_number_of_threads_gives_the_same(sweep: Sweep) -> None:
    weight, x = random_weight(150, 20, *sweep.kernel), random_input(2, 20, 40, 37)
    node = node_of(weight, sweep)
    one, *others = (open_quietly(node, threads=n).run(None, {"x": x})[0] for n in (1, 2, 4))
    for other in others:
        np.testing.assert_array_equal(one, other)
    assert convolution(weight, x, sweep, Epilogue()).agrees(one)


@pytest.mark.parametrize("activation", ACTIVATION_ERROR)
def test_the_attribute_chooses_the_activation(activation: str) -> None:
    weight, x, sweep = random_weight(9, 4, 3, 3), random_input(2, 4, 7, 9), Sweep((3, 3))
    node = conv_node(weight, activation=activation, clip_min=-0.25, clip_max=0.75)
    (y,) = open_quietly(node).run(None, {"x": x})
    epilogue = Epilogue(activation=activation, clip=(-0.25, 0.75))
    assert convolution(weight, x, sweep, epilogue).agrees(y)


@pytest.mark.parametrize("spells_out", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("has_residual", [False, True])
def test_bias_and_residual_may_be_left_out(
    has_bias: bool, has_residual: bool, spells_out: bool
) -> None:
    weight, x, sweep = random_weight(9, 4, 3, 3), random_input(2, 4, 7, 9), Sweep((3, 3))
    bias = random_input(9) if has_bias else None
    residual = random_input(2, 9, 5, 7) if has_residual else None
    node = conv_node(weight, bias=bias, has_residual=has_residual, spells_out=spells_out, tile=1)
    feeds = {"x": x} if residual is None else {"x": x, "residual": residual}
    (y,) = open_quietly(node).run(None, feeds)
    assert convolution(weight, x, sweep, Epilogue(bias, residual)).agrees(y)


@infers_shapes
@pytest.mark.parametrize(
    ("declared", "settings", "inferred"),
    [
        ((2, 3, 9, 7), {}, [2, 6, 7, 5]),
        (("batch", 3, 9, 7), {"strides": [2, 1]}, ["batch", 6, 4, 5]),
        (("batch", "channels", 9, 7), {"pads": [1, 0, 0, 2]}, ["batch", 6, 8, 7]),
        (("batch", 3, "h", "w"), {"pads": [1, 0, 1, 2]}, ["batch", 6, "h", "w"]),
        (("batch", 3, "h", 8), {"dilations": [2, 2], "pads": [2] * 4}, ["batch", 6, "h", 8]),
        ((1, 3, 2, 7), {}, [1, 6, 0, 5]),
        # a length without a name cannot be passed on
        (("batch", 3, "h", "w"), {}, []),
        (("batch", 3, "h", 8), {"pads": [1] * 4, "strides": [2, 1]}, []),
        ((None, 3, 9, 7), {}, []),
        ((3, 9, 7), {}, []),
        (None, {}, []),
        ((1, 3, 2**63 - 1, 5), {"pads": [1, 0, 1, 0]}, [1, 6, 0, 3]),
    ],
)
def test_output_shape_is_inferred_with_the_names_of_symbolic_axes(
    declared: AnyShape | None, settings: dict[str, Any], inferred: list[int | str]
) -> None:
    opened = open_quietly(conv_node(random_weight(6, 3, 3, 3), x_shape=declared, **settings))
    assert opened.get_outputs()[0].shape == inferred


@pytest.mark.parametrize("size", [(2, 9), (9, 2), (0, 9), (1, 1)])
def test_images_smaller_than_the_window_have_no_outputs(size: tuple[int, int]) -> None:
    opened = open_quietly(conv_node(random_weight(6, 3, 3, 3)))
    (y,) = opened.run(None, {"x": random_input(2, 3, *size)})
    assert y.shape == (2, 6, *(max(length - 2, 0) for length in size))


def test_images_without_pixels_are_all_padding() -> None:
    bias = random_input(6)
    opened = open_quietly(conv_node(random_weight(6, 3, 3, 3), bias=bias, pads=[2, 1, 2, 1]))
    (y,) = opened.run(None, {"x": random_input(2, 3, 0, 5)})
    np.testing.assert_array_equal(y, np.broadcast_to(bias[:, None, None], (2, 6, 2, 5)))


@pytest.mark.parametrize("shape", [(1, 4, 5, 5), (1, 2, 5, 5), (3, 5, 5), (1, 3, 5, 5, 5), (3,)])
def test_x_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    opened = open_quietly(conv_node(random_weight(6, 3, 3, 3)))
    found = ", ".join(map(str, shape))
    text = rf"SparseConv 'layer7': X has shape \({found}\), expected \(N, 3, H, W\)"
    with pytest.raises(Exception, match=text):
        opened.run(None, {"x": random_input(*shape)})


@pytest.mark.parametrize("shape", [(5,), (1, 6), (6, 1, 1)])
def test_bias_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    opened = open_quietly(conv_node(random_weight(6, 3, 3, 3), bias=random_input(*shape)))
    with pytest.raises(Exception, match=r"'layer7': bias has shape \(.*\), expected \(6\)"):
        opened.run(None, {"x": random_input(1, 3, 5, 5)})


@pytest.mark.parametrize("shape", [(1, 6, 5, 5), (6, 3, 3), (2, 6, 3, 3), (1, 1, 3, 3)])
def test_a_residual_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    opened = open_quietly(conv_node(random_weight(6, 3, 3, 3), has_residual=True))
    text = r"SparseConv 'layer7': residual has shape \(.*\), expected \(1, 6, 3, 3\)"
    with pytest.raises(Exception, match=text):
        opened.run(None, {"x": random_input(1, 3, 5, 5), "residual": random_input(*shape)})


def test_planes_too_large_for_offsets_are_refused() -> None:
    # few outputs of a few inputs, but padded planes of more than 2^31 bytes
    wide = [30_000, 30_000]
    node = conv_node(random_weight(6, 3, 2, 2), strides=wide, dilations=wide, pads=wide * 2)
    opened = open_quietly(node)
    text = "SparseConv 'layer7': an image is too large for 32-bit offsets"
    with pytest.raises(Exception, match=text):
        opened.run(None, {"x": random_input(1, 3, 2, 2)})


@pytest.mark.parametrize("pack", [pack_bitmask, pack_segments])
def test_other_kinds_of_weights_are_refused(pack: Any) -> None:
    weight = random_weight(6, 3, 3, 3)
    with pytest.raises(Exception, match="'layer7': a convolution's packed weight must be of kind"):
        open_quietly(conv_node(weight, packed=pack(weight.reshape(6, -1))))
