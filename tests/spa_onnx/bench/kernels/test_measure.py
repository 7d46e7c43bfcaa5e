from collections.abc import Sequence

import numpy as np
import pytest

from spa_onnx.bench.kernels import measure
from spa_onnx.bench.kernels.bound import Bound, aligned
from spa_onnx.bench.kernels.forms import Form
from spa_onnx.bench.kernels.measure import Bench, Copies, WrongLayerError, check
from spa_onnx.bench.kernels.models import dense_sessions
from spa_onnx.bench.kernels.shapes import Convolution, Group, Layer, Linear
from spa_onnx.bench.kernels.timing import Timing
from spa_onnx.latency.vector import vector_lanes
from spa_onnx.sparse.pattern import Pattern

LAYERS = [
    (Convolution(16, 32, 5), "4x1"),
    (Convolution(16, 16, 4, 3), "unstructured"),
    (Convolution(12, 20, 3, 3), "8x1"),
    (Linear(20, 48, 40), "16x1"),
    (Linear(33, 40, 24), "8x1"),
    (Linear(1, 64, 48), "unstructured"),
    (Linear(1, 72, 50), "1x16"),
    (Linear(1, 64, 48), "2:4"),
]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("layer", "pattern"), LAYERS, ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_layer_is_timed_in_every_way(layer: Layer, pattern: str, threads: int) -> None:
    found = Bench(threads, rounds=3).time(layer, pattern, 0.5, 0)
    assert found.form in found.tried
    assert found.dense[found.way] == min(found.dense.values())
    assert len(found.ratios) == 3
    assert min(*found.ratios, found.sparse, *found.dense.values(), *found.tried.values()) > 0


@pytest.mark.usefixtures("tiny")
def test_float16_values_are_checked_within_their_rounding() -> None:
    found = Bench(rounds=2, half=True).time(Linear(1, 64, 48), "unstructured", 0.5, 0)
    assert found.form.half


def test_the_pattern_says_the_sparsity_where_it_can(tiny: Sequence[Group]) -> None:
    layer = tiny[-1].layers[0]
    found = Bench(rounds=1).time(layer, "1:4", 0.5, 0)
    assert (found.sparsity, found.stored) == (0.75, 64 * 48 // 4)
    assert Bench(rounds=1).time(layer, "4x1", 0.5, 0).sparsity == 0.5


def test_copies_fill_the_caches(tiny: Sequence[Group]) -> None:
    layer = tiny[-1].layers[0]  # 64 x 48 weights

    def timed(sparsity: float, megabytes: int) -> Timing:
        return Bench(rounds=1).time(layer, "unstructured", sparsity, megabytes)

    assert timed(0.5, 1).copies * 4 * (64 * 48 + 64 + 48) == pytest.approx(1e6, rel=0.02)
    assert timed(0.99, 0).copies * 4 * (0.01 * 64 * 48 + 64 + 48) > 2 * 4096
    assert timed(0.0, 0).copies == 3


def drawn(layer: Layer) -> Copies:
    return Copies.drawn(layer, Pattern(), 0.5, 3)


def test_copies_of_a_large_weight_differ_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LARGE", 100)
    copies = Copies.drawn(Linear(1, 20, 16), Pattern(4, 1), 0.5, 3)
    first, second, third = copies.weights
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)
    for weight in copies.weights:
        blocks = np.count_nonzero(weight.reshape(4, 4, 20), axis=1)
        assert set(blocks.ravel().tolist()) == {0, 4}
        assert np.count_nonzero(weight) == copies.stored


def test_the_blocked_layout_is_tried_where_channels_fill_blocks() -> None:
    lanes = vector_lanes()
    fits, does_not = Convolution(lanes, 2 * lanes, 4, 3), Convolution(lanes, lanes + 1, 4)
    found = [dict(dense_sessions(one, drawn(one).weights, 1)) for one in (fits, does_not)]
    assert [list(ways) for ways in found] == [["nchw", "nchwc"] if lanes >= 8 else ["nchw"],
                                              ["nchw"]]  # fmt: skip


def test_linear_layers_are_tried_with_packed_weights_and_without() -> None:
    copies = drawn(Linear(5, 24, 16))
    ways = dict(dense_sessions(copies.layer, copies.weights, 1))
    assert list(ways) == ["packed", "unpacked"]
    for session in ways.values():
        found = Bound(session, copies.inputs, copies.layer).results()
        for x, weight, y in zip(copies.inputs, copies.weights, found, strict=True):
            np.testing.assert_allclose(y, x @ weight.T, rtol=1e-4, atol=1e-5)


def test_arrays_begin_at_cache_lines() -> None:
    for shape in ((3, 5), (1, 7, 9, 9), (1,)):
        array = aligned(shape)
        assert (array.shape, array.dtype) == (shape, np.float32)
        assert array.ctypes.data % 64 == 0


@pytest.mark.usefixtures("tiny")
def test_a_wrong_output_names_layer_and_form(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Form.pack
    monkeypatch.setattr(Form, "pack", lambda form, weight: right(form, 1.01 * weight))
    with pytest.raises(
        WrongLayerError, match=r"layer 20 x 48 -> 40, packed as 16x1: .* by 0\.01 of its largest"
    ):
        Bench(rounds=1).time(Linear(20, 48, 40), "16x1", 0.5, 0)


def test_what_is_not_written_is_wrong() -> None:
    right, gap = np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)
    gap[1, 2] = np.nan
    layer = Linear(2, 8, 3)
    check(layer, Form(), [right], [right * (1 + 1e-7)])
    with pytest.raises(WrongLayerError, match="by nan"):
        check(layer, Form(), [right, gap], [right, right])
