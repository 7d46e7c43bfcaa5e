"""The script measures each case once, and prints what was lost."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("PIL", reason="scores read images")
MODELS = Path(__file__).parents[2] / "models"
DIGITS = MODELS / "digits" / "digits.onnx"


def test_cases_are_measured_once_and_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    script: Any = importlib.import_module("sparse_accuracy")
    scored: list[str] = []

    def score(path: str) -> float:
        scored.append(path)
        return 90.0 - len(scored)

    monkeypatch.setitem(script.SCORES, "cifar10", score)
    results = tmp_path / "results.jsonl"
    arguments = ["run", str(results), str(DIGITS), "--way", "magnitude", "--case", "1"]
    for _ in range(2):
        done = CliRunner().invoke(script.main, arguments)
        assert done.exit_code == 0, done.output
    assert len(scored) == 2
    assert script.read(results)[1].sparsity == pytest.approx(0.7, abs=0.01)
    table = CliRunner().invoke(script.main, ["table", str(results)]).output
    assert "| digits, 89.00 | magnitude |  | 1.00 |" in table
