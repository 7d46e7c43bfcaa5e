from pathlib import Path

import pytest

from tests.builders import GraphBuilder
from tests.spa_onnx.cli.commands import leftovers, run, write_model


def refused(code: int, text: str, *arguments: str | Path) -> None:
    """Check exit code, a part of the message, and that there is one message and no traceback."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert result.stderr.count("Error: ") == 1
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"no protobuf at all", "not a readable protobuf"),
        (b"\x08\x08", "no ONNX graph"),
    ],
)
@pytest.mark.parametrize("command", ["prune", "analyze"])
def test_files_that_are_no_models(
    tmp_path: Path, command: str, content: bytes | None, text: str
) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    arguments = ("-o", tmp_path / "pruned.onnx") if command == "prune" else ()
    refused(3, text, command, path, *arguments)


def test_a_truncated_model(model: Path, output: Path) -> None:
    model.write_bytes(model.read_bytes()[:-100])
    refused(3, "truncated", "prune", model, "-o", output)
    assert not output.exists()


def test_a_folder_as_model(tmp_path: Path) -> None:
    refused(3, "folder", "analyze", tmp_path)


def test_a_model_without_prunable_dims(model: Path, output: Path) -> None:
    refused(3, "nothing can be pruned", "prune", model, "-o", output, "--exclude", "*")


def test_a_budget_that_cannot_be_met(model: Path, output: Path) -> None:
    refused(5, "0.0001", "prune", model, "-o", output, "--keep-flops", "0.0001")
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--ratio", "0.5", "--keep-flops", "0.5"), "one budget"),
        (("--keep-params", "0.5", "--keep-flops", "0.5"), "one budget"),
        (("--ratio", "1"), "not in [0, 1)"),
        (("--ratio", "nan"), "not in [0, 1)"),
        (("--keep-flops", "0"), "not in (0, 1]"),
        (("--importance", "nope"), "spa-onnx passes"),
        (("--allocation", "nope"), "spa-onnx passes"),
        (("--align", "0"), "--align"),
        (("--seed", "-1"), "--seed"),
        (("--input-shape", "image"), "NAME:1,3,224,224"),
        (("--input-shape", "image:"), "NAME:1,3,224,224"),
        (("--input-shape", ":1,3"), "NAME:1,3,224,224"),
        (("--input-shape", "image:1,x,8,8"), "NAME:1,3,224,224"),
        (("--input-shape", "image:0,3,8,8"), "NAME:1,3,224,224"),
        (("--input-shape", "image:1,3,8,8", "--input-shape", "image:2,3,8,8"), "two shapes"),
        (("--input-shape", "image:1,3,8"), "4 axes"),
        (("--input-shape", "image:1,4,8,8"), "fixes the shape"),
        (("--input-shape", "picture:1,3,8,8"), "inputs are image"),
    ],
)
def test_options_that_contradict_the_model_or_each_other(
    model: Path, output: Path, options: tuple[str, ...], text: str
) -> None:
    refused(2, text, "prune", model, "-o", output, *options)
    assert not output.exists()


def test_an_input_name_may_hold_colons(tmp_path: Path) -> None:
    g = GraphBuilder()
    x = g.input("serving:0", ("batch", 6))
    path = tmp_path / "model.onnx"
    write_model(g.model(g.gemm(g.relu(g.gemm(x, 8)), 3)), path)
    arguments = ("prune", path, "-o", tmp_path / "out.onnx", "--input-shape", "serving:0:7,6")
    assert run(*arguments).exit_code == 0


def test_an_output_that_is_the_input(model: Path) -> None:
    before = model.read_bytes()
    link = model.with_name("link.onnx")
    link.symlink_to(model)
    for path in (model, link):
        refused(2, "is the input model", "prune", model, "-o", path)
    assert model.read_bytes() == before


@pytest.mark.parametrize("place", ["missing/out.onnx", ".", "/dev/null"])
def test_an_output_that_cannot_be_written(model: Path, place: str) -> None:
    refused(2, "--output", "prune", model, "-o", model.parent / place)


@pytest.mark.parametrize("option", ["--plan-out", "--json"])
def test_texts_over_a_model(model: Path, output: Path, option: str) -> None:
    before = model.read_bytes()
    refused(2, "is the model", "prune", model, "-o", output, option, model)
    refused(2, "is the output", "prune", model, "-o", output, option, output)
    refused(2, "is a folder", "prune", model, "-o", output, option, model.parent)
    refused(2, "no folder", "prune", model, "-o", output, option, model.parent / "no" / "a.json")
    assert model.read_bytes() == before
    assert not output.exists()


def test_plan_and_report_in_one_file(model: Path, output: Path) -> None:
    path = model.with_name("same.json")
    refused(
        2, "--plan-out", "prune", model, "-o", output, "--plan-out", path, "--json", path
    )  # fmt: skip
    assert leftovers(model.parent) == []


@pytest.mark.parametrize("arguments", [("nope",), ("prune",), ("prune", "m.onnx"), ("--nope",)])
def test_command_lines_that_cannot_be_parsed(arguments: tuple[str, ...]) -> None:
    refused(2, "Usage: spa-onnx", *arguments)
