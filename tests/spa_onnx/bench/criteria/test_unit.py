"""One model pruned by one recipe, and measured."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from spa_onnx.bench.criteria.evaluate import find_evaluation
from spa_onnx.bench.criteria.unit import Outcome, Unit, failed, run_unit
from spa_onnx.bench.lines import Lines
from spa_onnx.errors import EvaluationError


def test_a_unit_is_pruned_and_scored(unit: Unit) -> None:
    outcome = run_unit(unit)
    assert outcome.failure == ""
    assert outcome.parameters is not None
    assert 0.4 < outcome.parameters < 0.6
    assert outcome.dense is not None
    assert outcome.score is not None
    assert outcome.dense < outcome.score < 0


def test_a_unit_is_timed_and_latency_may_be_its_budget(unit: Unit) -> None:
    outcome = run_unit(replace(unit, budget="max-latency", amount=1.0))
    assert outcome.failure == ""
    assert outcome.operations is not None
    assert 0 < outcome.operations <= 1.0
    assert outcome.dense_ms is not None
    assert outcome.latency_ms is not None
    assert min(outcome.dense_ms, outcome.latency_ms) > 0


def test_outcomes_from_before_latencies_were_measured_are_read(unit: Unit, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    old = {k: v for k, v in asdict(failed(unit, "no")).items() if not k.endswith("_ms")}
    path.write_text(json.dumps(old) + "\n")
    (found,) = Lines(path, Outcome).found
    assert found == failed(unit, "no")
    assert found.latency_ms is None


def test_what_a_budget_does_not_allow_is_an_outcome(unit: Unit) -> None:
    outcome = run_unit(replace(unit, budget="keep-flops", amount=0.001))
    assert "operations" in outcome.failure
    assert outcome.score is None


def test_an_evaluation_that_fails_is_an_outcome(unit: Unit) -> None:
    for name in ("breaks", "nothing"):
        outcome = run_unit(replace(unit, evaluation=unit.evaluation.replace("parameters", name)))
        assert "evaluation" in outcome.failure


def test_the_key_follows_content_and_not_paths(unit: Unit) -> None:
    assert replace(unit, model="/elsewhere/model.onnx").key == unit.key
    for changed in (
        replace(unit, content="other"),
        replace(unit, text=unit.text + "# other\n"),
        replace(unit, amount=0.4),
        replace(unit, seed=1),
        replace(unit, version="2"),
        replace(unit, calibration_content="other"),
    ):
        assert changed.key != unit.key


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("evaluate", "not of the form"),
        (":top1", "not of the form"),
        ("nowhere.py:top1", "cannot be loaded"),
        ("no.such.module:top1", "cannot be loaded"),
        ("math:top1", "no function 'top1'"),
    ],
)
def test_an_evaluation_that_is_none_says_why(name: str, problem: str) -> None:
    with pytest.raises(EvaluationError, match=problem):
        find_evaluation(name)
