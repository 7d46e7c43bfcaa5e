"""This machine, on small models: what comes back is whole, whatever the clock says."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import spa_onnx
from spa_onnx import KeepFlops, MaxLatency, PruneConfig
from spa_onnx.algebra.size import Polynomial
from spa_onnx.errors import LatencyBudgetError, UsageError
from spa_onnx.execute.feeds import symbols_in
from spa_onnx.latency.features import node_features
from spa_onnx.pipeline import analyze
from tests.builders import GraphBuilder

DIGITS = Path(__file__).parents[3] / "models" / "digits" / "digits.onnx"


def wide(batch: int | str = 1) -> onnx.ModelProto:
    """Return a model whose time is that of its operations, so that half of it can be reached."""
    g = GraphBuilder()
    x = g.relu(g.conv(g.input("x", (batch, 3, 24, 24)), 128, 3))
    x = g.relu(g.conv(g.relu(g.conv(x, 128, 3)), 128, 3))
    return g.model(g.gemm(g.flatten(g.global_average_pool(x)), 10))


def test_a_model_gets_faster_and_the_report_says_how_much(tmp_path: Path) -> None:
    output = tmp_path / "pruned.onnx"
    config = PruneConfig(MaxLatency(share=0.5), importance="l1", align=8)
    report = spa_onnx.prune(wide(), config, output=output).report
    assert report.proof is not None
    assert report.after.operations < report.before.operations
    latency = report.latency
    assert latency is not None
    assert latency.target == pytest.approx(0.5 * latency.dense)
    assert latency.measured == pytest.approx(latency.ratio * latency.dense)
    assert latency.shapes == {"x": (1, 3, 24, 24)}
    assert min(latency.estimated, latency.spread, latency.runs, latency.rounds) > 0
    assert latency.threads == 1
    assert json.loads(report.to_json())["latency"]["runs"] == latency.runs
    ort.InferenceSession(str(output), providers=["CPUExecutionProvider"])


def test_digits_may_take_all_of_their_time() -> None:
    report = spa_onnx.prune(DIGITS, PruneConfig(MaxLatency(share=1.0))).report
    assert report.after == report.before
    assert report.latency is not None


def test_digits_are_proved_and_repaired_within_a_latency(tmp_path: Path) -> None:
    data = np.load(DIGITS.with_name("digits_test.npz"))
    images = next(data[name] for name in data.files if data[name].ndim == 4)[:64]
    config = PruneConfig.of_recipe(
        "latency", budget=MaxLatency(share=0.9), calibration=images.astype(np.float32), align=4
    )
    output = tmp_path / "pruned.onnx"
    report = spa_onnx.prune(DIGITS, config, output=output).report
    assert report.proof is not None
    assert report.repair is not None
    assert report.latency is not None
    assert report.after.operations < report.before.operations
    assert report.latency.shapes == {"image": (1, 1, 8, 8)}


def test_a_latency_out_of_reach_writes_nothing(tmp_path: Path) -> None:
    output = tmp_path / "pruned.onnx"
    with pytest.raises(LatencyBudgetError, match=r"cannot run in 1e-06 ms: the original takes"):
        spa_onnx.prune(DIGITS, PruneConfig(MaxLatency(1e-9)), output=output)
    assert not list(tmp_path.iterdir())


def test_dynamic_models_run_at_the_shapes_of_their_inputs() -> None:
    config = PruneConfig(MaxLatency(share=1.0), input_shapes={"x": (2, 3, 24, 24)})
    report = spa_onnx.prune(wide("n"), config).report
    assert report.latency is not None
    assert report.latency.shapes == {"x": (2, 3, 24, 24)}
    report = spa_onnx.prune(wide("n"), PruneConfig(MaxLatency(share=1.0))).report
    assert report.latency is not None
    assert report.latency.shapes == {"x": (1, 3, 24, 24)}


def test_other_budgets_are_not_timed() -> None:
    assert spa_onnx.prune(DIGITS, PruneConfig(KeepFlops(0.5))).report.latency is None


@pytest.mark.parametrize(
    "facts",
    [{}, {"seconds": 1.0, "share": 0.5}, {"seconds": 0.0}, {"seconds": float("nan")},
     {"seconds": float("inf")}, {"share": 0.0}, {"share": 1.5}, {"share": float("nan")}],
)  # fmt: skip
def test_nonsense_is_a_usage_error(facts: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        MaxLatency(**facts)
    with pytest.raises(UsageError, match="threads 0"):
        PruneConfig(threads=0)


def test_times_depend_on_operations_at_the_sizes_of_a_run() -> None:
    analysis = analyze(wide("n"))
    state = analysis.propagation
    feeds = {"x": np.zeros((5, 3, 24, 24), np.float32)}
    assert list(symbols_in(state, feeds).values()) == [5]
    features = node_features(state, [d.dim for d in analysis.dims], feeds)
    first = features.work[0]
    assert isinstance(first, Polynomial)
    assert [n for _, n in first.terms] == [5 * 24 * 24 * 3 * 9]
