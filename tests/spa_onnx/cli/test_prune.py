import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from spa_onnx.latency import machine
from spa_onnx.latency.measure import Stopwatch
from tests.spa_onnx.cli.commands import leftovers, read_model, run, write_outside

DIGITS = Path(__file__).parents[3] / "models" / "digits" / "digits.onnx"


def parameters(path: Path) -> int:
    return sum(math.prod(t.dims) for t in read_model(path).graph.initializer)


def widths(path: Path) -> list[int]:
    """Return the channels that the convolutions make."""
    return [t.dims[0] for t in read_model(path).graph.initializer if len(t.dims) == 4]


def report_of(model: Path, output: Path, *options: str) -> dict[str, Any]:
    result = run("prune", model, "-o", output, "--json", "-", "--quiet", *options)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_half_of_every_dim_goes_without_a_budget(model: Path, output: Path) -> None:
    result = run("prune", model, "-o", output)
    assert result.exit_code == 0, result.output
    assert widths(output) == [4, 6]
    checker: Any = onnx.checker  # its annotations are partial
    checker.check_model(str(output), full_check=True)


def test_a_ratio_is_the_share_that_goes(model: Path, output: Path) -> None:
    assert run("prune", model, "-o", output, "--ratio", "0.25").exit_code == 0
    assert widths(output) == [6, 9]


@pytest.mark.parametrize(("option", "key"), [("flops", "operations"), ("params", "parameters")])
def test_a_kept_share_is_met(model: Path, output: Path, option: str, key: str) -> None:
    report = report_of(model, output, f"--keep-{option}", "0.5", "--importance", "l2")
    assert 0.25 < report["after"][key] / report["before"][key] <= 0.5
    assert report["settings"]["allocation"] == "global"


@pytest.mark.parametrize("text", ["250us", "0.00025s", "0.25ms", "0.25 ms"])
def test_a_latency_is_read_with_its_unit(
    model: Path, output: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "WATCH", Stopwatch(error=0.05, least=10, seconds=0.2))
    report = report_of(model, output, "--max-latency", text, "--threads", "2")
    assert report["settings"]["budget"] == "MaxLatency(seconds=0.00025, share=None)"
    assert report["latency"]["target"] == pytest.approx(0.00025)
    assert report["latency"]["threads"] == report["settings"]["threads"] == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("4", "is no latency such as 4ms"),
        ("fast", "is no latency such as 4ms"),
        ("4 hours", "is no latency such as 4ms"),
        ("nanms", "is no latency such as 4ms"),
        ("-4ms", "is not a positive time"),
        ("0ms", "is not a positive time"),
        ("infs", "is not a positive time"),
        ("0%", r"is not in \(0, 1\]"),
        ("150%", r"is not in \(0, 1\]"),
    ],
)
def test_a_latency_that_is_none_is_a_usage_error(
    model: Path, output: Path, text: str, problem: str
) -> None:
    result = run("prune", model, "-o", output, "--max-latency", text)
    assert result.exit_code == 2
    assert re.search(problem, " ".join(result.output.split()))
    assert not output.exists()


def test_a_latency_beside_another_budget_is_a_usage_error(model: Path, output: Path) -> None:
    result = run("prune", model, "-o", output, "--max-latency", "4ms", "--ratio", "0.5")
    assert result.exit_code == 2
    assert "one budget only" in result.output


def test_passes_are_chosen_by_name(model: Path, output: Path) -> None:
    options = ("--importance", "random", "--allocation", "uniform", "--keep-params", "0.5")
    settings = report_of(model, output, *options)["settings"]
    assert (settings["importance"], settings["allocation"]) == ("random", "uniform")


def test_kinds_are_chosen_by_words_behind_commas_or_one_by_one(model: Path, output: Path) -> None:
    settings = report_of(model, output, "--granularity", "ffn,channels", "--granularity", "no-ffn")
    assert settings["settings"]["granularity"] == ["ffn", "channels", "no-ffn"]
    assert widths(output) == [4, 6]


def test_an_unknown_kind_lists_the_choices(model: Path, output: Path) -> None:
    result = run("prune", model, "-o", output, "--granularity", "ffn,layers")
    assert result.exit_code == 2
    assert "'layers' is not one of heads, head-dims, ffn, residual, experts, channels" in " ".join(
        result.stderr.split()
    )
    assert not output.exists()


def test_a_kind_that_the_model_lacks_names_those_it_has(model: Path, output: Path) -> None:
    result = run("prune", model, "-o", output, "--granularity", "no-channels")
    assert result.exit_code == 3
    assert "all that there is, channels" in result.stderr


