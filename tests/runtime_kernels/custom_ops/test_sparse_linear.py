from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from spa_onnx.runtime.packing import pack_bitmask, pack_blocks, pack_segments
from spa_onnx.runtime.session import session
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.runtime_kernels.layers.direct import Epilogue
from tests.runtime_kernels.layers.oracle import ACTIVATION_ERROR, linear
from tests.runtime_kernels.op_models import (
    AnyShape,
    Float32Array,
    infers_shapes,
    linear_node,
    open_quietly,
    random_input,
    random_weight,
)

pytestmark = needs_kernels

Pack = Callable[[Float32Array], bytes]
PACKS: dict[str, Pack] = {
    "blocks1": lambda weight: pack_blocks(weight, 1),
    "blocks4": lambda weight: pack_blocks(weight, 4, 20),
    "blocks16": lambda weight: pack_blocks(weight, 16),
    "bitmask": pack_bitmask,
    "segments": pack_segments,
}
each_pack = pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS.keys())


def assert_right(y: Float32Array, weight: Float32Array, x: Float32Array, with_: Epilogue) -> None:
    """Compare with float64, all axes but the last laid end to end."""
    assert y.shape == (*x.shape[:-1], len(weight))
    flat = Epilogue(
        with_.bias,
        None if with_.residual is None else with_.residual.reshape(-1, len(weight)),
        with_.activation,
        with_.clip,
    )
    expected = linear(weight, x.reshape(-1, weight.shape[1]), flat)
    assert expected.agrees(y.reshape(-1, len(weight)))


@each_pack
@pytest.mark.parametrize(
    "shape", [(50,), (1, 50), (3, 50), (128, 50), (2, 3, 50), (2, 2, 40, 50), (0, 50), (2, 0, 50)]
)
def test_x_of_any_rank_is_multiplied(pack: Pack, shape: tuple[int, ...]) -> None:
    weight, x, bias = random_weight(300, 50), random_input(*shape), random_input(300)
    node = linear_node(weight, packed=pack(weight), bias=bias)
    (y,) = open_quietly(node, threads=2).run(None, {"x": x})
    assert_right(y, weight, x, Epilogue(bias))


@each_pack
@pytest.mark.parametrize("tokens", [1, 3, 16, 200])
def test_any_number_of_threads_gives_the_same(pack: Pack, tokens: int) -> None:
    weight, x = random_weight(700, 200), random_input(tokens, 200)
    node = linear_node(weight, packed=pack(weight))
    one, *others = (open_quietly(node, threads=n).run(None, {"x": x})[0] for n in (1, 2, 4))
    for other in others:
        np.testing.assert_array_equal(one, other)
    assert_right(one, weight, x, Epilogue())


@each_pack
def test_one_session_takes_batches_of_any_size(pack: Pack) -> None:
    weight = random_weight(33, 20)
    opened = open_quietly(linear_node(weight, packed=pack(weight), x_shape=("batch", "time", 20)))
    for batch, time in ((1, 1), (65, 1), (2, 7), (0, 3), (16, 9), (1, 1)):
        x = random_input(batch, time, 20)
        assert_right(opened.run(None, {"x": x})[0], weight, x, Epilogue())


@pytest.mark.parametrize("activation", ACTIVATION_ERROR)
def test_the_attribute_chooses_the_activation(activation: str) -> None:
    weight, x, bias = random_weight(9, 20), random_input(5, 20), random_input(9)
    epilogue = Epilogue(bias, None, activation, (-0.25, 0.75))
    node = linear_node(weight, bias=bias, activation=activation, clip_min=-0.25, clip_max=0.75)
    assert_right(open_quietly(node).run(None, {"x": x})[0], weight, x, epilogue)


@pytest.mark.parametrize(
    ("limits", "clip"),
    [
        ({}, (-np.inf, np.inf)),
        ({"clip_min": 0.0}, (0.0, np.inf)),
        ({"clip_max": 0.5}, (-np.inf, 0.5)),
    ],
)
def test_a_limit_that_is_left_out_is_none(
    limits: dict[str, float], clip: tuple[float, float]
) -> None:
    weight, x = random_weight(9, 20), random_input(5, 20)
    node = linear_node(weight, activation="clip", **limits)
    y = open_quietly(node).run(None, {"x": x})[0]
    assert_right(y, weight, x, Epilogue(None, None, "clip", clip))


