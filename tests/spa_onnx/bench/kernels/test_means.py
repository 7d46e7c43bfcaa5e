import pytest

from spa_onnx.bench.kernels.means import means
from spa_onnx.bench.kernels.page import pivoted
from tests.spa_onnx.bench.kernels.some_timings import row


def test_ratios_have_a_geometric_mean_for_each_group_pattern_and_share() -> None:
    rows = [row("a", 1.0), row("a", 4.0), row("a", 3.0, 0.9), row("b", 5.0, pattern="8x1")]
    found = means(rows)
    assert [(m.group, m.pattern, m.sparsity) for m in found] == [
        ("a", "4x1", 0.75), ("a", "4x1", 0.9), ("b", "8x1", 0.75),
    ]  # fmt: skip
    assert [m.mean for m in found] == pytest.approx([2.0, 3.0, 5.0])
    assert str(found[0]) == "2.00 (1.0-4.0)"


def test_groups_together_are_averaged_where_more_than_one_ran() -> None:
    first, second = row("a", 2.0, together="both"), row("b", 8.0, together="both")
    assert [m.group for m in means([first])] == ["a"]
    assert [m.group for m in means([first, row("b", 8.0, 0.9, "both")])] == ["a", "b"]
    found = means([first, second])
    assert [m.group for m in found] == ["a", "b", "both"]
    assert found[-1].mean == pytest.approx(4.0)


def test_shares_of_zeros_are_columns() -> None:
    titles, lines = pivoted(means([row("a", 2.0), row("a", 3.0, 0.5), row("b", 4.0, 0.9)]))
    assert titles == ["group", "pattern", "layers", "50 %", "75 %", "90 %"]
    assert lines == [
        ["a", "4x1", "1", "3.00 (3.0-3.0)", "2.00 (2.0-2.0)", ""],
        ["b", "4x1", "1", "", "", "4.00 (4.0-4.0)"],
    ]
