"""Rows that keep lanes of their own; that results are right is proved by every run of ``half``."""

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

import spa_onnx
from spa_onnx.analyse.dims import Analysis
from spa_onnx.rewrite import payload
from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import half, half_result, prune_at_random
from tests.spa_onnx.untracked import shaped


def rows_by_size(analysis: Analysis) -> dict[int, int | None]:
    """Return for every dim, by its size, how many rows keep lanes of their own."""
    return {d.dim.size: None if d.rows is None else d.rows.size for d in analysis.dims}


def heads_of(g: GraphBuilder, x: str, count: int, width: int) -> str:
    """Return ``(N, h, T, d)`` of a linear layer that makes ``h*d``."""
    return g.transpose(g.reshape(g.linear(x, count * width), (0, 0, count, width)), 0, 2, 1, 3)


def attention(count: int = 2, width: int = 8) -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 5, 6))
    q, k, v = (heads_of(g, x, count, width) for _ in range(3))
    scores = g.softmax(g.matmul(q, g.transpose(k, 0, 1, 3, 2)))
    mixed = g.transpose(g.matmul(scores, v), 0, 2, 1, 3)
    return g.model(g.linear(g.reshape(mixed, (0, 0, count * width)), 3))


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


def test_a_product_of_rows_with_each_other_ties_them() -> None:
    """Both operands know a row for each lane, but not the same one."""
    g = GraphBuilder(opset=17)
    y = g.reshape(g.linear(g.input("x", (6, 10)), 32), (6, 4, 8))
    scores = g.softmax(g.matmul(y, g.transpose(y, 0, 2, 1)))
    model = g.model(g.linear(g.reshape(scores, (6, 16)), 3))
    assert rows_by_size(spa_onnx.analyze(model, granularity=("channels",))) == {8: None}
    for seed in range(3):
        half(model, seed=seed, granularity=("channels",))


@pytest.mark.parametrize("kind", ["Softmax", "LpNormalization", "MeanVarianceNormalization"])
def test_what_an_operator_compares_across_rows_ties_them(kind: str) -> None:
    """Over the rows a softmax, a norm or statistics see lanes of all of them."""
    g = GraphBuilder(opset=17)
    y = g.reshape(g.linear(g.input("x", (6, 10)), 32), (6, 4, 8))
    if kind == "MeanVarianceNormalization":
        mixed = g.node(kind, [y], axes=[1])
    else:
        mixed = g.node(kind, [y], axis=1)
    model = g.model(g.linear(g.reshape(mixed, (6, 32)), 3))
    assert rows_by_size(spa_onnx.analyze(model)) == {8: None}
    for seed in range(3):
        half(model, seed=seed)


def test_groups_that_are_normalised_stay_together() -> None:
    """Groups may not keep other lanes for each place inside: statistics are over whole groups."""
    g = GraphBuilder(opset=21)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 24)
    model = g.model(g.conv(g.group_norm(x, 8), 3))
    assert rows_by_size(spa_onnx.analyze(model)) == {8: None}
    half(model)


def test_heads_of_a_fused_attention_stay_together() -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 5, 6))
    q, k, v = (g.linear(x, 24) for _ in range(3))
    y = g.node("MultiHeadAttention", [q, k, v], domain="com.microsoft", num_heads=8)
    model = g.model(g.linear(shaped(g, y, (2, 5, 24)), 3))
    assert rows_by_size(spa_onnx.analyze(model, granularity=("heads",))) == {8: None}
    half(model, granularity=("heads",))


# -- rows that run faster than their lanes ---------------------------------------------------------


def lane_first(g: GraphBuilder, x: str, width: int, count: int) -> str:
    """Return ``(N, h, T, d)`` of a linear layer that makes ``d*h``."""
    return g.transpose(g.reshape(g.linear(x, width * count), (0, 0, width, count)), 0, 3, 1, 2)


def attended(g: GraphBuilder, q: str, k: str, v: str) -> str:
    """Return attention, flattened as ``d*h``."""
    scores = g.softmax(g.matmul(q, g.transpose(k, 0, 1, 3, 2)))
    mixed = g.transpose(g.matmul(scores, v), 0, 2, 3, 1)
    _, tokens, width, count = g.shape(mixed)
    return g.reshape(mixed, (0, tokens, width * count))


def lanes_before_heads() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 5, 6))
    return g.model(g.linear(attended(g, *(lane_first(g, x, 8, 2) for _ in range(3))), 3))


def one_projection() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    qkv = g.reshape(g.linear(g.input("x", (2, 5, 6)), 72), (0, 0, 3, 8, 3))
    parts = g.split(g.transpose(qkv, 2, 0, 4, 1, 3), (1, 1, 1), axis=0)
    return g.model(g.linear(attended(g, *(g.squeeze(p, 0) for p in parts)), 3))


