"""The committed digits model is as good, and holds what, its README says."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest

Array = npt.NDArray[Any]

FOLDER = Path(__file__).parents[2] / "models" / "digits"
MODEL = FOLDER / "digits.onnx"
CLAIMED_ACCURACY = 99.8


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.load(MODEL)


@pytest.fixture(scope="module")
def images() -> dict[str, Array]:
    with np.load(FOLDER / "digits_test.npz") as arrays:
        return dict(arrays)


def logits(images: Array) -> Array:
    """Run the committed model."""
    session: Any = ort.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    output: Array = session.run(None, {"image": images})[0]
    return output


def evaluate(*arguments: Path) -> subprocess.CompletedProcess[str]:
    """Run evaluate.py as a user does."""
    return subprocess.run(
        [sys.executable, FOLDER / "evaluate.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def conv_groups(model: onnx.ModelProto) -> list[tuple[int, int]]:
    """Return (groups, input channels per group) of every Conv in order."""
    weights = {w.name: w.dims for w in model.graph.initializer}
    return [
        (
            next(a.i for a in node.attribute if a.name == "group"),
            weights[node.input[1]][1],
        )
        for node in model.graph.node
        if node.op_type == "Conv"
    ]


def test_model_passes_the_full_check_and_fits_two_megabytes(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert MODEL.stat().st_size < 2_000_000


def test_model_holds_the_operators_it_is_there_to_show(model: onnx.ModelProto) -> None:
    count = Counter(node.op_type for node in model.graph.node)
    assert count == {
        "Conv": 13,
        "BatchNormalization": 13,
        "Relu": 11,
        "Add": 4,
        "Concat": 1,
        "GlobalAveragePool": 1,
        "Flatten": 1,
        "Gemm": 1,
    }


def test_model_has_one_group_convolution_and_one_depthwise(model: onnx.ModelProto) -> None:
    grouped = [(groups, width) for groups, width in conv_groups(model) if groups > 1]
    assert grouped == [(4, 16), (64, 1)]


def test_one_residual_block_has_a_projection_shortcut(model: onnx.ModelProto) -> None:
    producer = {name: node for node in model.graph.node for name in node.output}
    added = [
        {producer[name].op_type for name in node.input}
        for node in model.graph.node
        if node.op_type == "Add"
    ]
    assert added.count({"BatchNormalization"}) == 1
    assert added.count({"BatchNormalization", "Relu"}) == 3


def test_batch_axis_is_free(model: onnx.ModelProto, images: dict[str, Array]) -> None:
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    three, one = logits(images["x"][:3]), logits(images["x"][2:3])
    np.testing.assert_allclose(three[2:], one, rtol=1e-4, atol=1e-4)


def test_held_out_images_are_scaled_and_cover_every_digit(images: dict[str, Array]) -> None:
    assert images["x"].shape == (500, 1, 8, 8)
    assert images["x"].dtype == np.float32
    assert (images["x"].min(), images["x"].max()) == (-1, 1)
    assert images["y"].dtype == np.int64
    assert set(images["y"]) == set(range(10))


def test_accuracy_is_the_one_claimed(images: dict[str, Array]) -> None:
    accuracy = 100 * float(np.mean(logits(images["x"]).argmax(axis=1) == images["y"]))
    assert accuracy == pytest.approx(CLAIMED_ACCURACY, abs=0.2)  # one image, if rounding differs
    assert f"{CLAIMED_ACCURACY:.1f} %" in (FOLDER / "README.md").read_text()


def test_evaluate_prints_one_row_per_model() -> None:
    result = evaluate(MODEL, MODEL)
    assert result.returncode == 0, result.stderr
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["model", "accuracy", "%", "parameters", "file", "kB"]
    assert [row.split()[0] for row in rows] == ["digits.onnx"] * 2
    assert float(rows[0].split()[1]) == pytest.approx(CLAIMED_ACCURACY, abs=0.2)
    assert rows[0].split()[2:] == ["121,962", "500.4"]


def test_evaluate_needs_no_training_framework() -> None:
    source = (FOLDER / "evaluate.py").read_text()
    assert "torch" not in source
    assert "sklearn" not in source


def test_evaluate_names_a_missing_file(tmp_path: Path) -> None:
    result = evaluate(tmp_path / "gone.onnx")
    assert result.returncode == 2
    assert "gone.onnx' does not exist" in result.stderr


def test_evaluate_names_a_file_that_is_no_model(tmp_path: Path) -> None:
    text = tmp_path / "notes.onnx"
    text.write_text("not a model")
    result = evaluate(text)
    assert result.returncode == 1
    assert f"{text} is not a valid ONNX model" in result.stderr
    assert "Traceback" not in result.stderr
