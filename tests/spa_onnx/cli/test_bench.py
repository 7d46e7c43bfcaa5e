"""The bench on tiny models, in real processes that end in every way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.builders import GraphBuilder
from tests.spa_onnx.cli.commands import run, write_model

PASSES = """
import os, signal
from dataclasses import dataclass
import numpy as np

@dataclass(frozen=True, slots=True)
class Killed:
    def score(self, weights, rng):
        os.kill(os.getpid(), signal.SIGKILL)

@dataclass(frozen=True, slots=True)
class Greedy:
    def score(self, weights, rng):
        return np.ones(1 << 32).sum()

@dataclass(frozen=True, slots=True)
class Wrong:
    def score(self, weights, rng):
        raise ZeroDivisionError("a defect")
"""
"""Passes that end a process in ways that no model does."""


def bench(*arguments: str | Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the real command; modules and distributions in ``path`` are installed for it."""
    environment = os.environ if path is None else {**os.environ, "PYTHONPATH": str(path)}
    command = [sys.executable, "-m", "spa_onnx", "bench", "coverage", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def outcomes(path: Path) -> dict[str, str]:
    return {line["model"].split("/")[1]: line["outcome"] for line in lines(path)}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


@pytest.fixture
def mixed(model: Path) -> list[Path]:
    """A good model, a file that is none, one that ONNX Runtime refuses, one without weights."""
    broken, foreign, bare = (model.with_name(f"{n}.onnx") for n in ("broken", "foreign", "bare"))
    broken.write_bytes(b"\x0a\xff no model at all")
    changed = onnx.load(model)
    changed.graph.node[1].domain = "nowhere"
    changed.opset_import.append(onnx.helper.make_opsetid("nowhere", 1))
    write_model(changed, foreign)
    g = GraphBuilder()
    write_model(g.model(g.relu(g.input("x", (2, 3)))), bare)
    return [model, broken, foreign, bare]


def test_every_model_has_a_row_and_the_second_run_has_nothing_to_do(
    mixed: list[Path], results: Path
) -> None:
    table = results.with_name("table.md")
    options = ("--results", results, "-o", table, "--jobs", "2")
    first = bench(*mixed, *options)
    assert first.returncode == 6, first.stderr
    assert outcomes(results) == {
        "model": "proved", "broken": "not loadable", "foreign": "not loadable", "bare": "refused",
    }  # fmt: skip
    text = table.read_text()
    assert "| of these, loaded by ONNX Runtime | 2 |" in text
    assert "| of these, pruned and proved | 1 (50.0 %) |" in text
    assert "| of these, invalid or unproved | 0 (0 invalid, 0 unproved) |" in text
    assert "NothingToPruneError" in text
    assert str(results.parent) not in text + results.read_text()
    before = results.read_bytes()
    second = bench(*mixed, *options)
    assert (second.returncode, results.read_bytes()) == (6, before)
    assert "4 of 4 had a result already" in second.stderr
    assert table.read_text() == text


def test_one_line_holds_all_facts(model: Path, results: Path) -> None:
    assert bench(model, "--results", results).returncode == 0
    (line,) = lines(results)
    facts = line["facts"]
    assert 0.5 < facts["pruned"]["parameters"] < facts["analysed"]["prunable"] <= 1
    assert facts["pruned"]["difference"] < 1e-4 < facts["pruned"]["power"]
    assert {"load", "analyse", "rewrite", "write", "verify"} <= set(facts["seconds"])
    assert 0 < facts["memory"]["base"] <= facts["memory"]["compiler"] <= facts["memory"]["whole"]
    assert facts["original"] == facts["result"] == {"loads": True, "runs": True, "problem": ""}
    assert facts["analysed"]["nodes"] == 7
    assert line["bytes"] == model.stat().st_size


def test_a_changed_model_and_other_options_run_again(model: Path, results: Path) -> None:
    options = ("--results", results, "--quiet", "--no-verify")
    for _ in range(2):
        bench(model, *options)
    assert len(lines(results)) == 1
    bench(model, *options, "--ratio", "0.25")
    bench(model, *options, "--again")
    changed = onnx.load(model)
    changed.producer_name = "another"
    write_model(changed, model)
    bench(model, *options)
    assert len(lines(results)) == 4
    assert {line["outcome"] for line in lines(results)} == {"not proved"}


def test_modules_where_the_user_stands_are_not_taken(
    model: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    Path("networkx.py").write_text("raise SystemExit('taken')")
    result = run("bench", "coverage", model.name, "--results", results, "--no-verify")
    assert result.exit_code == 0, result.output


def test_several_passes_have_a_part_each(model: Path, results: Path) -> None:
    options = ("--results", results, "--no-verify", "--importance", "l1", "--importance", "random")
    text = bench(model, *options).stdout
    command = (
        "    spa-onnx bench coverage model.onnx --importance l1 --importance random --no-verify"
    )
    assert text.splitlines()[2] == command
    assert "# Importance l1" in text
    assert "# Importance random" in text
    assert "unproved | 1 (0 invalid, 1 unproved) |" in text
    assert [line["key"]["importance"] for line in lines(results)] == ["l1", "random"]


def test_a_model_that_takes_too_long_is_a_row(model: Path, results: Path) -> None:
    done = bench(model, "--results", results, "--timeout", "0.05")
    assert done.returncode == 6
    assert outcomes(results) == {"model": "timeout"}
    assert "no result after 0.05 s" in done.stdout
    assert "| of these, loaded by ONNX Runtime | 1 |" in done.stdout
    assert bench(model, "--results", results, "--timeout", "100").returncode == 0
    assert outcomes(results) == {"model": "proved"}


@pytest.mark.parametrize(
    ("name", "outcome", "text"),
    [
        ("killed", "crash", "ended by SIGKILL"),
        ("greedy", "out of memory", "MemoryError"),
        ("wrong", "crash", "ZeroDivisionError: a defect"),
    ],
)
def test_a_process_that_dies_is_a_row(
    model: Path, results: Path, tmp_path: Path, name: str, outcome: str, text: str
) -> None:
    (tmp_path / "deadly.py").write_text(PASSES)
    information = tmp_path / "deadly-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n")
    entry = f"[spa_onnx.importance]\n{name} = deadly:{name.title()}\n"
    (information / "entry_points.txt").write_text(entry)
    options = ("--importance", name, "--memory-limit", "4", "--results", results)
    done = bench(model, *options, path=tmp_path)
    assert done.returncode == 6, done.stderr
    assert outcomes(results) == {"model": outcome}
    assert text in done.stdout
    (line,) = lines(results)
    assert line["facts"]["original"]["loads"] is True


def test_an_interrupted_bench_ends_its_processes_and_goes_on_later(
    model: Path, results: Path, tmp_path: Path
) -> None:
    others = [model.with_name(f"m{k}.onnx") for k in range(3)]
    for k, other in enumerate(others):
        changed = onnx.load(model)
        changed.producer_name = str(k)
        write_model(changed, other)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    arguments = [*map(str, others), "--results", str(results), "--scratch", str(scratch)]
    command = [sys.executable, "-m", "spa_onnx", "bench", "coverage", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not (results.exists() and results.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"the same command goes on from there" in complaint
    assert list(scratch.iterdir()) == []
    finished = len(lines(results))
    assert 1 <= finished < 3
    done = bench(*arguments)
    assert done.returncode == 0
    assert len(lines(results)) == 3
    assert f"{finished} of 3 had a result already" in done.stderr


def zoo(model: Path, **values: Any) -> Path:
    """Write a list of one model."""
    entry = {
        "name": "f/model", "family": "f", "framework": "x", "exporter": "y", "file": model.name,
    }  # fmt: skip
    path = model.with_name("zoo.json")
    models = [entry | values, entry | {"name": "f/lost", "file": "", "failure": "no exporter"}]
    path.write_text(json.dumps({"format": 1, "ratio": 0.5, "models": models}))
    return path


def test_what_is_expected_decides_the_exit_code(model: Path, results: Path) -> None:
    options = ("--results", results, "--no-verify", "--quiet")
    good = bench(zoo(model, least=0.5), *options)
    assert good.returncode == 0, good.stderr
    assert "| f/lost | y | no exporter |" in good.stdout
    bad = bench(zoo(model, least=0.99, reason="a | reason"), *options)
    assert bad.returncode == 6
    assert "removed less than 99.0 %" in bad.stdout
    assert bench(zoo(model, least=0.99), *options, "--ratio", "0.4").returncode == 0


def test_results_of_other_tools_stand_beside(model: Path, results: Path) -> None:
    peers = results.with_name("peers.jsonl")
    common = {"tool": "other", "version": "1.2", "seconds": 0.5}
    rows = [
        {
            "model": "x",
            "file": "f/model.onnx",
            "valid": True,
            "removed": 0.25,
            "error": None,
            **common,
        },
        {"model": "f/unknown", "valid": False, "removed": None, "error": "no", **common},
    ]
    peers.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = bench(zoo(model), "--results", results, "--no-verify", "--peers", peers)
    assert done.returncode == 0, done.stderr
    assert "25.0 % in 0.50 s" in done.stdout
    assert "| other 1.2 | 1 | 1 (100 %) | 25.0 % | 0.50 | 1 | 25.0 % |" in done.stdout
    assert "about models that are not listed: 1" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--results", "."), "is a folder"),
        (("--results", "none/results.jsonl"), "there is no folder"),
        (("--results", "/dev/full"), "no regular file"),
        (("--results", "model.onnx"), "is input"),
        (("-o", "none/table.md"), "there is no folder"),
        (("-o", "results.jsonl", "--results", "results.jsonl"), "is the file of --output"),
        (("--ratio", "1.5"), "ratio"),
        (("--importance", "l3"), "no importance pass named 'l3'"),
        (("--only", "other/*"), "no model of these names"),
        (("zoo.json",), "not both"),
        (("none.onnx",), "no such file"),
        (("--peers", "model.onnx"), "model.onnx"),
        (("--peers", "none.jsonl"), "cannot be read"),
    ],
)
def test_what_no_model_could_use_is_an_error_before_any_runs(
    model: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], text: str
) -> None:
    monkeypatch.chdir(model.parent)
    result = run("bench", "coverage", model.name, *arguments)
    assert result.exit_code in (2, 3), result.output
    assert text in result.stderr
    assert not Path("coverage.jsonl").exists() or not lines(Path("coverage.jsonl"))


def test_a_table_that_cannot_be_written_keeps_the_results(model: Path, results: Path) -> None:
    done = bench(model, "--results", results, "--no-verify", "-o", "/dev/full")
    assert done.returncode == 2
    assert "cannot be written (No space left on device)" in done.stderr
    assert outcomes(results) == {"model": "not proved"}
