from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from spa_onnx.prove.proof_values import Difference, Proof
from spa_onnx.report.report import DimReport, PruneReport, Refusal, Sizes
from spa_onnx.report.text import FileSizes, main_refusals, print_run

KERNEL = Refusal("w", 2, 3, 900, ("Conv '/c': kernel positions",))
OUTPUT = Refusal("head", 0, 10, 50, ("graph output 'y': its shape is part of the interface",))
TABLE = Refusal("table", 0, 99, 2, ("Gather '/g[0]': indexed at run time",))

REPORT = PruneReport(
    model="model.onnx",
    before=Sizes(1000, 4_000_000, 4000),
    after=Sizes(260, 1_000_000, 1040),
    dims=(
        DimReport("a", 8, 4, uneven=True, tensors=("w",)),
        DimReport("b", 8, 8, uneven=False, tensors=("v",)),
    ),
    refusals=(KERNEL, OUTPUT, TABLE),
    unknown_operators={"Strange": 2},
    proof=Proof((Difference("y", 2e-7, 1.25),), (Difference("t", 1e-7, 0.5),), (), {}, 1, 10**9),
    seconds={"load": 0.25, "verify": 1.0},
    settings={},
    versions={},
    notes=("something to know",),
)


def printed(report: PruneReport, width: int = 200) -> str:
    text = StringIO()
    console = Console(file=text, width=width, markup=False, highlight=False)
    print_run(console, report, FileSizes("out.onnx", 5000, 1500))
    return text.getvalue()


def test_before_and_after_stand_side_by_side() -> None:
    rows = [line.split() for line in printed(REPORT).splitlines()]
    assert rows[0] == ["before", "after", "kept"]
    assert rows[1] == ["parameters", "1,000", "260", "26.0", "%"]
    assert rows[2] == ["operations", "4.00", "M", "1.00", "M", "25.0", "%"]
    assert rows[4] == ["file", "5.00", "kB", "1.50", "kB", "30.0", "%"]


@pytest.mark.parametrize(
    "text",
    [
        "1 of 2 prunable dims, 1 with different lanes in every row; 8 lanes became 4",
        "2 tensors compared with the masked original: largest difference 2e-07 of scale, power 1.2",
        "1 weight axis (50 parameters) by graph output 'y': its shape is part of the interface",
        "Strange, 2 nodes: pruning stops there",
        "something to know",
        "1.25 s, of that verify 1.00 s",
        "out.onnx",
    ],
)
def test_everything_that_matters_is_told(text: str) -> None:
    assert text in printed(REPORT)


def test_no_line_is_wider_than_the_window() -> None:
    assert max(map(len, printed(REPORT, width=80).splitlines())) <= 80


def test_a_run_that_cuts_nothing_says_so() -> None:
    whole = replace(REPORT, dims=REPORT.dims[1:], proof=None)
    assert "0 of 1 prunable dim; the model is unchanged" in printed(whole)
    assert "proof" not in printed(whole)


def test_only_reasons_that_matter_are_told() -> None:
    assert main_refusals([KERNEL], 1000) == []
    assert len(main_refusals([KERNEL, OUTPUT, TABLE], 1000)) == 1
    assert len(main_refusals([KERNEL, OUTPUT, TABLE], 100)) == 2
    assert "'/g[0]'" in main_refusals([TABLE], 1000)[0]
