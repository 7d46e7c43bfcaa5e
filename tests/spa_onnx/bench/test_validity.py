"""Files are judged by running tools that know nothing of pruning."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from spa_onnx.bench.validity import Feeds, check_original, check_result
from spa_onnx.pipeline import analyze
from tests.builders import GraphBuilder


@pytest.fixture
def original(tmp_path: Path) -> Path:
    g = GraphBuilder()
    x = g.relu(g.gemm(g.input("x", ("n", 6)), 8))
    return save(g.model(g.gemm(x, 3)), tmp_path / "original.onnx")


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def changed(original: Path) -> tuple[onnx.ModelProto, Path]:
    return onnx.load(original), original.with_name("changed.onnx")


def feeds(original: Path) -> Feeds:
    check, found = check_original(original, analyze(original).propagation)
    assert check.runs is True
    assert found is not None
    return found


def test_a_good_file_loads_and_runs(original: Path) -> None:
    check = check_result(original, original, feeds(original))
    assert (check.loads, check.runs, check.problem) == (True, True, "")


def test_without_inputs_a_file_is_only_opened(original: Path) -> None:
    assert check_result(original, original, None).runs is None
    check, found = check_original(original, None)
    assert (check.loads, check.runs, found) == (True, None, None)


def test_the_checker_is_asked(original: Path) -> None:
    model, path = changed(original)
    model.graph.node[0].input[0] = "nothing"
    check = check_result(save(model, path), original, None)
    assert not check.loads
    assert check.problem.startswith("checker: ")


def test_what_the_original_does_not_pass_says_nothing(original: Path) -> None:
    model, _ = changed(original)
    wrong = helper.make_tensor_value_info(model.graph.node[0].output[0], 1, ["n", 9])
    model.graph.value_info.append(wrong)
    path = save(model, original.with_name("wrong.onnx"))
    assert "checker" in check_result(path, original, None).problem
    assert check_result(path, path, None).loads


def test_a_weight_of_another_shape_is_found_by_the_run(original: Path) -> None:
    model, path = changed(original)
    last = next(t for t in model.graph.initializer if list(t.dims) == [3, 8])
    last.CopyFrom(onnx.numpy_helper.from_array(np.ones((3, 7), "f4"), last.name))
    given = feeds(original)
    check = check_result(save(model, path), original, given)
    assert not check.loads or check.runs is False
    assert check.problem


def test_runtime_refuses_an_operator_that_it_does_not_know(original: Path) -> None:
    model, path = changed(original)
    model.graph.node[1].domain = "nowhere"
    model.opset_import.append(helper.make_opsetid("nowhere", 1))
    save(model, path)
    check, found = check_original(path, None)
    assert not check.loads
    assert found is None
    assert "nowhere" in check.problem
    assert not check_result(path, original, None).loads


def test_an_original_that_runs_at_no_size_is_told_apart(tmp_path: Path) -> None:
    g = GraphBuilder()
    x = g.input("x", (2, 3))
    index = g.constant([7], "index")
    y = g.gemm(g.node("Gather", [g.relu(x), index], axis=0), 2)
    model = g.model(y, check=False)
    path = save(model, tmp_path / "m.onnx")
    state = analyze(path).propagation
    check, found = check_original(path, state)
    assert (check.loads, check.runs, found) == (True, False, None)
    assert "Gather" in check.problem
