import json
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from tests.spa_onnx.cli.commands import read_model, run, write_model


def test_what_the_plan_makes_is_proved(model: Path, output: Path, plan: Path) -> None:
    result = run("verify", model, output, "--plan", plan)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("proved: ")
    assert "image [2, 3, 8, 8]" in result.stdout


def test_the_proof_as_json(model: Path, output: Path, plan: Path) -> None:
    result = run("verify", model, output, "--plan", plan, "--json", "--seed", "3")
    proof = json.loads(result.stdout)
    assert proof["largest"] < 1e-4 < proof["power"]
    assert len(proof["shapes"]) == 2
    assert result.stderr == ""


@pytest.mark.parametrize("tensor", [0, -1])
def test_one_changed_weight_fails_the_proof(
    model: Path, output: Path, plan: Path, tensor: int
) -> None:
    pruned = read_model(output)
    weight = pruned.graph.initializer[tensor]
    values = numpy_helper.to_array(weight).copy()
    values.flat[0] += np.abs(values).max() + 1
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    write_model(pruned, output)
    result = run("verify", model, output, "--plan", plan)
    assert result.exit_code == 4, result.output
    assert f"{output} is not what {plan} makes of {model}" in result.stderr
    assert "tensor '" in result.stderr


def test_the_original_is_not_the_pruned_model(model: Path, plan: Path) -> None:
    assert run("verify", model, model, "--plan", plan).exit_code == 4


def test_a_broken_pruned_model_cannot_be_used(model: Path, output: Path, plan: Path) -> None:
    output.write_bytes(output.read_bytes()[:50])
    assert run("verify", model, output, "--plan", plan).exit_code == 3


def test_a_plan_is_needed(model: Path, output: Path, plan: Path) -> None:
    assert run("verify", model, output).exit_code == 2
    assert run("verify", model, output, "--plan", model.with_name("no.json")).exit_code == 3
