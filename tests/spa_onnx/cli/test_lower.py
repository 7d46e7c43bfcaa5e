import json
from pathlib import Path

import onnx
import pytest

from tests.runtime_kernels.cuda_library import needs_emulator
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


@pytest.fixture
def no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPA_ONNX_CUDA_KERNELS", raising=False)
    monkeypatch.setenv("SPA_ONNX_KERNELS", str(tmp_path / "libspa_onnx_kernels.so"))


@pytest.mark.usefixtures("no_gpu")
def test_lowering_for_cuda_without_a_gpu(sparse: Path) -> None:
    target, report = sparse.with_name("lowered.onnx"), sparse.with_name("report.json")
    common = ("lower", sparse, "-o", target, "--target", "cuda")
    refused(3, "Add --precision float16", *common)
    refused(3, "or add --force", *common, "--precision", "float16")
    assert not target.exists()
    result = run(*common, "--precision", "float16", "--force", "--report", report)
    assert result.exit_code == 0, result.output
    assert "note     nothing was measured" in result.stdout
    assert "neither run nor compared" in result.stdout
    assert "check" not in result.stdout
    told = json.loads(report.read_text())
    assert (told["target"], told["device"], told["difference"]) == ("cuda", "", None)
    result = run("lower", target, "-o", sparse.with_name("back.onnx"), "--undo")
    assert result.exit_code == 0, result.output
    assert "not compared" in result.stdout
    assert leftovers(sparse.parent) == []


@needs_kernels
@needs_emulator
def test_lowering_for_cuda_and_back(sparse: Path) -> None:
    lowered, back = sparse.with_name("lowered.onnx"), sparse.with_name("back.onnx")
    options = ("--target", "cuda", "--precision", "float16", "--force")
    result = run("lower", sparse, "-o", lowered, *options)
    assert result.exit_code == 0, result.output
    assert "lowered  2 of 2 layers" in result.stdout
    assert "x as fast (emulated)" in result.stdout
    assert "of the outputs' scale from the same in float32" in result.stdout
    result = run("lower", lowered, "-o", back, "--undo")
    assert result.exit_code == 0, result.output
    assert "check" in result.stdout


def test_options_that_contradict_the_target(sparse: Path) -> None:
    target = sparse.with_name("lowered.onnx")
    refused(2, "goes with --target cuda", "lower", sparse, "-o", target, "--precision", "float16")
    refused(2, "the model tells", "lower", sparse, "-o", target, "--undo", "--target", "cuda")
    refused(2, "'gpu' is not one of", "lower", sparse, "-o", target, "--target", "gpu")