@pytest.mark.parametrize(("size", "limit"), [("1", 1), ("0.5kB", 500), ("2GB", 2 * 10**9)])
def test_a_proof_may_be_cut_into_pieces(model: Path, output: Path, size: str, limit: int) -> None:
    proof = report_of(model, output, "--proof-memory", size)["proof"]
    assert proof["memory"] == limit
    assert (proof["pieces"] > 1) == (limit < 1000)


@pytest.mark.parametrize("size", ["", "0", "-1GB", "GB", "1TB", "1kMB", "nan", "inf"])
def test_a_size_that_is_none_is_refused(model: Path, output: Path, size: str) -> None:
    result = run("prune", model, "-o", output, "--proof-memory", size)
    assert result.exit_code == 2
    assert "is not a size such as 800MB or 1.5GB" in result.stderr


def test_widths_are_aligned(model: Path, output: Path) -> None:
    assert run("prune", model, "-o", output, "--align", "4").exit_code == 0
    assert widths(output)[0] % 4 == 0


def test_what_is_excluded_stays_whole(model: Path, output: Path) -> None:
    names = [t.name for t in read_model(model).graph.initializer if len(t.dims) == 4]
    assert run("prune", model, "-o", output, "--exclude", names[0]).exit_code == 0
    assert widths(output) == [8, 6]


def test_the_seed_decides_what_random_passes_keep(model: Path, output: Path) -> None:
    def weights(seed: int) -> list[bytes]:
        options = ("--importance", "random", "--seed", str(seed), "--no-verify")
        assert run("prune", model, "-o", output, *options).exit_code == 0
        tensors = read_model(output).graph.initializer
        return [np.ascontiguousarray(numpy_helper.to_array(t)).tobytes() for t in tensors]

    assert weights(1) == weights(1)
    assert weights(1) != weights(2)


def test_an_input_shape_is_used_in_the_proof(model: Path, output: Path) -> None:
    report = report_of(model, output, "--input-shape", "image:5,3,8,8")
    assert report["proof"]["shapes"] == [{"image": [5, 3, 8, 8]}]


def test_without_verification_there_is_no_proof(model: Path, output: Path) -> None:
    assert report_of(model, output, "--no-verify")["proof"] is None


def test_plan_and_report_are_written(model: Path, output: Path, tmp_path: Path) -> None:
    plan, report = tmp_path / "plan.json", tmp_path / "report.json"
    report.write_text("old")
    result = run("prune", model, "-o", output, "--plan-out", plan, "--json", report)
    assert result.exit_code == 0, result.output
    assert len(json.loads(plan.read_text())["cuts"]) == 2
    assert json.loads(report.read_text())["model"] == str(model)
    assert leftovers(tmp_path) == []


def test_the_summary_tells_sizes_proof_and_what_was_fixed(model: Path, output: Path) -> None:
    stdout = run("prune", model, "-o", output).stdout
    for text in (
        "parameters",
        "operations",
        "file",
        "2 of 2 prunable dims",
        "power",
        "graph output",
    ):
        assert text in stdout
    assert str(output) in stdout


def test_stages_are_told_on_standard_error(model: Path, output: Path) -> None:
    result = run("prune", model, "-o", output, "--importance", "l2")
    assert [line.split()[-1] for line in result.stderr.splitlines()] == [
        "load", "analyse", "score", "allocate", "rewrite", "write", "verify",
    ]  # fmt: skip


def test_quiet_prints_nothing(model: Path, output: Path) -> None:
    assert run("prune", model, "-o", output, "--quiet").output == ""


def test_a_printed_report_is_alone_on_standard_output(model: Path, output: Path) -> None:
    result = run("prune", model, "-o", output, "--json", "-")
    assert json.loads(result.stdout)["after"]["parameters"] == parameters(output)
    assert "2 of 2 prunable dims" in result.stderr


def test_weights_outside_the_model_file_count_as_its_size(model: Path, output: Path) -> None:
    outside = model.with_name("outside.onnx")
    write_outside(read_model(model), outside, "weights.bin")
    result = run("prune", outside, "-o", output, "--no-verify")
    assert result.exit_code == 0, result.output
    size = sum(p.stat().st_size for p in (output, output.with_name("pruned.onnx.data")))
    line = next(line for line in result.stdout.splitlines() if line.startswith("file"))
    assert f"{size / 1000:.2f} kB" in line


