from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from spa_onnx.errors import (
    AlreadyLoweredError,
    LoweredDiffersError,
    LoweredRefusedError,
    NothingToLowerError,
    NotLoweredError,
    OriginalRefusedError,
    SamePathError,
)
from spa_onnx.latency.measure import Comparison, Stopwatch
from spa_onnx.lower import run as stage
from spa_onnx.lower.back import undo
from spa_onnx.lower.config import LowerConfig
from spa_onnx.lower.report import LowerReport
from spa_onnx.lower.run import lower
from spa_onnx.lower.trial import Timing, Trial
from spa_onnx.lower.whole import Contest
from spa_onnx.runtime.library import KernelsMissingError
from spa_onnx.runtime.session import session
from tests.builders import GraphBuilder
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.spa_onnx.lower.models import MODELS, built, conv, feeds_of, linear, picture

WATCH = Stopwatch(least=2, most=2, seconds=0.1)


@pytest.fixture
def config(tmp_path: Path) -> LowerConfig:
    return LowerConfig(cache=tmp_path / "cache", input_shapes={"x": (2, 3, 10)})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return written(built(MODELS["perceptron"]), tmp_path)


def written(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Pretend that packed layers take a share of what dense ones do, and whole models too."""
    shares = {"layer": 0.5, "model": 0.5}

    def measure(trial: Trial, **_: Any) -> Timing:
        return Timing(10.0, 0.0, 0.0, {str(way): 10 * shares["layer"] for way in trial.ways})

    def compare(*_: Any) -> Comparison:
        return Comparison(np.ones(4), np.full(4, shares["model"]))

    monkeypatch.setattr(stage, "measure", measure)
    monkeypatch.setattr(Contest, "against", compare)
    return shares


def outputs(path: Path, feeds: dict[str, Any]) -> list[Any]:
    opened: Any = session(path)
    return list(opened.run(None, feeds))


@needs_kernels
def test_a_model_is_lowered_and_computes_the_same(
    model: Path, tmp_path: Path, config: LowerConfig, times: dict[str, float]
) -> None:
    target = tmp_path / "lowered.onnx"
    report = lower(model, target, config, watch=WATCH)
    assert [layer.packing != "" for layer in report.lowered] == [True, True]
    assert report.times[-1].ratio == times["model"]
    assert report.difference is not None
    assert report.difference < 1e-5
    feeds = feeds_of(onnx.load(str(model)))
    for a, b in zip(outputs(target, feeds), outputs(model, feeds), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@needs_kernels
def test_layers_that_do_not_pay_stay_unless_forced(
    model: Path, tmp_path: Path, config: LowerConfig, times: dict[str, float]
) -> None:
    times["layer"] = 2.0
    target = tmp_path / "lowered.onnx"
    report = lower(model, target, config, watch=WATCH)
    assert not report.lowered
    assert {layer.reason for layer in report.layers} == {"not faster packed"}
    assert "no layer is faster" in report.notes[0]
    assert onnx.load(str(target)) == onnx.load(str(model))
    forced = lower(model, target, LowerConfig(True, cache=config.cache), watch=WATCH)
    assert len(forced.lowered) == 2


@needs_kernels
def test_a_model_that_is_slower_as_a_whole_is_written_as_it_is(
    model: Path, tmp_path: Path, config: LowerConfig, times: dict[str, float]
) -> None:
    times["model"] = 1.1
    report = lower(model, tmp_path / "lowered.onnx", config, watch=WATCH)
    assert not report.lowered
    assert {layer.reason for layer in report.layers} == {"with it the whole model is not faster"}
    assert "the whole model is not faster" in report.notes[0]
    assert onnx.load(str(tmp_path / "lowered.onnx")) == onnx.load(str(model))


@needs_kernels
def test_real_times_are_taken_and_kept(model: Path, tmp_path: Path, config: LowerConfig) -> None:
    first = lower(model, tmp_path / "a.onnx", config, watch=WATCH)
    again = lower(model, tmp_path / "b.onnx", config, watch=WATCH)
    assert first.measured > 0
    assert again.measured == 0
    assert all(layer.dense and layer.packed for layer in first.layers)


@needs_kernels
def test_convolutions_are_timed_with_their_changes_of_layout(
    tmp_path: Path, config: LowerConfig
) -> None:
    g = GraphBuilder()
    x = g.relu(conv(g, g.input("x", (1, 32, 14, 14)), 32, 3, pads=[1] * 4))
    path = written(g.model(g.relu(conv(g, x, 64))), tmp_path)
    report = lower(path, tmp_path / "out.onnx", LowerConfig(True, cache=config.cache), watch=WATCH)
    assert len(report.lowered) == 2
    text = next((tmp_path / "cache").iterdir()).read_text()
    assert '"into"' in text


@needs_kernels
def test_weights_lie_outside_when_asked_for_and_can_be_mapped(
    tmp_path: Path, config: LowerConfig, times: dict[str, float]
) -> None:
    def make(g: GraphBuilder) -> str:
        return linear(g, linear(g, g.input("x", (2, 1024)), 1024), 1024)

    target = tmp_path / "lowered.onnx"
    path = written(built(make), tmp_path)
    lower(path, target, LowerConfig(cache=config.cache, external_data=True), watch=WATCH)
    skeleton = onnx.load(str(target), load_external_data=False)
    offsets = [
        int(entry.value)
        for tensor in skeleton.graph.initializer
        for entry in tensor.external_data
        if entry.key == "offset"
    ]
    assert len(offsets) == 2
    assert all(offset % 4096 == 0 for offset in offsets)
    assert target.with_name("lowered.onnx.data").is_file()
    assert len(outputs(target, feeds_of(onnx.load(str(path))))) == 1


@needs_kernels
def test_the_way_back_has_the_same_weights(
    model: Path, tmp_path: Path, config: LowerConfig, times: dict[str, float]
) -> None:
    lowered, back = tmp_path / "lowered.onnx", tmp_path / "back.onnx"
    lower(model, lowered, config, watch=WATCH)
    report = undo(lowered, back, config)
    assert report.layers == 2
    assert report.difference is not None
    assert report.difference < 1e-5
    found, expected = (
        sorted(
            onnx.numpy_helper.to_array(t).tobytes() for t in onnx.load(str(p)).graph.initializer
            if len(t.dims) == 2
        )
        for p in (back, model)
    )  # fmt: skip
    assert found == expected


@needs_kernels
def test_a_result_that_differs_is_not_written(
    model: Path,
    tmp_path: Path,
    config: LowerConfig,
    times: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from spa_onnx.lower import rewrite

    honest = rewrite.matrix
    monkeypatch.setattr(rewrite, "matrix", lambda *a: honest(*a) * np.float32(1.01))
    with pytest.raises(LoweredDiffersError, match="differs from the original: output"):
        lower(model, tmp_path / "lowered.onnx", config, watch=WATCH)
    assert not (tmp_path / "lowered.onnx").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@needs_kernels
def test_a_library_without_the_operators_is_told(
    model: Path,
    tmp_path: Path,
    config: LowerConfig,
    times: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from spa_onnx.lower import operators

    monkeypatch.setattr(operators, "SPARSE_LINEAR", "Unheard")
    with pytest.raises(LoweredRefusedError, match="refuses the lowered model"):
        lower(model, tmp_path / "lowered.onnx", config, watch=WATCH)


def test_models_that_cannot_be_lowered_are_refused(tmp_path: Path, config: LowerConfig) -> None:
    g = GraphBuilder()
    dense = written(g.model(g.conv(picture(g), 4)), tmp_path)
    with pytest.raises(NothingToLowerError, match=r"has 30% of zeros in its weight\. Make some"):
        lower(dense, tmp_path / "out.onnx", config)
    with pytest.raises(NotLoweredError, match="nothing can be undone"):
        undo(dense, tmp_path / "out.onnx", config)
    with pytest.raises(SamePathError):
        lower(dense, dense, config)


def test_reasons_are_told_where_nothing_can_be_lowered(tmp_path: Path, config: LowerConfig) -> None:
    g = GraphBuilder()
    x = g.input("x", (1, 4, 9))
    path = written(g.model(g.node("Conv", [x, g.weight(3, 4, 3)])), tmp_path)
    with pytest.raises(NothingToLowerError, match="it has 1 axes of space, not 2"):
        lower(path, tmp_path / "out.onnx", config)


def test_a_lowered_model_is_not_lowered_again(tmp_path: Path, config: LowerConfig) -> None:
    model = built(MODELS["perceptron"])
    model.opset_import.append(onnx.helper.make_opsetid("ai.spa", 1))
    path = written(model, tmp_path)
    with pytest.raises(AlreadyLoweredError, match="is lowered already"):
        lower(path, tmp_path / "out.onnx", config)


def test_a_missing_library_is_told(
    model: Path, tmp_path: Path, config: LowerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPA_ONNX_KERNELS", str(tmp_path / "nowhere.so"))
    with pytest.raises(KernelsMissingError, match=r"nowhere\.so does not exist"):
        lower(model, tmp_path / "out.onnx", config)


def test_a_report_is_json(model: Path) -> None:
    report = LowerReport((), (), (), 0.0, 1e-4, 1, {"x": (1, 2)}, 0, (10, 5))
    assert '"version": 1' in report.to_json()


@needs_kernels
def test_a_model_that_does_not_run_is_told(
    tmp_path: Path,
    config: LowerConfig,
    times: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = written(built(MODELS["perceptron"]), tmp_path)
    honest = stage.make_inputs

    def too_few(*arguments: Any) -> dict[str, Any]:
        return {name: x[..., :4] for name, x in honest(*arguments).items()}

    monkeypatch.setattr(stage, "make_inputs", too_few)
    with pytest.raises(OriginalRefusedError, match="cannot run it on the inputs"):
        lower(path, tmp_path / "out.onnx", LowerConfig(True, cache=config.cache), watch=WATCH)
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("ratio", [0.9, 1.1])
def test_the_faster_of_the_runtimes_own_layouts_is_what_counts(
    tmp_path: Path, ratio: float
) -> None:
    class Told(Stopwatch):
        def compare(self, opened: Any, goal: float | None = None) -> Comparison:
            with opened() as (first, second):
                assert len(first()) == len(second()) == 1
            return Comparison(np.ones(4), np.full(4, ratio))

    path = written(built(MODELS["1x1"]), tmp_path)
    contest = Contest(path, feeds_of(onnx.load(str(path))), 1, Path(), Told())
    assert contest.best_level() == ("extended" if ratio < 1 else "all")
