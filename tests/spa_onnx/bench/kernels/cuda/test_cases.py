import pytest

from spa_onnx.bench.kernels.cuda.cases import GROUPS, TYPES, cases, packing_for
from spa_onnx.bench.kernels.shapes import Group, Linear, find_groups
from spa_onnx.errors import UsageError
from spa_onnx.sparse.pattern import parse_pattern

SOME = [Group("a", [Linear(1, 4, 4), Linear(1, 8, 8)], ("16x16", "2:4"))]


def test_every_layer_meets_every_type_pattern_and_share() -> None:
    found = [str(case) for case in cases(SOME, (), (0.5, 0.8), TYPES)]
    one_type = [
        "16x16 50 % 1 x 4 -> 4", "16x16 50 % 1 x 8 -> 8", "16x16 80 % 1 x 4 -> 4",
        "16x16 80 % 1 x 8 -> 8", "2:4 50 % 1 x 4 -> 4", "2:4 50 % 1 x 8 -> 8",
    ]  # fmt: skip
    assert found == [f"a {values} {text}" for values in TYPES for text in one_type]


def test_groups_have_layers_of_many_tokens_and_images() -> None:
    found = {group.name: group for group in GROUPS}
    assert str(found["1x1"].layers[0]) == "8 x 1x1 256 -> 64 @ 56"
    assert found["1x1"].layers[0].positions == 8 * 56 * 56
    assert found["bert"].layers[0].positions == 1024
    joined = {group.name for group in GROUPS if group.together}
    assert joined == {"linear-512", "linear-2048", "linear-4096"}
    assert [g.name for g in find_groups(["bert"], GROUPS)] == ["bert"]


@pytest.mark.parametrize(
    ("pattern", "stored"),
    [
        ("16x16", "tiles 16x16"),
        ("64x32", "tiles 64x32"),
        ("2:4", "2:4"),
        ("unstructured", "bitmask"),
    ],
)
def test_patterns_have_a_form(pattern: str, stored: str) -> None:
    assert str(packing_for(parse_pattern(pattern))) == stored


@pytest.mark.parametrize("pattern", ["4x1", "1x16", "48x16", "1:4", "4:8"])
def test_patterns_without_a_kernel_are_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match=f"no kernel for GPUs has pattern {pattern}; there are"):
        list(cases(SOME, (pattern,), (0.5,), TYPES))
