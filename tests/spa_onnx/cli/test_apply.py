import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import GraphBuilder
from tests.spa_onnx.cli.commands import leftovers, run, write_model


def test_a_plan_makes_the_same_model_again(model: Path, output: Path, plan: Path) -> None:
    again = output.with_name("again.onnx")
    result = run("apply", model, plan, "-o", again)
    assert result.exit_code == 0, result.output
    assert again.read_bytes() == output.read_bytes()
    assert "compared with the masked original" in result.stdout


def test_the_report_can_be_printed(model: Path, output: Path, plan: Path) -> None:
    result = run("apply", model, plan, "-o", output, "--json", "--quiet")
    assert json.loads(result.stdout)["proof"]["largest"] < 1e-4
    assert result.stderr == ""


def test_the_proof_can_be_skipped(model: Path, output: Path, plan: Path) -> None:
    result = run("apply", model, plan, "-o", output, "--json", "--no-verify", "--quiet")
    assert json.loads(result.stdout)["proof"] is None


def test_the_plan_is_not_overwritten(model: Path, plan: Path) -> None:
    before = plan.read_text()
    result = run("apply", model, plan, "-o", plan)
    assert (result.exit_code, plan.read_text()) == (2, before)
    assert "is the plan" in result.stderr


def test_a_plan_of_another_model(model: Path, plan: Path, tmp_path: Path) -> None:
    g = GraphBuilder()
    other = tmp_path / "other.onnx"
    write_model(g.model(g.gemm(g.relu(g.gemm(g.input("x", ("n", 6)), 8)), 3)), other)
    result = run("apply", other, plan, "-o", tmp_path / "out.onnx")
    assert result.exit_code == 3
    assert "another structure" in result.stderr
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("text", [None, "", "no json", "[]", "{}", '{"format": 99}', "\x00"])
def test_files_that_are_no_plans(model: Path, output: Path, text: str | None) -> None:
    plan = model.with_name("plan.json")
    if text is not None:
        plan.write_text(text)
    result = run("apply", model, plan, "-o", output)
    assert result.exit_code == 3, result.output
    assert f"plan {plan}" in result.stderr
    assert not output.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", "x"),
        ("seed", None),
        ("seed", -1),
        ("exclude", 1),
        ("input_shapes", []),
        ("input_shapes", {"image": 1}),
        ("input_shapes", {"image": ["x"]}),
        ("input_shapes", {"image": [0, 3, 8, 8]}),
    ],
)
def test_broken_settings_of_a_plan(
    model: Path, output: Path, plan: Path, key: str, value: Any
) -> None:
    content = json.loads(plan.read_text())
    content["settings"][key] = value
    plan.write_text(json.dumps(content))
    result = run("apply", model, plan, "-o", output.with_name("again.onnx"))
    if value != []:  # an empty list of shapes says the same as an empty mapping
        assert result.exit_code == 3, result.output
        assert "broken settings" in result.stderr


@pytest.mark.parametrize("keep", [[], [""], ["0-99"], ["3-1"], ["0-3", "0-3"], ["1,0"]])
def test_lanes_that_the_model_does_not_have(
    model: Path, output: Path, plan: Path, keep: list[str]
) -> None:
    content = json.loads(plan.read_text())
    content["cuts"][0]["keep"] = keep
    plan.write_text(json.dumps(content))
    result = run("apply", model, plan, "-o", output.with_name("again.onnx"))
    assert result.exit_code == 3, result.output
    assert leftovers(model.parent) == []