def interleaved_projection() -> onnx.ModelProto:
    """Lanes of query, key and value of all heads side by side: ``d*(q|k|v)*h``."""
    g = GraphBuilder(opset=17)
    qkv = g.reshape(g.linear(g.input("x", (2, 5, 6)), 72), (0, 0, 8, 9))
    parts = (g.transpose(p, 0, 3, 1, 2) for p in g.split(qkv, (3, 3, 3), axis=3))
    return g.model(g.linear(attended(g, *parts), 3))


def grouped_queries() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 5, 6))
    q = lane_first(g, x, 8, 4)

    def shared() -> str:
        y = g.unsqueeze(lane_first(g, x, 8, 2), 2)
        return g.reshape(g.expand(y, (2, 2, 2, 5, 8)), (2, 4, 5, 8))

    return g.model(g.linear(attended(g, q, shared(), shared()), 3))


def mixed_orders() -> onnx.ModelProto:
    """Queries come as ``h*d``, keys as ``d*h``, in one place the result as ``d*T*h``."""
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 5, 6))
    mixed = attended(g, heads_of(g, x, 2, 8), lane_first(g, x, 8, 2), heads_of(g, x, 2, 8))
    return g.model(g.linear(g.layer_norm(mixed), 3))


def lanes_of_images() -> onnx.ModelProto:
    """A convolution makes ``d*h``, a group convolution takes ``h*d``."""
    g = GraphBuilder(opset=17)
    x = g.relu(g.batch_norm(g.conv(g.input("x", (2, 3, 4, 4)), 24)))
    x = g.reshape(g.transpose(g.reshape(x, (2, 8, 3, 4, 4)), 0, 2, 1, 3, 4), (2, 24, 4, 4))
    return g.model(g.conv(g.conv(x, 12, 3, groups=3), 3))


def joined_lanes() -> onnx.ModelProto:
    """Of ``d*h | e*h`` both parts have rows."""
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 3, 4, 4))
    x = g.relu(g.concat(g.conv(x, 24), g.conv(x, 12)))
    x = g.reshape(g.transpose(g.reshape(x, (2, 12, 3, 4, 4)), 0, 2, 1, 3, 4), (2, 36, 4, 4))
    return g.model(g.conv(g.conv(x, 12, 3, groups=3), 3))


LANES_FIRST = {
    "lanes before heads": (lanes_before_heads, 2),
    "one projection": (one_projection, 1),
    "interleaved projection": (interleaved_projection, 1),
    "grouped queries": (grouped_queries, 2),
    "mixed orders": (mixed_orders, 1),
    "images": (lanes_of_images, 2),
    "joined": (joined_lanes, 2),
}


@pytest.mark.parametrize("case", sorted(LANES_FIRST))
def test_rows_may_run_faster_than_their_lanes(case: str) -> None:
    made, least = LANES_FIRST[case]
    model = made()
    analysis = spa_onnx.analyze(model)
    assert sum(d.rows is not None for d in analysis.dims) >= least
    for seed in range(4):
        plan = half_result(model, seed=seed).plan
        assert any(len(set(cut.keep)) > 1 for cut in plan.cuts)


def test_a_reversal_of_lanes_that_rows_run_behind_makes_rows_even() -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 5, 6))
    flipped = g.slice(g.linear(x, 16), -1, axis=2, step=-1)
    q = g.transpose(g.reshape(flipped, (0, 0, 8, 2)), 0, 3, 1, 2)
    model = g.model(g.linear(attended(g, q, *(lane_first(g, x, 8, 2) for _ in range(2))), 3))
    rows = [d.rows for d in spa_onnx.analyze(model).dims]
    assert None in rows
    for seed in range(3):
        half(model, seed=seed)


def test_weights_outside_the_model_are_put_in_the_new_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "INLINE_LIMIT", 16)
    monkeypatch.setattr(payload, "CHUNK", 64)
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 6))
    y = g.reshape(g.gemm(x, 24), (2, 8, 3))
    y = g.matmul(g.unsqueeze(g.transpose(y, 0, 2, 1), 2), g.weight(3, 8, 4, fan_in=8))
    path = tmp_path / "model.onnx"
    onnx.save_model(
        g.model(g.linear(g.reshape(y, (2, 12)), 3)), path, save_as_external_data=True,
        size_threshold=128,
    )  # fmt: skip
    result = prune_at_random(path, output=tmp_path / "pruned.onnx")
    assert any(len(set(cut.keep)) > 1 for cut in result.plan.cuts)


def test_plans_of_such_rows_can_be_applied_again() -> None:
    model = lanes_before_heads()
    result = half_result(model)
    plan = spa_onnx.Plan.from_json(result.plan.to_json(), "plan")
    again = spa_onnx.apply(model, plan)
    assert again.model.SerializeToString() == result.model.SerializeToString()


def test_a_plan_of_rows_that_are_not_those_of_the_model_is_refused() -> None:
    model = lanes_before_heads()
    plan = half_result(model).plan
    cuts = tuple(replace(cut, rows=cut.rows and "other:0#1") for cut in plan.cuts)
    with pytest.raises(spa_onnx.PlanError, match=r"cuts rows .* apart, unknown here"):
        spa_onnx.apply(model, replace(plan, cuts=cuts))