@pytest.mark.parametrize("tile", [0, 1, 3, 1024])
def test_the_tile_does_not_change_the_result(tile: int) -> None:
    weight, x = random_weight(40, 20), random_input(70, 20)
    y = open_quietly(linear_node(weight, tile=tile)).run(None, {"x": x})[0]
    assert_right(y, weight, x, Epilogue())


@pytest.mark.parametrize("spells_out", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("has_residual", [False, True])
def test_bias_and_residual_may_be_left_out(
    has_bias: bool, has_residual: bool, spells_out: bool
) -> None:
    weight, x = random_weight(9, 20), random_input(2, 5, 20)
    bias = random_input(9) if has_bias else None
    residual = random_input(2, 5, 9) if has_residual else None
    node = linear_node(weight, bias=bias, has_residual=has_residual, spells_out=spells_out)
    feeds = {"x": x} if residual is None else {"x": x, "residual": residual}
    y = open_quietly(node).run(None, feeds)[0]
    assert_right(y, weight, x, Epilogue(bias, residual))


@infers_shapes
@pytest.mark.parametrize(
    ("declared", "inferred"),
    [
        (("batch", "time", 20), ["batch", "time", 5]),
        ((2, "time", 20), [2, "time", 5]),
        ((20,), [5]),
        (("batch", "width"), ["batch", 5]),
        ((None, 20), []),  # a nameless length cannot be passed on
        (None, []),
    ],
)
def test_output_shape_is_inferred_with_the_names_of_symbolic_axes(
    declared: AnyShape | None, inferred: list[int | str]
) -> None:
    opened = open_quietly(linear_node(random_weight(5, 20), x_shape=declared))
    assert opened.get_outputs()[0].shape == inferred


@pytest.mark.parametrize("shape", [(), (19,), (4, 19), (20, 4), (2, 20, 1)])
def test_x_with_another_last_axis_is_refused(shape: tuple[int, ...]) -> None:
    opened = open_quietly(linear_node(random_weight(5, 20)))
    found = ", ".join(map(str, shape))
    text = (
        rf"ai.spa::SparseLinear 'layer7': X has shape \({found}\), the weight has shape \(5, 20\)"
    )
    with pytest.raises(Exception, match=text):
        opened.run(None, {"x": random_input(*shape) if shape else np.array(1, np.float32)})


@pytest.mark.parametrize("shape", [(4,), (6,), (1, 5), (0,)])
def test_bias_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    opened = open_quietly(linear_node(random_weight(5, 20), bias=random_input(*shape)))
    with pytest.raises(Exception, match=r"'layer7': bias has shape \(.*\), expected \(5\)"):
        opened.run(None, {"x": random_input(4, 20)})


@pytest.mark.parametrize("shape", [(5,), (3, 5), (4, 1), (4, 6), (1, 4, 5), (0, 5)])
def test_a_residual_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    opened = open_quietly(linear_node(random_weight(5, 20), has_residual=True))
    text = r"SparseLinear 'layer7': residual has shape \(.*\), expected \(4, 5\)"
    with pytest.raises(Exception, match=text):
        opened.run(None, {"x": random_input(4, 20), "residual": random_input(*shape)})


def test_a_refused_run_leaves_the_session_in_order() -> None:
    weight, x = random_weight(5, 20), random_input(4, 20)
    opened = open_quietly(linear_node(weight))
    for _ in range(3):
        with pytest.raises(Exception, match="X has shape"):
            opened.run(None, {"x": random_input(4, 19)})
        assert_right(opened.run(None, {"x": x})[0], weight, x, Epilogue())


def test_a_weight_in_an_external_file_may_lie_at_any_offset(tmp_path: Path) -> None:
    weight, x = random_weight(40, 30), random_input(20, 30)
    model = linear_node(weight, x_shape=("batch", 30)).model()
    stored = model.graph.initializer[0]
    (tmp_path / "weight.bin").write_bytes(b"\0" * 4097 + stored.raw_data)
    stored.ClearField("raw_data")
    stored.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weight.bin"), ("offset", "4097")):
        stored.external_data.add(key=key, value=value)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    opened: Any = session(path)
    assert_right(opened.run(None, {"x": x})[0], weight, x, Epilogue())
