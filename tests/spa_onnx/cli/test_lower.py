import json
from pathlib import Path

import onnx
import pytest

from tests.runtime_kernels.kernel_library import needs_kernels
from tests.spa_onnx.cli.commands import leftovers, read_model, run, write_model
from tests.spa_onnx.cli.test_wrong_inputs import refused
from tests.spa_onnx.lower.models import MODELS, built


@pytest.fixture
def sparse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPA_ONNX_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "sparse.onnx"
    write_model(built(MODELS["perceptron"]), path)
    return path


@needs_kernels
def test_lowering_and_back(sparse: Path) -> None:
    lowered, back = sparse.with_name("lowered.onnx"), sparse.with_name("back.onnx")
    report = sparse.with_name("report.json")
    result = run("lower", sparse, "-o", lowered, "--force", "--report", report)
    assert result.exit_code == 0, result.output
    assert "lowered  2 of 2 layers" in result.stdout
    assert "x as fast (1 thread)" in result.stdout
    assert {n.op_type for n in read_model(lowered).graph.node} == {"SparseLinear"}
    told = json.loads(report.read_text())
    assert [layer["kind"] for layer in told["layers"]] == ["linear", "linear"]
    result = run("lower", lowered, "-o", back, "--undo")
    assert result.exit_code == 0, result.output
    assert "undone   2 operators" in result.stdout
    onnx.checker.check_model(read_model(back), full_check=True)
    assert leftovers(sparse.parent) == []


@needs_kernels
def test_the_report_can_be_printed(sparse: Path) -> None:
    target = sparse.with_name("lowered.onnx")
    result = run("lower", sparse, "-o", target, "--force", "--report", "-", "--threads", "2")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["threads"] == 2


@needs_kernels
def test_symbolic_inputs_get_numbers(sparse: Path) -> None:
    target = sparse.with_name("lowered.onnx")
    shape = ("--input-shape", "x:5,3,10")
    result = run("lower", sparse, "-o", target, "--force", "--report", "-", "--quiet", *shape)
    assert json.loads(result.stdout)["shapes"] == {"x": [5, 3, 10]}
    refused(2, "--input-shape", "lower", sparse, "-o", target, "--input-shape", "z:1")


def test_models_that_cannot_be_lowered(model: Path, output: Path) -> None:
    refused(3, "no product that can be lowered has 30% of zeros", "lower", model, "-o", output)
    refused(3, "nothing can be undone", "lower", model, "-o", output, "--undo")
    assert not output.exists()


def test_files_that_cannot_be_written(sparse: Path) -> None:
    refused(2, "is the input model", "lower", sparse, "-o", sparse)
    refused(2, "there is no folder", "lower", sparse, "-o", sparse.parent / "no" / "m.onnx")
    target = sparse.with_name("lowered.onnx")
    refused(2, "--report", "lower", sparse, "-o", target, "--report", sparse)
    refused(2, "--undo goes with neither", "lower", sparse, "-o", target, "--undo", "--force")


def test_a_missing_library(sparse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPA_ONNX_KERNELS", str(sparse.with_name("nowhere.so")))
    target = sparse.with_name("lowered.onnx")
    refused(3, "the native kernel library", "lower", sparse, "-o", target)
    assert not target.exists()


@needs_kernels
def test_undoing_needs_no_library(sparse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lowered, back = sparse.with_name("lowered.onnx"), sparse.with_name("back.onnx")
    assert run("lower", sparse, "-o", lowered, "--force", "--quiet").exit_code == 0
    monkeypatch.setenv("SPA_ONNX_KERNELS", str(sparse.with_name("nowhere.so")))
    result = run("lower", lowered, "-o", back, "--undo")
    assert result.exit_code == 0, result.output
    assert "not compared" in result.stdout
