import json
from pathlib import Path
from typing import Any

import onnx

from tests.spa_onnx.cli.commands import read_model, run


def analysis_of(model: Path, *options: str) -> dict[str, Any]:
    result = run("analyze", model, "--json", *options)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return dict(json.loads(result.stdout))


def test_every_dim_is_listed_with_its_cost(model: Path) -> None:
    stdout = run("analyze", model).stdout
    for dim in analysis_of(model)["dims"]:
        assert dim["name"] in stdout
        assert f"{100 * dim['parameters']['share']:.1f} %" in stdout
    assert "2 prunable dims" in stdout


def test_shares_and_savings_agree_with_the_weights(model: Path) -> None:
    report = analysis_of(model)
    tensors = {t.name: t for t in read_model(model).graph.initializer}
    total = report["size"]["parameters"]
    for dim in report["dims"]:
        members = {m["tensor"] for m in dim["members"]}
        weights = sum(int(onnx.numpy_helper.to_array(tensors[n]).size) for n in members)
        assert dim["parameters"]["share"] * total == weights
        assert dim["parameters"]["marginal"] * dim["lanes"] == weights
        assert {m["role"] for m in dim["members"]} == {"produces", "consumes", "follows"}


def test_every_dim_is_listed_with_its_kind(model: Path) -> None:
    assert [dim["kind"] for dim in analysis_of(model)["dims"]] == ["channels"] * 2
    assert run("analyze", model).stdout.count("channels") == 2


def test_kinds_that_were_not_asked_for_are_told(model: Path) -> None:
    report = analysis_of(model, "--granularity", "heads")
    assert report["dims"] == []
    assert [dim["lanes"] for dim in report["spared"]] == [8, 12]
    stdout = run("analyze", model, "--granularity", "heads", "--why").stdout
    assert "not cut, but another --granularity could:" in stdout
    assert "channels lanes, left whole by the granularity" in stdout


def test_reasons_are_told_on_demand(model: Path) -> None:
    assert "kernel positions" not in run("analyze", model).stdout
    stdout = run("analyze", model, "--why").stdout
    assert "graph output: its shape is part of the model's interface (2 weight axes" in stdout
    assert "Conv: kernel positions (4 weight axes" in stdout


def test_every_fixed_axis_is_told_with_its_operator(model: Path) -> None:
    stdout = run("analyze", model, "--why").stdout
    fixed = analysis_of(model)["fixed"]
    assert [f["parameters"] for f in fixed] == sorted(
        (f["parameters"] for f in fixed), reverse=True
    )
    for axis in fixed:
        assert any(
            axis["tensor"] in line and f"{axis['axis']}:{axis['length']}" in line
            for line in stdout.splitlines()
        )
        for reason in axis["reasons"]:
            assert reason.partition("': ")[0] in stdout


def test_excluded_dims_become_fixed(model: Path) -> None:
    names = [t.name for t in read_model(model).graph.initializer if len(t.dims) == 4]
    report = analysis_of(model, "--exclude", names[1])
    assert report["dims"] == []
    assert any("excluded by a pattern" in r for f in report["fixed"] for r in f["reasons"])
    assert "0 prunable dims" in run("analyze", model, "--exclude", "*").stdout


def test_input_shapes_are_checked(model: Path) -> None:
    assert analysis_of(model, "--input-shape", "image:2,3,8,8")["size"]["operations"] > 0
    assert run("analyze", model, "--input-shape", "nope:1").exit_code == 2
