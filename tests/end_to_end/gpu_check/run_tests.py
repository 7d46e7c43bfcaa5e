"""Step ``tests``: every kernel against float64, what is refused, and what only a GPU can show."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from tests.end_to_end.gpu_check.place import ROOT, Place
from tests.end_to_end.gpu_check.result import StepResult

TESTS = ("tests/runtime_kernels/cuda", "tests/spa_onnx/runtime/test_cuda.py")
SECONDS = 240.0
WORKERS = 8

QUIET = ("-q", "-p", "no:cacheprovider", "-W", "default", "--no-header")
"""Warnings of other versions of libraries than those that the project is tested with are none."""


def run_tests(place: Place, chosen: str = "") -> StepResult:
    """Run the tests, and tell how many passed and which did not.

    Args:
        place: where.
        chosen: tests whose names contain it, as pytest's ``-k``.
    """
    missing = [name for name in ("pytest", "hypothesis") if find_spec(name) is None]
    if missing:
        return StepResult(f"Python has no {' and no '.join(missing)}: pip install {missing[0]}")
    report = place.folder / "tests.xml"
    report.unlink(missing_ok=True)
    words = ["-m", "pytest", *QUIET, f"--junitxml={report}"]
    words += ["-n", str(WORKERS)] if find_spec("xdist") is not None and not place.emulated else []
    words += ["-k", chosen] if chosen else []
    done = place.python(*words, *(str(ROOT / test) for test in TESTS), limit=SECONDS)
    if not report.is_file():
        return StepResult(done.problem or "pytest wrote no report")
    return _read(report, done.problem)


def _read(report: Path, problem: str) -> StepResult:
    """Return what pytest's report says."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    wrong = [case for case in cases if _has(case, "failure") or _has(case, "error")]
    skipped = [case for case in cases if _has(case, "skipped")]
    passed = len(cases) - len(wrong) - len(skipped)
    facts = {
        "passed": passed,
        "failed": [_name(case) for case in wrong],
        "skipped": sorted({_reason(case) for case in skipped}),
    }
    line = f"{passed} passed, {len(wrong)} failed, {len(skipped)} skipped"
    return StepResult(problem if wrong or problem else "", facts=facts, line=line)


def _has(case: ElementTree.Element, what: str) -> bool:
    return case.find(what) is not None


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname', '')}.{case.get('name', '')}"


def _reason(case: ElementTree.Element) -> str:
    skipped = case.find("skipped")
    return "" if skipped is None else skipped.get("message", "")
