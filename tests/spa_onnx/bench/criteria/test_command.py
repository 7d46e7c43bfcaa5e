"""The command: what it writes, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from spa_onnx.bench.criteria.unit import Unit
from spa_onnx.cli.criteria import units_of
from tests.spa_onnx.cli.commands import run


def test_the_command_writes_tables_and_goes_on(unit: Unit, tmp_path: Path) -> None:
    table, data = tmp_path / "t.md", tmp_path / "t.csv"
    words = ["bench", "criteria", unit.model, "--recipe", "l1", "--recipe", "magnitude",
             "--budget", "ratio=0.25", "--results", str(tmp_path / "r.jsonl"),
             "--evaluate", unit.evaluation]  # fmt: skip
    done = run(*words, "-o", str(table), "-o", str(data))
    assert done.exit_code == 0, done.stderr
    assert "| model.onnx | ratio 0.25 | l1 |" in table.read_text()
    assert len(data.read_text().splitlines()) == 3
    again = run(*words)
    assert "[" not in again.stderr
    assert "magnitude" in again.stdout


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--budget", "flops=0.5", "is none of ratio=0.5"),
        ("--budget", "ratio=x", "is none of ratio=0.5"),
        ("--budget", "ratio=2", "not in"),
        ("--recipe", "nothing", "is no recipe"),
        ("--recipe", "nothing.toml", "cannot be read"),
        ("--evaluate", "nothing.py:f", "cannot be loaded"),
        ("--calib", "nothing.npz", "no such file"),
        ("--output", "t.xlsx", r".md, .csv, .json"),
    ],
)
def test_wrong_options_are_errors_before_anything_runs(
    unit: Unit, option: str, value: str, problem: str
) -> None:
    done = run("bench", "criteria", unit.model, option, value)
    assert done.exit_code == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_every_seed_may_have_calibration_inputs_of_its_own(unit: Unit, tmp_path: Path) -> None:
    for seed in range(2):
        np.save(tmp_path / f"x{seed}.npy", np.full((8, 4), seed + 1.5, np.float32))
    names, budgets = ("data-free", "obspa"), ("keep-flops=0.5",)
    units = units_of([Path(unit.model)], names, budgets, 2, tmp_path / "x{seed}.npy", "")
    assert [Path(u.calibration).name for u in units] == ["", "", "x0.npy", "x1.npy"]
    assert len({u.key for u in units}) == 4
