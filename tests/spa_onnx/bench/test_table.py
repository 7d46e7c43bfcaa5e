"""The page says what the rows say, and texts of others cannot break it."""

from dataclasses import replace
from typing import Any

import pytest

from spa_onnx.bench.markdown import escaped, table
from spa_onnx.bench.peers import PeerResult
from spa_onnx.bench.result import Check, Outcome, Pruned
from spa_onnx.bench.rows import Row, count
from spa_onnx.bench.table import Page, render
from spa_onnx.bench.zoo import Absent
from tests.spa_onnx.bench.some_results import entry, facts, result

PAGE = Page("spa-onnx bench", "spa-onnx 0.1", 0.5, True, (), {})


def row(name: str, outcome: Outcome = "proved", removed: float | None = 0.7, **values: Any) -> Row:
    """Return a model of which this share went."""
    found = facts(removed, original=Check(loads=outcome != "not loadable", runs=True, problem="p"))
    return Row(entry(name, **values), result(outcome, found))


def lost(name: str) -> Row:
    return Row(entry(name, file="", failure="no | exporter"), None)


ROWS = [
    row("a/good", removed=0.8),
    row("a/low", removed=0.4, least=0.3, reason="a vocabulary"),
    row("b/short", removed=0.5),
    row("b/broken", "invalid"),
    row("b/foreign", "not loadable", None),
    lost("b/lost"),
]


def summary(rows: list[Row], page: Page = PAGE) -> dict[str, str]:
    """Return the facts of the first table."""
    part = render(page, {"l2": rows}).partition("## Summary")[2].partition("\n## ")[0]
    lines = [line.split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return {title.removeprefix("| "): text.removesuffix(" |") for title, text in lines[1:]}


def test_the_summary_counts_every_model_once() -> None:
    found = summary(ROWS)
    assert found["models listed"] == "6"
    assert found["exported"] == "5"
    assert found["of these, loaded by ONNX Runtime"] == "4"
    assert found["of these, pruned and proved"] == "3 (75.0 %)"
    assert found["files written"] == "4"
    assert found["of these, invalid or unproved"] == "1 (1 invalid, 0 unproved)"
    assert found["parameters removed, median"] == "50.0 %"
    assert found["analyse + rewrite, median"] == "0.75 s"
    assert found["less than 60 % removed"] == "2 (1 without a written reason)"
    assert found["below expectation"] == "2"


def test_what_runs_without_a_proof_is_unproved() -> None:
    found = summary([row("a/m", "not proved")], replace(PAGE, proved=False))
    assert found["of these, invalid or unproved"] == "1 (0 invalid, 1 unproved)"
    assert found["of these, pruned"] == "1 (100.0 %)"


def test_weak_evidence_is_counted() -> None:
    weak = facts(pruned=Pruned(0.7, 0.7, 0.0, 0.0, 2), result=Check(loads=True))
    found = summary([Row(entry(), result(found=weak))])
    assert found["proof with power below 0.001, which shows little"] == "1"
    assert found["with outputs that the proof could not compare"] == "1"
    assert found["valid by loading alone, no inputs could be made up"] == "1"


def test_written_and_measured_reasons_stand_side_by_side() -> None:
    text = render(PAGE, {"l2": ROWS})
    measured = r"40 %: Gather: indexed \| at run time"
    assert f"| a/low | 40.0 % | 30.0 % | a vocabulary | {measured} |" in text
    assert f"| b/short | 50.0 % | 60.0 % | none written | {measured} |" in text
    assert f"| b/short | removed less than 60.0 % | 50.0 % | {measured} |" in text
    assert r"| b/lost | y | no \| exporter |" in text


@pytest.mark.parametrize(
    ("one", "shortfall"),
    [
        (row("a/m"), ""),
        (row("a/m", removed=0.5999), ""),
        (row("a/m", removed=0.59), "removed less than 60.0 %"),
        (replace(row("a/m", removed=0.59), expects_share=False), ""),
        (row("a/m", "crash", None), "crash"),
        (row("a/m", "timeout", None), "timeout"),
        (row("a/m", "refused", None), "refused"),
        (row("a/m", "invalid"), "invalid"),
        (row("a/m", "not loadable", None), ""),
        (lost("a/m"), ""),
    ],
)
def test_what_is_below_expectation(one: Row, shortfall: str) -> None:
    assert one.shortfall == shortfall


def test_a_refusal_may_be_expected_by_its_words() -> None:
    refused = row("a/m", "refused", None, refusal="no rule")
    assert refused.result is not None
    assert refused.shortfall == "refused"
    told = replace(refused.result, facts=replace(refused.result.facts, text="X: no rule for it"))
    assert replace(refused, result=told).shortfall == ""
    assert row("a/m", refusal="no rule").shortfall == ""
    assert row("a/m", refusal="no rule").better


def test_a_reason_that_no_longer_holds_is_told() -> None:
    text = render(PAGE, {"l2": [row("a/m", least=0.3, reason="once true")]})
    assert "| a/m | 70.0 % | once true |" in text.partition("## Better than expected")[2]
    assert "## Better" not in render(PAGE, {"l2": ROWS})


def test_families_are_counted_apart() -> None:
    text = render(replace(PAGE, absent=(Absent("c", "no folder"),)), {"l2": ROWS})
    assert "| a | 2 of 2 | 2 | 2 (100.0 %) | 60.0 % | 40.0 % | 0.75 s | 2.00 s |" in text
    assert "| b | 3 of 4 | 2 | 1 (50.0 %) | 50.0 % | 50.0 % | 0.75 s | 2.00 s |" in text
    assert "Not made: c (no folder)." in text


def test_other_tools_are_compared_where_both_are_valid() -> None:
    theirs = {
        "a/good": PeerResult("a/good", "t", True, removed=0.3, seconds=0.5),
        "b/broken": PeerResult("b/broken", "t", True, removed=0.9, seconds=9.0),
        "a/low": PeerResult("a/low", "t", False, error="KeyError: | x\ny"),
    }
    text = render(replace(PAGE, peers={"t 1": theirs}), {"l2": ROWS})
    shares = "| 60.0 % | 4.75 | 1 | 30.0 % | 80.0 % | 0.50 | 0.75 |"
    assert f"| t 1 | 3 | 2 (67 %) {shares}" in text
    assert r"| KeyError: \| x |" in text
    assert "| 30.0 % in 0.50 s |" in text


def test_an_empty_set_adds_up_to_nothing() -> None:
    assert count([]).removed is None
    assert "| of these, pruned and proved | 0 (-) |" in render(PAGE, {"l2": [lost("a/m")]})


def test_texts_of_others_stay_in_their_cells() -> None:
    hostile = "a|b\n# c `d` <e> *f* \\ \x1b[96mg\x1b[0m\x00h " + "x" * 500
    text = escaped(hostile)
    assert text.startswith(r"a\|b # c \`d\` \<e> \*f\* \\ g h xxx")
    assert len(text) < 260
    (line,) = table(["t"], [[hostile]])[2:]
    assert "\n" not in line
