from spa_onnx.bench.kernels.cases import cases
from spa_onnx.bench.kernels.shapes import Group, Linear, find_groups

GROUPS = [Group("a", [Linear(1, 4, 4), Linear(1, 8, 8)], ("unstructured", "2:4"))]


def test_every_layer_meets_every_pattern_and_share() -> None:
    found = [(str(c.pattern), c.sparsity, c.layer) for c in cases(GROUPS, (), (0.5, 0.8))]
    small, large = GROUPS[0].layers
    assert found == [
        ("unstructured", 0.5, small), ("unstructured", 0.5, large),
        ("unstructured", 0.8, small), ("unstructured", 0.8, large),
        ("2:4", 0.5, small), ("2:4", 0.5, large),
    ]  # fmt: skip


def test_patterns_that_are_asked_for_replace_those_of_the_groups() -> None:
    found = list(cases(GROUPS, ("block:4x1", "4x1"), (0.5, 0.5)))
    assert [str(c) for c in found] == ["a 4x1 50 % 1 x 4 -> 4", "a 4x1 50 % 1 x 8 -> 8"]


def test_all_groups_together_are_some_hundred_cases() -> None:
    found = list(cases(find_groups(()), (), (0.5, 0.8, 0.9)))
    assert len(found) == len(set(map(str, found))) > 300
