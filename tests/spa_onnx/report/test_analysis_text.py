from io import StringIO

from rich.console import Console

from spa_onnx.report.analysis import (
    AnalysisReport,
    LaneCost,
    MemberReport,
    PrunableReport,
    SparedReport,
)
from spa_onnx.report.analysis_text import print_analysis
from spa_onnx.report.report import Refusal, Sizes

NAME = "encoder.layers.11.attention.self.value.projection.weight"
INPUT = "graph input 'x': its shape is part of the model's interface"
REPORT = AnalysisReport(
    "model.onnx",
    Sizes(1000, 2000, 4000),
    (
        PrunableReport(
            f"{NAME}:0#1",
            "head-dims",
            64,
            12,
            (MemberReport("bias[x]", 0, "follows"), MemberReport(NAME, 0, "produces")),
            LaneCost(0.5, 8),
            LaneCost(0.25, 16),
        ),
    ),
    (SparedReport(f"{NAME}:0#2", "heads", 12),),
    (
        Refusal(NAME, 1, 768, 500, ("Conv '/one': kernel positions",)),
        Refusal(NAME, 2, 768, 500, (f"Conv '/{NAME}': kernel positions",)),
        Refusal("v", 0, 8, 20, (f"MatMul 'm': contraction: the other side is fixed by {INPUT}",)),
        Refusal("u", 0, 8, 16, (f"Add 'a': bias: the other side is fixed by {INPUT}",)),
    ),
    {"Strange": 1},
    {},
)


def printed(width: int) -> list[str]:
    text = StringIO()
    console = Console(file=text, width=width, markup=False, highlight=False)
    print_analysis(console, REPORT, why=True)
    return text.getvalue().splitlines()


def test_names_are_never_broken() -> None:
    for width in (60, 80, 200):
        lines = printed(width)
        assert any(f"{NAME}:0#1" in line for line in lines)
        assert any(f"Conv '/{NAME}'" in line for line in lines)


def test_numbers_stand_behind_the_name_where_there_is_room() -> None:
    numbers = ["head-dims", "64", "12", "50.0", "%", "25.0", "%", "8", "16"]
    assert next(k for k in printed(200) if f"{NAME}:0#1" in k).split()[1:] == numbers
    assert numbers in [line.split() for line in printed(80)]


def test_the_weight_that_makes_the_lanes_comes_first() -> None:
    assert f"  {NAME}[0], bias[x][0]" in printed(200)


def test_what_another_granularity_could_cut_is_told_by_kind() -> None:
    assert f"  heads: {NAME}:0#2 (12)" in printed(200)


def test_operators_without_a_rule_are_told() -> None:
    assert "no rule for Strange (1 node): pruning stops there" in printed(80)


def test_what_fixed_an_axis_heads_the_group_and_where_it_was_met_stands_beside_the_weight() -> None:
    lines = printed(120)
    at = lines.index(
        "graph input: its shape is part of the model's interface (2 weight axes, 36 parameters)"
    )
    assert lines[at + 1 : at + 4] == [
        "  by graph input 'x'",
        "      20  v  axis 0:8  at MatMul 'm': contraction",
        "      16  u  axis 0:8  at Add 'a': bias",
    ]
