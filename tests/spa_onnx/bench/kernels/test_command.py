"""The command: what it prints and writes, and what it refuses."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from spa_onnx.bench.kernels.forms import Form
from spa_onnx.bench.kernels.shapes import Group
from tests.spa_onnx.cli.commands import run

QUICK = ("--rounds", "2", "--sparsity", "0.5")


def test_a_run_tells_of_every_layer_and_writes_all_figures(
    tiny: Sequence[Group], tmp_path: Path
) -> None:
    data, page = tmp_path / "k.json", tmp_path / "k.md"
    done = run("bench", "kernels", *QUICK, "--json", data, "-o", page)
    assert done.exit_code == 0, done.output
    count = sum(len(group.layers) * len(group.patterns) for group in tiny)
    assert f"[{count}/{count}] one 2:4 50 % 1 x 64 -> 48: " in done.stderr
    content = json.loads(data.read_text())
    assert content["command"].endswith("--sparsity 0.5 --rounds 2 --json k.json --output k.md")
    assert content["settings"]["clock"] == "CPU time of the thread"
    assert content["roofline"]["peak_gflops"] > 0
    assert content["machine"]["kernels"]
    assert len(content["layers"]) == count
    first = content["layers"][0]
    assert set(first["tuning_us"]) >= {"4x1, tile 6", "4x1, tile 4"}
    assert first["ratio"]["low"] <= first["ratio"]["median"] <= first["ratio"]["high"]
    assert first["dense_us"][first["dense_layout"]] == min(first["dense_us"].values())
    text = page.read_text()
    assert "| tokens |" not in text  # no pattern that both groups have
    assert "| points | 4x1 | 50 % | 1x1 16 -> 32 @ 5 |" in text
    assert "CPU time of the one thread, 2 rounds in turns." in text


def test_means_are_those_of_the_layers(tiny: Sequence[Group], tmp_path: Path) -> None:
    data = tmp_path / "k.json"
    words = ("--group", tiny[0].name, "--json", data, "--quiet", "--threads", "2", "--half")
    done = run("bench", "kernels", *QUICK, *words)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    content = json.loads(data.read_text())
    ratios = [layer["ratio"]["median"] for layer in content["layers"]]
    (mean,) = content["means"]
    assert mean["mean"] == pytest.approx(math.sqrt(math.prod(ratios)))
    assert (mean["least"], mean["greatest"]) == (min(ratios), max(ratios))
    assert f"{mean['mean']:.2f} ({min(ratios):.1f}-{max(ratios):.1f})" in done.stdout
    assert "2 threads, wall-clock time, 2 rounds in turns, values stored as float16" in done.stdout


@pytest.mark.usefixtures("tiny")
def test_groups_together_have_a_mean_where_their_pattern_is_one() -> None:
    words = ("--group", "many", "--group", "more", "--pattern", "16x1", "--quiet")
    done = run("bench", "kernels", *QUICK, *words)
    assert done.exit_code == 0, done.output
    means = done.stdout.split("greatest of")[0]
    assert [line.split()[:3] for line in means.splitlines() if line.startswith("tokens")] == [
        ["tokens", "16x1", "2"]
    ]


def test_groups_are_listed() -> None:
    done = run("bench", "kernels", "--list")
    assert done.exit_code == 0, done.output
    assert "decode: unstructured, 16x1, 32x1, 1x16, 2:4\n    1 x 4096 -> 4096\n" in done.stdout


@pytest.mark.usefixtures("tiny")
def test_a_wrong_layer_ends_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    right = Form.pack
    monkeypatch.setattr(Form, "pack", lambda form, weight: right(form, -weight))
    data = tmp_path / "k.json"
    done = run("bench", "kernels", *QUICK, "--group", "many", "--json", data)
    assert done.exit_code == 3
    assert "layer 20 x 48 -> 32, packed as 16x1: the output differs" in done.stderr
    assert not data.exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--group", "nothing"), "there is no group 'nothing'"),
        (("--pattern", "4by1"), "pattern '4by1' is none of"),
        (("--sparsity", "1"), "not in the range"),
        (("--threads", "0"), "not in the range"),
        (("--json", "nowhere/k.json"), "there is no folder 'nowhere'"),
        (("--json", "k.json", "-o", "k.json"), "is the file of --json"),
    ],
)
def test_wrong_options_are_errors_before_anything_runs(
    words: tuple[str, ...], problem: str
) -> None:
    done = run("bench", "kernels", *words)
    assert done.exit_code == 2
    assert problem in done.stderr


def test_without_the_library_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPA_ONNX_KERNELS", "nowhere.so")
    done = run("bench", "kernels")
    assert done.exit_code == 3
    assert "nowhere.so does not exist" in done.stderr
