"""Whole runs: zeros where they were asked for, the same graph, outputs nearer after a repair."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import spa_onnx
from spa_onnx import SparsifyConfig, SparsifyResult, sparsify
from spa_onnx.errors import CalibrationError, ProofFailedError, SamePathError, UsageError
from spa_onnx.layers.layer import Layer
from spa_onnx.sparse.pattern import Pattern, parse_pattern
from tests.builders import GraphBuilder
from tests.onnx_runs import random_feeds, run
from tests.spa_onnx.calibrate.listed import Listed

DIGITS = Path(__file__).parents[3] / "models" / "digits" / "digits.onnx"


def convolutions(width: int = 16) -> onnx.ModelProto:
    """Return a residual network with a depthwise layer, a grouped one and a classifier."""
    g = GraphBuilder(opset=17)
    a = g.relu(g.conv(g.input("x", ("N", 3, 8, 8)), width, 3))
    b = g.conv(g.relu(g.conv(a, width, 3)), width, 3)
    c = g.relu(g.add(a, b))
    d = g.relu(g.conv(g.conv(c, width, 3, groups=width), width, 3, groups=2))
    return g.model(g.gemm(g.flatten(g.global_average_pool(d)), 5))


def inputs(model: onnx.ModelProto, count: int = 6, items: int = 8) -> Listed:
    """Return batches of random inputs."""
    return Listed([dict(random_feeds(model, k, {"N": items})) for k in range(count)])


def weights(model: onnx.ModelProto) -> dict[str, Any]:
    """Return the initializers with more than one axis."""
    tensors = (t for t in model.graph.initializer if len(t.dims) > 1)
    return {t.name: numpy_helper.to_array(t) for t in tensors}


def made(model: onnx.ModelProto, **options: Any) -> SparsifyResult:
    """Sparsify with random calibration inputs."""
    given: dict[str, Any] = {"calibration": inputs(model), "allocation": "uniform", **options}
    if options.get("pattern") == "2:4":
        del given["allocation"]
    return sparsify(model, SparsifyConfig(**given))


@pytest.mark.parametrize("repair", [True, False])
@pytest.mark.parametrize("selection", ["admm", "obs", "wanda", "magnitude"])
@pytest.mark.parametrize("pattern", ["unstructured", "block:4x1", "2:4"])
def test_weights_get_zeros_and_nothing_else_changes(
    pattern: str, selection: str, repair: bool
) -> None:
    model = convolutions()
    result = made(model, pattern=pattern, selection=selection, repair=repair)
    before, after = weights(model), weights(result.model)
    assert before.keys() == after.keys()
    named = {layer.tensor: layer for layer in result.report.layers}
    for name, old in before.items():
        zeros = np.count_nonzero(after[name] == 0)
        if name in named:
            assert zeros == named[name].zeros
            assert zeros / old.size == pytest.approx(0.5, abs=0.06)
        else:
            assert (after[name] == old).all()
        if not repair:
            stays = after[name] != 0
            assert np.allclose(after[name][stays], old[stays], rtol=1e-6)
    nodes = [n.op_type for n in model.graph.node]
    assert [n.op_type for n in result.model.graph.node] == nodes
    feeds = random_feeds(model, 9, {"N": 3})
    assert run(result.model, feeds)[0].shape == (3, 5)


def perceptron() -> onnx.ModelProto:
    """Return layers whose sizes blocks for tensor cores do not divide."""
    g = GraphBuilder(opset=17)
    first = g.relu(g.linear(g.input("x", ("N", 5, 70)), 150))
    second = g.linear(g.relu(g.linear(first, 90)), 150)
    return g.model(g.linear(g.add(first, second), 7))


@pytest.mark.parametrize("repair", [True, False])
@pytest.mark.parametrize("selection", ["admm", "obs", "wanda", "magnitude"])
@pytest.mark.parametrize("pattern", ["16x16", "block:32x32", "64x64", "64x16", "16x64"])
def test_blocks_for_tensor_cores_stay_or_go_whole(
    pattern: str, selection: str, repair: bool
) -> None:
    result = made(perceptron(), pattern=pattern, selection=selection, repair=repair, sparsity=0.6)
    chosen = parse_pattern(pattern)
    after = weights(result.model)
    assert [layer.weights for layer in result.report.layers] == [10500, 13500, 13500]
    for layer in result.report.layers:
        stays = after[layer.tensor].T != 0
        for row in range(0, len(stays), chosen.outputs):
            for column in range(0, stays.shape[1], chosen.inputs):
                block = stays[row : row + chosen.outputs, column : column + chosen.inputs]
                assert block.all() or not block.any()
        # no more stays than asked for: a block may be too much, with obs in each of its sweeps
        sweeps, block = -(-stays.shape[1] // 128), chosen.outputs * chosen.inputs / stays.size
        assert 0.6 - 0.01 <= layer.sparsity <= 0.6 + sweeps * block
    assert any("less than a block" in left.reason for left in result.report.dense)


def test_depthwise_layers_and_those_too_small_for_a_block_stay_dense() -> None:
    report = made(convolutions(), pattern="16x1", selection="magnitude", repair=False).report
    reasons = [left.reason for left in report.dense]
    assert "depthwise" in reasons
    assert "5 outputs and 16 inputs are less than a block of the pattern" in reasons
    assert "8 outputs and 8 inputs are less than a block of the pattern" in reasons
    assert len(report.layers) == 3


def test_repair_brings_outputs_nearer() -> None:
    model = convolutions()
    batches = inputs(model, 12, 16)
    options: dict[str, Any] = {"sparsity": 0.6, "allocation": "uniform", "calibration": batches}
    plain = sparsify(model, SparsifyConfig(selection="wanda", repair=False, **options)).report
    repaired = sparsify(model, SparsifyConfig(selection="wanda", **options)).report
    best = sparsify(model, SparsifyConfig(**options)).report
    distances = [r.distance or 0.0 for r in (plain, repaired, best)]
    assert 0 < distances[2] < distances[1] < 0.5 * distances[0]


def test_repaired_weights_are_least_squares_of_one_layer() -> None:
    g = GraphBuilder(opset=17)
    model = g.model(g.linear(g.input("x", ("N", 12)), 6))
    batches = inputs(model, 20, 32)
    sparse = made(model, calibration=batches, sparsity=0.5, selection="magnitude").model
    (name, old), (_, new) = weights(model).popitem(), weights(sparse).popitem()
    x = np.concatenate([b["x"] for b in batches]).astype(np.float64)
    x -= x.mean(axis=0)
    for k in range(6):
        free = new[:, k] != 0
        exact, *_ = np.linalg.lstsq(x[:, free], x @ old[:, k].astype(np.float64), rcond=None)
        assert np.allclose(new[free, k], exact, atol=0.02), name


def test_a_layer_without_a_bias_gets_none() -> None:
    g = GraphBuilder(opset=17)
    x = g.relu(g.linear(g.input("x", ("N", 4, 12)), 16, bias=False))
    model = g.model(g.linear(x, 6, bias=False))
    result = made(model)
    assert [n.op_type for n in result.model.graph.node] == ["MatMul", "Relu", "MatMul"]
    assert len(result.model.graph.initializer) == 2


def test_nothing_runs_for_magnitudes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spa_onnx.sparse.run.make_engine", None)
    config = SparsifyConfig(selection="magnitude", repair=False, sparsity=0.25)
    report = sparsify(convolutions(), config).report
    assert report.distance is None
    assert report.sparsity == pytest.approx(0.25, abs=0.01)


def test_without_inputs_some_are_made_up() -> None:
    report = sparsify(convolutions(), SparsifyConfig(sparsity=0.5, samples=16)).report
    assert report.origin == "made up"
    assert report.settings["allocation"] == "rate-distortion"
    assert report.sparsity == pytest.approx(0.5, abs=0.01)
    assert report.sparsity >= 0.5 - 1e-3


@pytest.mark.parametrize("allocation", ["uniform", "global", "lamp", "rate-distortion"])
@pytest.mark.parametrize("weigh", ["parameters", "operations"])
def test_allocations_meet_the_sparsity(
    allocation: str, weigh: Literal["parameters", "operations"]
) -> None:
    model = convolutions()
    options: dict[str, Any] = {"selection": "magnitude", "repair": False, "samples": 16}
    given = SparsifyConfig(0.7, allocation=allocation, weigh=weigh, **options)
    report = sparsify(model, given).report
    assert max(layer.sparsity for layer in report.layers) < 1
    if weigh == "parameters":
        assert report.sparsity == pytest.approx(0.7, abs=0.01)
    if allocation not in ("uniform", "lamp"):  # scales play no role for these
        assert len({round(layer.sparsity, 2) for layer in report.layers}) > 1


def test_exclusions_are_left_dense() -> None:
    model = convolutions()
    name = next(n.name or n.output[0] for n in model.graph.node if n.op_type == "Gemm")
    report = made(model, exclude=(name,), selection="magnitude", repair=False).report
    assert [left.node for left in report.dense if left.reason == "excluded"] == [f"Gemm '{name}'"]


def test_pruned_models_become_sparse(tmp_path: Path) -> None:
    path = tmp_path / "pruned.onnx"
    config = spa_onnx.PruneConfig(spa_onnx.Ratio(0.25), importance="l2")
    spa_onnx.prune(convolutions(32), config, output=path)
    report = sparsify(
        path, SparsifyConfig(0.5, "4x1", samples=16), output=tmp_path / "s.onnx"
    ).report
    assert report.sparsity == pytest.approx(0.5, abs=0.02)
    assert (tmp_path / "s.onnx").exists()


@pytest.mark.parametrize("pattern", ["block:4x1", "1x4", "2:4"])
def test_another_order_of_channels_changes_nothing_but_masks(pattern: str) -> None:
    model = convolutions()
    moved = made(model, pattern=pattern, rearrange=True).report
    assert moved.rearranged >= 1  # its proof passed
    assert moved.sparsity == pytest.approx(0.5, abs=0.05)


def test_an_order_that_changes_outputs_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object) -> None:
        raise ProofFailedError("y", 0.5, 1e-4, "Gemm")

    monkeypatch.setattr("spa_onnx.sparse.run.prove", fails)
    report = made(convolutions(), pattern="block:4x1", rearrange=True).report
    assert report.rearranged == 0
    assert any("channels stay in their order" in note for note in report.notes)


def test_auto_takes_a_pattern_for_each_layer() -> None:
    g = GraphBuilder(opset=17)
    x = g.relu(g.linear(g.input("x", (128, 64)), 64))
    model = g.model(g.linear(g.relu(g.linear(x, 64)), 6))
    options: dict[str, Any] = {"selection": "magnitude", "repair": False, "samples": 128}
    report = sparsify(model, SparsifyConfig(0.8, "auto", **options)).report
    assert {layer.pattern for layer in report.layers} <= {
        "unstructured",
        "4x1",
        "8x1",
        "16x1",
        "32x1",
    }
    assert report.sparsity >= 0.8 - 0.01
    with pytest.raises(UsageError, match=r"no pattern is faster than dense at a sparsity of 0\.05"):
        sparsify(model, SparsifyConfig(0.05, "auto", **options))


def test_auto_goes_by_the_speed_that_it_is_given() -> None:
    def time(_layer: Layer, pattern: Pattern, sparsity: float) -> float | None:
        return 1 - sparsity if str(pattern) == "8x1" else None

    options: dict[str, Any] = {"selection": "magnitude", "repair": False}
    config = SparsifyConfig(0.6, "auto", speed=time, **options)
    report = sparsify(convolutions(), config).report
    assert {layer.pattern for layer in report.layers} == {"8x1"}
    assert report.sparsity == pytest.approx(0.6, abs=0.05)


def test_models_without_layers_are_refused() -> None:
    g = GraphBuilder(opset=17)
    with pytest.raises(UsageError, match="holds no weight matrices"):
        sparsify(g.model(g.relu(g.input("x", (1, 4)))))
    with pytest.raises(UsageError, match=r"no layer can become sparse.*less than a block"):
        sparsify(convolutions(), SparsifyConfig(pattern="64x1"))


def test_the_input_is_not_overwritten() -> None:
    with pytest.raises(SamePathError):
        sparsify(DIGITS, output=DIGITS)


def test_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CalibrationError, match="calibration input"):
        sparsify(convolutions(), SparsifyConfig(calibration={"x": np.zeros((4, 5, 8, 8), "f4")}))
