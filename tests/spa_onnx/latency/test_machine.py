"""This machine, on small models: what comes back is whole, whatever the clock says."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import spa_onnx
from spa_onnx import KeepFlops, MaxLatency, PruneConfig
from spa_onnx.algebra.expression import IntArray
from spa_onnx.algebra.size import Polynomial
from spa_onnx.analyse.dims import Analysis
from spa_onnx.cost.polynomial import Cost, costs
from spa_onnx.errors import LatencyBudgetError, UsageError
from spa_onnx.execute.feeds import symbols_in
from spa_onnx.latency.features import node_features
from spa_onnx.latency.machine import LocalMachine
from spa_onnx.latency.measure import Comparison
from spa_onnx.latency.vector import vector_lanes
from spa_onnx.pipeline import analyze
from tests.builders import GraphBuilder

DIGITS = Path(__file__).parents[3] / "models" / "digits" / "digits.onnx"


def wide(batch: int | str = 1) -> onnx.ModelProto:
    """Return a model whose time is that of its operations, so that half of it can be reached."""
    g = GraphBuilder()
    x = g.relu(g.conv(g.input("x", (batch, 3, 24, 24)), 128, 3))
    x = g.relu(g.conv(g.relu(g.conv(x, 128, 3)), 128, 3))
    return g.model(g.gemm(g.flatten(g.global_average_pool(x)), 10))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a model take time for its operations alone, whatever the clock says."""

    def cost(analysis: Analysis) -> Cost:
        return costs(analysis.propagation, [d.dim for d in analysis.dims], {}).operations

    def operations(analysis: Analysis, widths: IntArray | None = None) -> float:
        sizes = np.array([d.dim.size for d in analysis.dims])
        return cost(analysis).at(sizes if widths is None else widths)

    def estimate(self: LocalMachine, _: Sequence[IntArray]) -> Cost:
        return cost(self.analysis)

    def runs(analysis: Analysis, left: float) -> Comparison:
        share = left / operations(analysis)
        return Comparison(np.full(9, 1e-3), np.full(9, 1e-3 * share))

    def compare(self: LocalMachine, widths: IntArray, goal: float | None = None) -> Comparison:
        return runs(self.analysis, operations(self.analysis, widths))

    def against(self: LocalMachine, result: Path | bytes) -> Comparison:
        model = result if isinstance(result, Path) else onnx.load_model_from_string(result)
        return runs(self.analysis, operations(analyze(model)))

    monkeypatch.setattr(LocalMachine, "estimate", estimate)
    monkeypatch.setattr(LocalMachine, "compare", compare)
    monkeypatch.setattr(LocalMachine, "against", against)


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize("asked", [{"align": 1}, {}])
def test_a_latency_is_met_in_steps_of_what_was_asked_or_of_the_recipe(
    asked: dict[str, int],
) -> None:
    config = PruneConfig.of_recipe(
        "latency",
        budget=MaxLatency(share=0.5),
        importance="l1",
        allocation="global",
        compensation=None,
        **asked,
    )
    step = asked.get("align", vector_lanes())
    assert config.align == step
    result = spa_onnx.prune(wide(), config)
    assert result.report.latency is not None
    assert 0.5 - 0.005 * step <= result.report.latency.ratio <= 0.5
    widths = [t.dims[0] for t in result.model.graph.initializer if len(t.dims) == 4]
    assert len(widths) == 3
    assert all(width % step == 0 for width in widths)


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
    report = spa_onnx.prune(DIGITS, PruneConfig(MaxLatency(share=1.0), importance="l1")).report
    assert report.after == report.before
    assert report.latency is not None


@pytest.mark.usefixtures("counted")
def test_digits_are_proved_and_repaired_within_a_latency(tmp_path: Path) -> None:
    data = np.load(DIGITS.with_name("digits_test.npz"))
    images = next(data[name] for name in data.files if data[name].ndim == 4)[:64]
    config = PruneConfig.of_recipe(
        "latency", budget=MaxLatency(share=0.5), calibration=images.astype(np.float32), align=4
    )
    output = tmp_path / "pruned.onnx"
    report = spa_onnx.prune(DIGITS, config, output=output).report
    assert report.proof is not None
    assert report.repair is not None
    assert report.latency is not None
    assert 0.4 < report.latency.ratio <= 0.5  # widths go in steps of four
    assert report.after.operations == pytest.approx(0.5 * report.before.operations, rel=0.2)
    assert report.latency.shapes == {"image": (1, 1, 8, 8)}


def test_a_latency_out_of_reach_writes_nothing(tmp_path: Path) -> None:
    output = tmp_path / "pruned.onnx"
    with pytest.raises(LatencyBudgetError, match=r"cannot run in 1e-06 ms: the original takes"):
        spa_onnx.prune(DIGITS, PruneConfig(MaxLatency(1e-9), importance="l1"), output=output)
    assert not list(tmp_path.iterdir())


def test_dynamic_models_run_at_the_shapes_of_their_inputs() -> None:
    config = PruneConfig(MaxLatency(share=1.0), importance="l1", input_shapes={"x": (2, 3, 24, 24)})
    report = spa_onnx.prune(wide("n"), config).report
    assert report.latency is not None
    assert report.latency.shapes == {"x": (2, 3, 24, 24)}
    report = spa_onnx.prune(wide("n"), PruneConfig(MaxLatency(share=1.0), importance="l1")).report
    assert report.latency is not None
    assert report.latency.shapes == {"x": (1, 3, 24, 24)}


def test_other_budgets_are_not_timed() -> None:
    assert (
        spa_onnx.prune(DIGITS, PruneConfig(KeepFlops(0.5), importance="l1")).report.latency is None
    )


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
