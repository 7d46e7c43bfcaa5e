import onnx
import pytest

import spa_onnx
from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import half, reasons, shape, widths


def chain() -> onnx.ModelProto:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    x = g.conv(g.relu(x), 6)
    return g.model(g.conv(g.relu(x), 3))


def heads_of(g: GraphBuilder, x: str, count: int, width: int) -> str:
    return g.transpose(g.reshape(g.linear(x, count * width), (0, 0, count, width)), 0, 2, 1, 3)


def attention(count: int = 2, width: int = 8) -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 5, 6))
    q, k, v = (heads_of(g, x, count, width) for _ in range(3))
    scores = g.softmax(g.matmul(q, g.transpose(k, 0, 1, 3, 2)))
    mixed = g.transpose(g.matmul(scores, v), 0, 2, 1, 3)
    return g.model(g.linear(g.reshape(mixed, (0, 0, count * width)), 3))


# -- roles and reasons -----------------------------------------------------------------------------


def test_a_dim_knows_who_makes_follows_and_consumes_it() -> None:
    dims = spa_onnx.analyze(chain()).dims
    assert [{(m.tensor, m.axis, m.role) for m in d.members} for d in dims] == [
        {("weight_1", 0, "produces"), ("bias_2", 0, "follows"), ("const_5", 1, "consumes")},
        {("const_5", 0, "produces"), ("bias_6", 0, "follows"), ("const_9", 1, "consumes")},
    ]


def test_fixed_axes_name_the_operator_and_why() -> None:
    model = chain()
    assert reasons(model, "const_9", 0).startswith("graph output 'conv_11'")
    assert "interface" in reasons(model, "const_9", 0)
    assert "Conv 'Conv_3': kernel positions" in reasons(model, "weight_1", 2)
    assert "the other side is fixed" in reasons(model, "weight_1", 1)


def test_lanes_without_producer_or_consumer_say_so() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    table = g.weight(4, 1, 1, 1, name="table")
    y = g.reduce("ReduceMax", g.mul(g.unsqueeze(x, 0), g.unsqueeze(table, 1)), 0, keepdims=False)
    model = g.model(g.conv(y, 3))
    assert "no weight produces these lanes" in reasons(model, "table", 0)
    assert widths(model) == [8]


def test_lanes_that_only_a_maximum_reads_stay() -> None:
    """Pooling groups of a maxout: made by a weight, summed by nobody."""
    g = GraphBuilder(opset=13)
    x = g.reshape(g.gemm(g.input("x", (2, 4)), 24), (2, 8, 3))
    best = g.reduce("ReduceMax", x, 2, keepdims=False)
    model = g.model(g.gemm(best, 3))
    assert widths(model) == [8]
    assert shape(half(model), "Gemm") == (12, 4)


def test_nothing_to_prune_names_the_reasons() -> None:
    g = GraphBuilder(opset=13)
    model = g.model(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3))
    with pytest.raises(spa_onnx.NothingToPruneError, match=r"nothing can be pruned: .*interface"):
        half(model)


# -- exclusion -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("weight_1", [6]),
        ("Conv_3", [6]),
        ("conv_3", [6]),
        ("bias_*", []),
        ("weight_1:0", [6]),
        ("*", []),
        ("Relu_8", [8]),
    ],
)
def test_a_pattern_keeps_tensors_nodes_and_dims_whole(pattern: str, left: list[int]) -> None:
    assert widths(chain(), exclude=(pattern,)) == left


def test_excluded_lanes_say_so() -> None:
    fixed = spa_onnx.analyze(chain(), exclude=("weight_1",)).fixed
    texts = [str(r) for f in fixed if (f.tensor, f.axis) == ("weight_1", 0) for r in f.reasons]
    assert any("excluded by a pattern" in text for text in texts)


def test_everything_excluded_is_nothing_to_prune() -> None:
    with pytest.raises(spa_onnx.NothingToPruneError):
        half(chain(), exclude=("*",))


# -- one factor of a product -----------------------------------------------------------------------


def test_a_ratio_applies_once_to_a_product() -> None:
    """Of heads times lanes half stays, not a quarter."""
    small = half(attention())
    assert [shape(small, "MatMul", index=k) for k in range(3)] == [(6, 8)] * 3


@pytest.mark.parametrize("groups", [2, 4])
def test_groups_or_lanes_of_groups_are_cut(groups: int) -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 16, 3)
    small = half(g.model(g.conv(g.conv(x, 16, 3, groups=groups), 3)))
    assert shape(small, "Conv")[0] == 8
    assert shape(small, "Conv", index=2)[1] == 8


def test_repeated_multipliers_do_not_multiply_the_ratio() -> None:
    """A width refined to ``c*2*2``: halving every factor would keep an eighth."""
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    x = g.conv(x, 16, 3, groups=8)
    x = g.conv(x, 32, 3, groups=16)
    small = half(g.model(g.conv(x, 3)))
    assert shape(small, "Conv", index=3)[1] == 16
