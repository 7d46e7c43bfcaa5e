"""Runs whose user named no passes, and what their reports compare with."""

import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx.defaults import with_passes
from spa_onnx.errors import RecipeError
from spa_onnx.report.make import distance_notes
from spa_onnx.report.report import RepairReport
from tests.builders import GraphBuilder
from tests.onnx_runs import run
from tests.spa_onnx.untracked import shaped


def network() -> onnx.ModelProto:
    g = GraphBuilder(opset=13)
    x = g.relu(g.conv(g.input("x", ("N", 3, 8, 8)), 16, 3))
    x = g.relu(g.conv(x, 16, 3))
    return g.model(g.gemm(g.flatten(g.global_average_pool(x)), 4))


def refusing() -> onnx.ModelProto:
    """A model that no input runs on: its last Reshape asks for other numbers of elements."""
    g = GraphBuilder(opset=18)
    x = g.relu(g.conv(g.input("x", (2, 3, 8, 8)), 8, 3))
    y = g.conv(x, 8, 3)
    wrong = g.node("Reshape", [y, g.constant(np.array([7, 11], np.int64))])
    return g.model(wrong)


def test_python_takes_the_same_recipe_as_the_command_line() -> None:
    report = spa_onnx.prune(network(), spa_onnx.PruneConfig(spa_onnx.KeepFlops(0.6))).report
    assert "Without any inputs" in report.settings["recipe"]
    assert report.repair is not None
    assert report.repair.layers > 0


def test_a_model_that_does_not_run_is_pruned_by_its_weights_and_the_report_says_so() -> None:
    report = spa_onnx.prune(refusing(), spa_onnx.PruneConfig(verify=False)).report
    assert report.repair is None
    assert report.settings["importance"] == "L2()"
    assert "nothing is repaired" in report.settings["recipe"]
    assert any("nothing was measured or repaired" in note for note in report.notes)


def test_a_recipe_that_was_asked_for_is_not_replaced() -> None:
    config = spa_onnx.PruneConfig.of_recipe("data-free", verify=False)
    with pytest.raises(spa_onnx.CalibrationError):
        spa_onnx.prune(refusing(), config)


def test_inputs_that_were_given_and_do_not_fit_are_an_error() -> None:
    config = spa_onnx.PruneConfig(calibration=np.ones((4, 5), np.float32))
    with pytest.raises(spa_onnx.CalibrationError):
        spa_onnx.prune(network(), config)


def test_a_run_without_repair_compares_its_outputs_too() -> None:
    model = network()
    config = spa_onnx.PruneConfig(spa_onnx.KeepFlops(0.5), "obspa")
    report = spa_onnx.prune(model, config).report
    assert report.repair is not None
    assert report.repair.layers == 0
    assert report.repair.before == report.repair.after > 0
    assert report.repair.plain is not None
    assert report.repair.plain > 0


def test_plain_l2_is_measured_as_a_run_of_its_own_would_be() -> None:
    model = network()
    inputs = np.random.default_rng(0).normal(size=(64, 3, 8, 8)).astype(np.float32)
    budget = spa_onnx.KeepFlops(0.6)
    found = spa_onnx.prune(
        model, spa_onnx.PruneConfig(budget, "random", compensation="ridge", calibration=inputs)
    ).report.repair
    plain = spa_onnx.prune(model, spa_onnx.PruneConfig(budget, "l2")).model
    old, new = (run(m, {"x": inputs})[0].astype(np.float64) for m in (model, plain))
    expected = np.square(new - old).sum() / np.square(old - old.mean(axis=0)).sum()
    assert found is not None
    assert found.plain == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("after", "plain", "said"),
    [
        (0.1, 0.2, []),
        (0.1, None, []),
        (0.2, 0.1, ["0.1 against 0.2"]),
        (1.5, 2.0, ["than constants"]),
        (3.0, 2.0, ["2 against 3", "than constants"]),
    ],
)
def test_a_result_that_is_worse_than_plain_l2_is_told_of(
    after: float, plain: float | None, said: list[str]
) -> None:
    notes = distance_notes(RepairReport(3, 64, "made up", 4.0, after, plain=plain))
    assert len(notes) == len(said)
    assert all(text in note for text, note in zip(said, notes, strict=True))


def test_the_calibrated_recipe_wants_inputs() -> None:
    with pytest.raises(RecipeError, match="needs calibration inputs"):
        spa_onnx.PruneConfig.of_recipe("calibrated")


def test_a_budget_in_latency_takes_the_recipe_for_it_with_its_alignment() -> None:
    config = with_passes(spa_onnx.PruneConfig(spa_onnx.MaxLatency(share=0.5)))
    assert 'align = "vector"' in config.recipe
    assert (config.align or 1) > 1
    given = with_passes(spa_onnx.PruneConfig(spa_onnx.MaxLatency(share=0.5), align=2))
    assert given.align == 2


def test_arrays_survive_the_choice_of_a_recipe() -> None:
    inputs = np.ones((4, 3, 8, 8), np.float32)
    assert with_passes(spa_onnx.PruneConfig(calibration=inputs)).calibration is inputs


def dense_layers() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.relu(g.gemm(g.input("x", ("N", 6)), 48))
    return g.model(g.gemm(g.relu(g.gemm(x, 32)), 4))


@pytest.mark.parametrize(("count", "thin"), [(12, True), (96, False)])
def test_the_report_says_how_many_inputs_would_be_enough(count: int, thin: bool) -> None:
    inputs = np.random.default_rng(0).standard_normal((count, 6)).astype(np.float32)
    config = spa_onnx.PruneConfig(spa_onnx.KeepFlops(0.5), calibration=inputs)
    report = spa_onnx.prune(dense_layers(), config).report
    notes = [note for note in report.notes if "fewer samples" in note]
    assert len(notes) == thin
    if thin:
        assert notes[0].startswith("2 of 3 layers")
        assert "48 inputs would be enough" in notes[0]


def test_models_of_old_versions_are_run_with_other_weights_too() -> None:
    model = network()
    known = {entry.name for entry in model.graph.input}
    for tensor in model.graph.initializer:
        if tensor.name not in known:
            kind = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            model.graph.input.append(kind)
    model.ir_version = 3
    del model.opset_import[:]
    model.opset_import.add(version=8)
    report = spa_onnx.prune(model, spa_onnx.PruneConfig(spa_onnx.KeepFlops(0.6))).report
    assert report.repair is not None
    assert report.repair.layers > 0


def test_a_first_layer_may_turn_its_weight() -> None:
    g = GraphBuilder(opset=17)
    values = g.random.standard_normal((3, 3, 3, 8)).astype(np.float32)
    w = g.transpose(g.constant(values), 3, 2, 0, 1)
    y = g.node("Conv", [g.input("x", ("N", 3, 16, 16)), w], pads=[1, 1, 1, 1])
    x = g.relu(g.conv(g.relu(g.batch_norm(shaped(g, y, ("N", 8, 16, 16)))), 8, 3))
    model = g.model(g.gemm(g.flatten(g.global_average_pool(x)), 4))
    report = spa_onnx.prune(model, spa_onnx.PruneConfig(spa_onnx.KeepFlops(0.6))).report
    assert report.repair is not None
