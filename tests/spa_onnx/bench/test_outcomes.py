from dataclasses import replace

import pytest

from spa_onnx.bench.processes import End, outcome_of
from spa_onnx.bench.result import Check, Facts, Outcome
from tests.spa_onnx.bench.some_results import facts

GOOD = Check(loads=True, runs=True)
BAD = Check(loads=False, problem="no")
NOTHING = facts(None)


@pytest.mark.parametrize(
    ("end", "found", "outcome"),
    [
        ("done", facts(original=GOOD, result=GOOD), "proved"),
        ("done", facts(original=GOOD, result=Check(loads=True)), "proved"),
        ("done", facts(original=GOOD, result=BAD), "invalid"),
        ("done", facts(original=GOOD, result=Check(loads=True, runs=False)), "invalid"),
        ("done", facts(original=GOOD, result=None), "invalid"),
        ("done", facts(original=BAD, result=BAD), "not loadable"),
        ("done", replace(NOTHING, original=GOOD, ending="refused"), "refused"),
        ("done", replace(NOTHING, original=BAD, ending="refused"), "not loadable"),
        ("done", replace(NOTHING, original=GOOD, ending="failed proof"), "failed proof"),
        ("done", replace(NOTHING, original=BAD, ending="crash"), "crash"),
        ("done", replace(NOTHING, original=GOOD, ending="out of memory"), "out of memory"),
        ("crash", Facts("analyse", original=GOOD), "crash"),
        ("crash", Facts("analyse", original=BAD), "crash"),
        ("crash", Facts("verify", original=BAD), "not loadable"),
        ("crash", Facts("verify", original=GOOD), "crash"),
        ("crash", facts(stage="original", original=BAD), "not loadable"),
        ("crash", facts(stage="check", original=GOOD, result=BAD), "invalid"),
        ("timeout", Facts("verify", original=GOOD), "timeout"),
        ("timeout", Facts("verify"), "timeout"),
        ("timeout", facts(stage="check", original=GOOD), "timeout"),
    ],
)
def test_the_worst_that_happened_is_the_outcome(end: End, found: Facts, outcome: Outcome) -> None:
    assert outcome_of(end, found, proved=True) == outcome


def test_without_a_proof_a_good_file_is_not_proved() -> None:
    found = facts(original=GOOD, result=GOOD)
    assert outcome_of("done", found, proved=False) == "not proved"
