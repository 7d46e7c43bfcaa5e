import json
from pathlib import Path

from tests.spa_onnx.cli.commands import run

QUICK = ("--rounds", "3", "--warm-up", "1")


def test_a_table_has_a_line_for_every_model(model: Path) -> None:
    result = run("bench", "latency", model, model, *QUICK)
    assert result.exit_code == 0, result.output
    assert result.stdout.count(str(model)) == 2
    assert "x by CPU" in result.stdout
    assert "0 (0 of scale)" in result.stdout


def test_the_processor_time_of_several_threads_is_not_shown(model: Path) -> None:
    result = run("bench", "latency", model, "--threads", "2", "--io-binding", *QUICK)
    assert result.exit_code == 0, result.output
    assert "x by CPU" not in result.stdout
    assert "2 threads, 3 rounds in turns, inputs and outputs bound" in result.stdout


def test_json_holds_times_ratios_and_differences(model: Path) -> None:
    result = run("bench", "latency", model, model, "--json", "--quiet", *QUICK)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    first, second = content["models"]
    assert content["rounds"] == 3
    assert first["speed_up"]["median"] == 1.0
    assert second["wall_ms"]["low"] <= second["wall_ms"]["median"] <= second["wall_ms"]["high"]
    assert second["outputs"]["largest_difference"] == 0.0


def test_open_axes_need_numbers(model: Path) -> None:
    result = run("bench", "latency", model, "--input-shape", "image:4,3,8,8", *QUICK)
    assert result.exit_code == 0, result.output
    result = run("bench", "latency", model, "--input-shape", "picture:4,3,8,8", *QUICK)
    assert result.exit_code == 2
    assert "the models' inputs are image" in result.stderr


def test_a_missing_model_ends_with_its_status(model: Path) -> None:
    result = run("bench", "latency", model, model.with_name("gone.onnx"), *QUICK)
    assert result.exit_code == 3
    assert "gone.onnx: no such file" in result.stderr
