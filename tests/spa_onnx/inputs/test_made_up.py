from collections.abc import Callable

import numpy as np
import onnx
import pytest

import spa_onnx
import spa_onnx.inputs.made_up as module
from spa_onnx.errors import CalibrationError
from spa_onnx.execute.runtime import open_session
from spa_onnx.inputs.made_up import MadeUpBatches, made_up
from tests.builders import GraphBuilder


def _pictures(
    shape: tuple[int | str, ...] = ("N", 3, 32, 32), dtype: type = np.float32, version: int = 13
) -> onnx.ModelProto:
    g = GraphBuilder(opset=version, sizes={"H": 32, "W": 32})
    x = g.input("x", shape, dtype)
    if dtype is not np.float32:
        x = g.node("Cast", [x], to=onnx.TensorProto.FLOAT)
    if shape[-1] == 3:
        x = g.transpose(x, 0, 3, 1, 2)
    return g.model(g.gemm(g.flatten(g.global_average_pool(g.relu(g.conv(x, 8, 3)))), 3))


def _sentences() -> onnx.ModelProto:
    g = GraphBuilder(opset=13)
    ids, mask, kinds = (
        g.input(name, ("N", "T"), np.int64)
        for name in ("input_ids", "attention_mask", "token_type_ids")
    )
    x = g.add(g.embedding(ids, 1000, 8), g.embedding(kinds, 2, 8))
    shares = g.unsqueeze(g.node("Cast", [mask], to=onnx.TensorProto.FLOAT), 2)
    return g.model(g.linear(g.relu(g.linear(g.node("Mul", [x, shares]), 16)), 4))


def _made(model: onnx.ModelProto, count: int | None = 20, seed: int = 0) -> MadeUpBatches:
    """Return inputs that ONNX Runtime was seen to accept."""
    state = spa_onnx.analyze(model).propagation
    made = made_up(state, {}, count, seed)
    outputs = state.graph.outputs
    session = open_session(state.graph.model, state.graph.weights, outputs)
    for feeds in made:
        assert all(np.isfinite(y).all() for y in session.run(outputs, feeds))
    return made


def test_pictures_are_made_for_inputs_that_look_like_it() -> None:
    made = _made(_pictures(), 200)
    x = np.concatenate([feeds["x"] for feeds in made])
    assert (made.samples, x.shape) == (200, (200, 3, 32, 32))
    assert made.origin == "made up"
    assert x.std() == pytest.approx(1, abs=0.05)
    assert np.corrcoef(x[..., 1:].ravel(), x[..., :-1].ravel())[0, 1] > 0.8


def test_pictures_may_have_their_channels_last() -> None:
    x = _made(_pictures(("N", 32, 32, 3))).feeds[0]["x"]
    assert x.shape == (20, 32, 32, 3)
    assert np.corrcoef(x[:, 1:].ravel(), x[:, :-1].ravel())[0, 1] > 0.7
    assert np.corrcoef(x[..., 0].ravel(), x[..., 1].ravel())[0, 1] > 0.7


def test_pictures_of_bytes() -> None:
    x = _made(_pictures(dtype=np.uint8)).feeds[0]["x"]
    assert x.dtype == np.uint8
    assert x.max() > 200


def test_open_lengths_of_pictures_are_large() -> None:
    made = _made(_pictures(("N", 3, "H", "W")), 2)
    assert made.feeds[0]["x"].shape[1:] == (3, 224, 224)


def test_fixed_batches_stay() -> None:
    made = _made(_pictures((4, 3, 32, 32)), 10)
    assert [len(feeds["x"]) for feeds in made] == [4, 4, 4]
    assert not np.array_equal(made.feeds[0]["x"], made.feeds[1]["x"])
    assert made.first(5).samples == 8


def test_open_batches_are_cut() -> None:
    made = _made(_pictures(), 300)
    assert made.first(5).samples == 5
    assert made.first(200).samples == 200
    assert made.first(1000).samples == 300
    assert np.array_equal(made.first(5).feeds[0]["x"], made.feeds[0]["x"][:5])


def test_state_with_the_batch_on_another_axis_is_not_cut() -> None:
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", ("N", 6)), 8)
    state = g.node(
        "ReduceSum", [g.input("state", (2, "N", 8)), g.constant(np.array([0]))], keepdims=0
    )
    made = _made(g.model(g.linear(g.relu(g.add(x, state)), 3)), 20)
    assert made.first(5).samples == 20


@pytest.mark.parametrize("build", [_pictures, _sentences])
def test_inputs_follow_the_seed(build: Callable[[], onnx.ModelProto]) -> None:
    first, again, other = (_made(build(), 20, seed) for seed in (0, 0, 1))
    for name, array in first.feeds[0].items():
        assert np.array_equal(array, again.feeds[0][name])
        assert not np.array_equal(array, other.feeds[0][name])


def test_the_number_of_items_depends_on_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _made(_pictures(), None).samples == 512
    assert _made(_sentences(), None).samples == 256
    monkeypatch.setattr(module, "NUMBERS", 40 * 3 * 32 * 32)
    assert _made(_pictures(), None).samples == 40
    monkeypatch.setattr(module, "NUMBERS", 1)
    assert _made(_pictures(), None).samples == 16


def test_sentences_have_words_masks_and_segments() -> None:
    made = _made(_sentences(), 100)
    ids, mask, kinds = (
        np.concatenate([feeds[n] for feeds in made])
        for n in ("input_ids", "attention_mask", "token_type_ids")
    )
    assert ids.shape == (100, 64)
    assert 900 < ids.max() < 1000
    assert len(set(mask.sum(axis=1).tolist())) > 20
    assert set(kinds.ravel().tolist()) == {0, 1}


def test_sizes_that_the_user_gave_hold() -> None:
    state = spa_onnx.analyze(_sentences(), input_shapes={"input_ids": (3, 10)}).propagation
    made = made_up(state, {"input_ids": (3, 10)}, 7, 0)
    assert [feeds["input_ids"].shape for feeds in made] == [(3, 10)] * 3


def test_a_model_that_runs_at_no_size_asks_for_inputs() -> None:
    g = GraphBuilder(opset=13, sizes={"N": 37})  # it runs for multiples of 37 only
    x = g.reshape(g.input("x", ("N", 4)), (-1, 37 * 4))
    state = spa_onnx.analyze(g.model(g.gemm(g.relu(g.gemm(x, 8)), 3))).propagation
    with pytest.raises(CalibrationError, match=r"none of the inputs .* made up for x"):
        made_up(state, {}, 5, 0)
