"""``spa-onnx prune --calib``: what a user sees."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spa_onnx.cli import terminal
from spa_onnx.stages import PartObserver, Stages
from tests.spa_onnx.calibrate.small_models import token_model
from tests.spa_onnx.cli.commands import read_model, run, write_model

PASSES = ("--importance", "obspa", "--compensation", "ridge")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixteen pictures."""
    random = np.random.default_rng(0)
    path = tmp_path / "images"
    path.mkdir()
    for k in range(16):
        pixels = random.integers(0, 256, (10, 12, 3), np.uint8)
        Image.fromarray(pixels).save(path / f"{k}.png")
    return path


def report_of(*arguments: str | Path) -> dict[str, Any]:
    result = run("prune", *arguments, "--json", "-", "--quiet")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def refused(code: int, text: str, *arguments: str | Path) -> None:
    result = run("prune", *arguments)
    assert result.exit_code == code, result.output
    assert text in result.output
    assert "Traceback" not in result.output


def test_a_folder_of_images_repairs_a_model(model: Path, output: Path, folder: Path) -> None:
    options = ("--calib", folder, "--preprocess", "imagenet", *PASSES)
    report = report_of(model, "-o", output, *options)
    assert report["repair"]["samples"] == 16
    assert report["repair"]["after"] < report["repair"]["before"]
    assert report["settings"]["compensation"] == "ridge"
    plain = output.with_name("plain.onnx")
    report_of(model, "-o", plain, "--importance", "obspa", *options[:4])
    weights = [read_model(p).graph.initializer[0].dims for p in (output, plain)]
    assert list(weights[0]) == list(weights[1])  # a repair leaves shapes alone


def test_samples_and_a_description_are_options(model: Path, output: Path, folder: Path) -> None:
    steps = folder.with_name("steps.toml")
    steps.write_text('mean = [0.5, 0.4, 0.3]\nresize = "stretch"\n')
    options = ("--calib", folder, "--samples", "7", "--preprocess", steps, *PASSES)
    report = report_of(model, "-o", output, *options)
    assert report["repair"]["samples"] == 7
    assert any("only 7 calibration items" in note for note in report["notes"])


def test_inputs_that_no_pass_needs_are_told_of(model: Path, output: Path, folder: Path) -> None:
    options = ("--calib", folder, "--importance", "l2")
    notes = report_of(model, "-o", output, *options)["notes"]
    assert any("the calibration inputs were not used" in note for note in notes)


def test_lines_of_token_ids_repair_a_model(tmp_path: Path) -> None:
    model, lines = tmp_path / "model.onnx", tmp_path / "texts.jsonl"
    write_model(token_model(), model)
    random = np.random.default_rng(0)
    texts = [random.integers(0, 50, random.integers(2, 9)).tolist() for _ in range(70)]
    lines.write_text("".join(f"{t}\n" for t in texts))
    report = report_of(model, "-o", tmp_path / "out.onnx", "--calib", lines, *PASSES)
    assert report["repair"]["samples"] == 70
    assert report["repair"]["after"] < report["repair"]["before"]


def test_the_same_inputs_give_the_same_file(model: Path, output: Path, folder: Path) -> None:
    again = output.with_name("again.onnx")
    for path in (output, again):
        report_of(model, "-o", path, "--calib", folder, *PASSES)
    assert output.read_bytes() == again.read_bytes()


def test_mistakes_end_with_one_line(model: Path, output: Path, folder: Path) -> None:
    name = output.with_name("text.txt")
    name.write_text("")
    base = (model, "-o", output, *PASSES)
    refused(3, "text.txt: '.txt' is no form of calibration inputs", *base, "--calib", name)
    refused(3, "no such file or folder", *base, "--calib", folder / "no")
    refused(2, "describes calibration inputs", *base, "--preprocess", "imagenet")
    refused(2, "steps.toml: cannot be read", *base, "--calib", folder, "--preprocess", "steps.toml")
    refused(2, "is not in the range x>=1", *base, "--calib", folder, "--samples", "0")
    refused(2, "no compensation pass named 'x'", *base, "--calib", folder, "--compensation", "x")
    assert not output.exists()


def test_inputs_are_never_overwritten(model: Path, output: Path) -> None:
    array = output.with_name("a.npy")
    np.save(array, np.random.default_rng(0).standard_normal((9, 3, 8, 8), np.float32))
    before = array.read_bytes()
    refused(2, "the file of --calib", model, "-o", array, "--calib", array, *PASSES)
    refused(
        2,
        "the file of --calib",
        model,
        "-o",
        output,
        "--calib",
        array,
        "--plan-out",
        array,
        *PASSES,
    )
    assert array.read_bytes() == before


def test_a_model_that_cannot_run_the_inputs_says_so(tmp_path: Path) -> None:
    model, lines = tmp_path / "model.onnx", tmp_path / "texts.jsonl"
    made = token_model("ids", length=4)
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "length"  # a lie
    node = made.graph.node.add(op_type="Reshape", name="rigid", input=["ids", "four"])
    node.output.append("rigid_ids")
    four = made.graph.initializer.add(name="four", data_type=7, dims=[2])
    four.int64_data.extend([-1, 4])
    made.graph.output.add(name="rigid_ids").type.tensor_type.elem_type = 7
    write_model(made, model)
    lines.write_text("[1, 2, 3]\n[4, 5]\n")
    refused(
        3, "the model does not run on calibration inputs of 'ids' [2, 3]",
        model, "-o", tmp_path / "out.onnx", "--calib", lines, *PASSES,
    )  # fmt: skip


def test_an_observer_may_hear_how_far_a_stage_is() -> None:
    heard: list[object] = []

    class Listener:
        def __call__(self, stage: str) -> None:
            heard.append(stage)

        def part(self, done: int, total: int) -> None:
            heard.append((done, total))

    for observer in (Listener(), lambda stage: heard.append(stage)):
        stages = Stages(observer)
        with stages("calibrate"):
            stages.part(1, 2)
    assert heard == ["calibrate", (1, 2), "calibrate"]


def test_the_progress_line_says_how_far_a_stage_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.sys.stderr, "isatty", lambda: True, raising=False)
    with terminal.progress() as observer:
        assert isinstance(observer, PartObserver)
        spinner: Any = observer
        spinner("calibrate")
        spinner.part(1024, 2048)
        assert spinner.bar.tasks[0].description == "calibrate 1,024 of 2,048"