@pytest.mark.parametrize("option", ["-o", "--plan-out", "--json"])
def test_weights_outside_the_model_file_are_never_overwritten(model: Path, option: str) -> None:
    outside, weights = model.with_name("outside.onnx"), model.with_name("new.onnx.data")
    write_outside(read_model(model), outside, weights.name)
    before = weights.read_bytes()
    if option == "-o":
        result = run("prune", outside, "-o", model.with_name("new.onnx"))
    else:
        result = run("prune", outside, "-o", model.with_name("other.onnx"), option, weights)
    assert result.exit_code == 2
    assert "weights" in result.stderr
    assert weights.read_bytes() == before


def test_the_bundled_model_is_pruned_by_the_real_command(tmp_path: Path) -> None:
    output, plan = tmp_path / "pruned.onnx", tmp_path / "plan.json"
    command = [
        sys.executable, "-m", "spa_onnx", "prune", str(DIGITS), "-o", str(output),
        "--ratio", "0.5", "--importance", "l2", "--plan-out", str(plan), "--json", "-",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["after"]["parameters"] == parameters(output) < parameters(DIGITS) / 3
    assert report["proof"]["largest"] < 1e-4 < report["proof"]["power"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plan.json", "pruned.onnx"]
    assert "Traceback" not in done.stderr


def test_a_recipe_repairs_without_any_data(output: Path) -> None:
    report = report_of(DIGITS, output, "--keep-flops", "0.5", "--recipe", "data-free")
    assert report["repair"]["origin"] == "made up"
    assert report["repair"]["after"] < 0.3 * report["repair"]["before"]
    assert 'pass = "obspa"' in report["settings"]["recipe"]
    kept = report["after"]["operations"] / report["before"]["operations"]
    assert 0.49 < kept <= 0.5


def test_a_pass_that_is_named_goes_before_the_recipe(model: Path, output: Path) -> None:
    report = report_of(model, output, "--recipe", "magnitude", "--importance", "l1")
    assert "L1" in report["settings"]["importance"] or report["settings"]["importance"] == "l1"


def test_a_recipe_of_ones_own(model: Path, output: Path) -> None:
    recipe = output.with_name("mine.toml")
    recipe.write_text('[importance]\npass = "random"\n')
    report = report_of(model, output, "--config", str(recipe))
    assert report["settings"]["recipe"] == recipe.read_text()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--recipe", "none"), "is no recipe; there are"),
        (("--config", "none.toml"), "cannot be read"),
        (("--recipe", "magnitude", "--config", "x.toml"), "one recipe only"),
        (("--keep-size", "0.5", "--ratio", "0.5"), "one budget only"),
        (("--keep-size", "1.5"), "is not in"),
    ],
)
def test_wrong_recipes_and_budgets(
    model: Path, output: Path, options: tuple[str, ...], problem: str
) -> None:
    result = run("prune", model, "-o", output, *options)
    assert result.exit_code == 2
    assert problem in result.output
    assert not output.exists()


def test_a_share_of_the_bytes(model: Path, output: Path) -> None:
    report = report_of(model, output, "--keep-size", "0.6")
    assert report["after"]["bytes"] <= 0.6 * report["before"]["bytes"]


def test_a_repaired_model_is_verified_with_the_weights_of_its_plan(
    model: Path, output: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    result = run("prune", model, "-o", output, "--recipe", "data-free", "--plan-out", plan)
    assert result.exit_code == 0, result.output
    assert "repair" in result.output
    proved = run("verify", model, output, "--plan", plan)
    assert proved.exit_code == 0, proved.output
    assert "repaired weights were replaced" in proved.output


def test_without_passes_a_recipe_is_taken(model: Path, output: Path, tmp_path: Path) -> None:
    without = report_of(model, output, "--keep-flops", "0.6")
    assert "Without any inputs" in without["settings"]["recipe"]
    assert without["repair"]["origin"] == "made up"
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((32, 3, 8, 8), np.float32))
    given = report_of(model, output, "--keep-flops", "0.6", "--calib", str(tmp_path / "x.npy"))
    assert "--calib" in given["settings"]["recipe"]
    assert given["settings"]["allocation"].startswith("RateDistortion")
    assert given["repair"]["samples"] == 32


def test_a_named_pass_takes_the_place_of_the_default_recipe(model: Path, output: Path) -> None:
    report = report_of(model, output, "--importance", "l1", "--keep-flops", "0.6")
    assert report["repair"] is None
    settings = report["settings"]
    assert (settings["importance"], settings["allocation"]) == ("l1", "global")
    assert settings["recipe"] == ""


def test_a_ratio_says_the_widths_whatever_the_recipe(model: Path, output: Path) -> None:
    assert run("prune", model, "-o", output, "--recipe", "data-free").exit_code == 0
    assert widths(output) == [4, 6]
