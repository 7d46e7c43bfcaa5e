import pytest

from spa_onnx.bench.kernels.shapes import GROUPS, Convolution, Linear, find_groups
from spa_onnx.errors import UsageError
from spa_onnx.sparse.pattern import parse_pattern


def test_groups_are_found_by_name_each_once() -> None:
    assert find_groups([]) == list(GROUPS)
    assert [g.name for g in find_groups(["decode", "3x3", "decode"])] == ["decode", "3x3"]


def test_an_unknown_group_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no group '5x5'; --list tells of 1x1, 1x1-mobile, 3x3"):
        find_groups(["5x5"])


def test_every_group_has_layers_and_patterns_that_parse() -> None:
    for group in GROUPS:
        assert group.layers
        assert [parse_pattern(name) for name in group.patterns]


def test_groups_of_many_tokens_are_averaged_together() -> None:
    joined = {group.name for group in GROUPS if group.together}
    assert joined == {"linear-128", "linear-196"}


def test_layers_know_their_matrix_and_tensors() -> None:
    conv = Convolution(8, 6, 5, 3)
    assert (conv.rows, conv.columns, conv.positions) == (6, 72, 25)
    assert (conv.x_shape, conv.y_shape) == ((1, 8, 5, 5), (1, 6, 5, 5))
    assert str(conv) == "3x3 8 -> 6 @ 5"
    linear = Linear(4, 8, 6)
    assert (linear.rows, linear.columns, linear.positions) == (6, 8, 4)
    assert (linear.x_shape, linear.y_shape) == ((4, 8), (4, 6))
