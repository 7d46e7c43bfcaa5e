import onnx
import pytest

import spa_onnx
from spa_onnx.analyse.dims import Analysis
from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import attribute, half, half_result, reasons, shape, widths


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


# -- uneven rows -----------------------------------------------------------------------------------


def rows_by_size(analysis: Analysis) -> dict[int, int | None]:
    """Return for every dim, by its size, how many rows keep lanes of their own."""
    return {d.dim.size: None if d.rows is None else d.rows.size for d in analysis.dims}


def test_lanes_of_heads_may_differ_from_head_to_head() -> None:
    analysis = spa_onnx.analyze(attention(count=2, width=8))
    assert [d.rows is not None and d.rows.size for d in analysis.dims] == [2, 2]


def test_lanes_of_groups_may_differ_from_group_to_group() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 20, 3)
    analysis = spa_onnx.analyze(g.model(g.conv(g.conv(x, 24, 3, groups=2), 3)))
    assert rows_by_size(analysis) == {10: 2, 12: 2}


def test_a_residual_around_groups_ties_inputs_to_outputs() -> None:
    """``o = i`` stands on two axes of the weight, once without its groups."""
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 16, 3)
    y = g.add(x, g.conv(x, 16, 3, groups=2))
    model = g.model(g.conv(g.relu(y), 3))
    assert all(d.rows is None for d in spa_onnx.analyze(model).dims)
    for seed in range(3):
        half(model, seed=seed)


def test_heads_that_run_faster_than_their_lanes_are_even() -> None:
    """NesT flattens heads as ``d*h``: a slice by mask would order kept lanes otherwise."""
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 5, 6))

    def heads() -> str:
        return g.transpose(g.reshape(g.linear(x, 16), (0, 0, 8, 2)), 0, 3, 1, 2)

    scores = g.softmax(g.matmul(heads(), g.transpose(heads(), 0, 1, 3, 2)))
    mixed = g.transpose(g.matmul(scores, heads()), 0, 2, 3, 1)
    model = g.model(g.linear(g.reshape(mixed, (0, 0, 16)), 3))
    for dim in spa_onnx.analyze(model).dims:
        assert dim.rows is None or dim.rows.size != 2
    for seed in range(3):
        half(model, seed=seed)


def test_a_permutation_of_lanes_makes_rows_even() -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 5, 6))
    q, k = (heads_of(g, x, 2, 12) for _ in range(2))
    order = [5, 0, 11, 3, 8, 1, 10, 2, 7, 4, 9, 6]
    scores = g.softmax(g.matmul(g.gather(q, order, 3), g.transpose(k, 0, 1, 3, 2)))
    v = heads_of(g, x, 2, 8)
    mixed = g.transpose(g.matmul(scores, v), 0, 2, 1, 3)
    model = g.model(g.linear(g.reshape(mixed, (0, 0, 16)), 3))
    for dim in spa_onnx.analyze(model).dims:
        assert (dim.rows is None) == (dim.dim.size == 12)
    half(model)


def test_a_group_convolution_of_permuted_lanes_loses_lanes_of_every_group() -> None:
    g = GraphBuilder(opset=17)
    x = g.relu(g.conv(g.input("x", (2, 3, 6, 6)), 12))
    order = [5, 0, 11, 3, 8, 1, 10, 2, 7, 4, 9, 6]
    y = g.relu(g.conv(g.gather(x, order), 12, 3, groups=3))
    model = g.model(g.gemm(g.flatten(g.global_average_pool(g.conv(y, 8))), 3))
    result = half_result(model)
    lanes = {cut.size: cut for cut in result.plan.cuts}
    assert set(lanes) == {4, 8}
    assert attribute(result.model, "Conv", "group", 1) == 3
    assert shape(result.model, "Conv", index=1)[:2] == (6, 2)


def test_rows_of_a_dim_are_not_uneven_themselves() -> None:
    for model in (attention(), attention(4, 4)):
        dims = spa_onnx.analyze(model).dims
        uneven = {d.dim for d in dims if d.rows is not None}
        assert not uneven & {d.rows for d in dims}


def test_plans_of_uneven_dims_keep_other_lanes_in_every_row() -> None:
    plan = half_result(attention(), seed=3).plan
    assert any(len(set(cut.keep)) > 1 for cut in plan.cuts)
    for cut in plan.cuts:
        assert len({len(lanes) for lanes in cut.keep}) == 1
