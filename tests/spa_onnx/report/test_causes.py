import pytest

from spa_onnx.report.causes import Cause, cause, group_causes
from spa_onnx.report.report import Refusal


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("Conv '/a/b': kernel positions", Cause("Conv", "Conv '/a/b'", "kernel positions")),
        ("ai.spa::Op 'n: x': no: rule", Cause("ai.spa::Op", "ai.spa::Op 'n: x'", "no: rule")),
        ("graph output 'y': is fixed", Cause("graph output", "graph output 'y'", "is fixed")),
        (
            "Add 'a': sum: the other side is fixed by graph input 'x': the interface",
            Cause("graph input", "graph input 'x'", "the interface", "Add 'a': sum"),
        ),
        ("dim w:0: excluded", Cause("dim", "dim w:0", "excluded")),
    ],
)
def test_a_reason_is_split_into_operator_node_and_text(reason: str, expected: Cause) -> None:
    assert cause(reason) == expected


def test_equal_reasons_of_different_nodes_are_one_group() -> None:
    axes = [
        Refusal("a", 2, 3, 90, ("Conv 'one': kernel positions",)),
        Refusal("a", 3, 3, 90, ("Conv 'one': kernel positions",)),
        Refusal("b", 2, 3, 10, ("Conv 'two': kernel positions",)),
        Refusal("c", 0, 5, 20, ("graph output 'y': its shape is part of the interface",)),
        Refusal("d", 0, 5, 50, ()),
    ]
    groups = group_causes(axes)
    assert [(len(g.axes), g.parameters) for g in groups] == [(1, 50), (1, 20), (3, 100)]
    assert groups[-1].nodes == ("Conv 'one'", "Conv 'two'")
    assert [g.unavoidable for g in groups] == [False, False, True]


def test_axes_are_grouped_by_what_fixed_them_first_wherever_they_met_it() -> None:
    root = "graph input 'x': its shape is part of the interface"
    axes = [
        Refusal("a", 0, 8, 64, (f"MatMul 'm': contraction: the other side is fixed by {root}",)),
        Refusal(
            "b", 0, 8, 32, (f"Add 'a': element by element: the other side is fixed by {root}",)
        ),
        Refusal("c", 0, 8, 16, (root,)),
    ]
    (group,) = group_causes(axes)
    assert group.kinds == (("graph input", "its shape is part of the interface"),)
    assert group.nodes == ("graph input 'x'",)
    assert group.parameters == 112
