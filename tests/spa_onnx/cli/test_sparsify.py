"""``spa-onnx sparsify`` as a user runs it."""

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from tests.spa_onnx.cli.commands import leftovers, read_model, run, write_outside

PLAIN = ("--selection", "magnitude", "--no-repair")


def zeros(path: Path) -> float:
    """Return the share of zeros in all weights."""
    tensors = [numpy_helper.to_array(t) for t in read_model(path).graph.initializer]
    weights = [w for w in tensors if w.ndim > 1]
    return sum(np.count_nonzero(w == 0) for w in weights) / sum(w.size for w in weights)


def test_half_of_the_weights_go_without_options(model: Path, output: Path) -> None:
    result = run("sparsify", model, "-o", output, "--samples", "16")
    assert result.exit_code == 0, result.output
    assert zeros(output) == pytest.approx(0.5, abs=0.02)
    assert "made up" in result.stdout
    assert "unstructured" in result.stdout
    assert not leftovers(output.parent)


def test_the_sparsity_is_the_share_that_goes(model: Path, output: Path) -> None:
    options = ("--sparsity", "0.75", "--pattern", "block:4x1", "--quiet", *PLAIN)
    result = run("sparsify", model, "-o", output, *options)
    assert result.exit_code == 0, result.output
    assert not result.output
    assert zeros(output) == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_the_report_is_written(model: Path, output: Path, option: str) -> None:
    report = output.with_name("report.json")
    result = run("sparsify", model, "-o", output, option, report, *PLAIN, "--pattern", "2:4")
    assert result.exit_code == 0, result.output
    content = json.loads(report.read_text())
    assert content["sparsity"] == pytest.approx(0.5)
    assert [layer["pattern"] for layer in content["layers"]] == ["2:4", "2:4"]
    assert "3 inputs are less than a block" in content["dense"][0]["reason"]
    assert content["settings"]["selection"] == "magnitude"


def test_a_printed_report_is_alone_on_standard_output(model: Path, output: Path) -> None:
    result = run("sparsify", model, "-o", output, "--json", "-", *PLAIN)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["zeros"] > 0
    assert "weights" in result.stderr


def test_weights_outside_stay_outside(model: Path, output: Path) -> None:
    source = model.with_name("outside.onnx")
    write_outside(read_model(model), source, "outside.bin")
    assert run("sparsify", source, "-o", output, *PLAIN).exit_code == 0
    assert Path(f"{output}.data").exists()
    assert not leftovers(output.parent)


def test_calibration_inputs_are_read(model: Path, output: Path) -> None:
    path = model.with_name("calib.npz")
    np.savez(path, image=np.random.default_rng(0).random((32, 3, 8, 8), np.float32))
    result = run("sparsify", model, "-o", output, "--calib", path, "--sparsity", "0.6")
    assert result.exit_code == 0, result.output
    assert "on 32 inputs" in result.stdout


@pytest.mark.parametrize(
    ("options", "code", "problem"),
    [
        (("--sparsity", "1"), 2, "is not above 0 and below 1"),
        (("--sparsity", "0"), 2, "is not above 0 and below 1"),
        (("--pattern", "2:4", "--sparsity", "0.6"), 2, "makes a sparsity of 0.5, not 0.6"),
        (("--pattern", "64x64"), 2, "no layer can become sparse"),
        (("--pattern", "diagonal"), 2, "is none of unstructured, block:PxQ and N:M"),
        (("--selection", "best"), 2, "no sparsity pass named 'best'"),
        (("--allocation", "best"), 2, "no allocation pass named 'best'"),
        (("--calib", "nowhere.npz"), 3, "no such file or folder"),
        (("--exclude", "*"), 2, "excluded"),
    ],
)
def test_wrong_options_are_told(
    model: Path, output: Path, options: tuple[str, ...], code: int, problem: str
) -> None:
    result = run("sparsify", model, "-o", output, *options)
    assert result.exit_code == code, result.output
    assert problem in " ".join(result.stderr.split())
    assert not output.exists()


def test_destinations_that_would_overwrite_are_refused(model: Path, output: Path) -> None:
    for option in ("--json", "-o"):
        given = {"-o": output, option: model}
        arguments = [str(a) for pair in given.items() for a in pair]
        assert run("sparsify", model, *arguments, *PLAIN).exit_code == 2


def test_auto_for_a_gpu_needs_one(
    model: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPA_ONNX_CUDA_KERNELS", "nowhere.so")
    result = run("sparsify", model, "-o", output, "--pattern", "auto", "--target", "cuda")
    assert result.exit_code == 3
    assert "measures layers on a GPU, and none can be measured here" in result.stderr
    assert "or name a pattern" in result.stderr
    assert not output.exists()


def test_patterns_without_a_kernel_for_gpus_are_refused(model: Path, output: Path) -> None:
    result = run("sparsify", model, "-o", output, "--pattern", "4x1", "--target", "cuda")
    assert result.exit_code == 2
    assert "no kernel for GPUs has pattern 4x1" in result.stderr
