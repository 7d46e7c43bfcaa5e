"""Uneven rows of lanes in another order; every run of ``half`` proves that results are right."""

import onnx
import pytest

import spa_onnx
from tests.builders import GraphBuilder
from tests.spa_onnx.analyse.test_rows import heads_of, rows_by_size
from tests.spa_onnx.pruned_models import attribute, half, half_result, shape

ORDER = [5, 0, 11, 3, 8, 1, 10, 2, 7, 4, 9, 6]
"""An order of twelve lanes without a pattern."""


def image(g: GraphBuilder, channels: int) -> str:
    return g.relu(g.conv(g.input("x", (2, 3, 6, 6)), channels))


def shuffled(g: GraphBuilder, x: str, groups: int) -> str:
    n, c, *size = g.shape(x)
    y = g.transpose(g.reshape(x, (n, groups, c // groups, *size)), 0, 2, 1, 3, 4)
    return g.reshape(y, (n, c, *size))


def pooled(g: GraphBuilder, x: str) -> onnx.ModelProto:
    return g.model(g.gemm(g.flatten(g.global_average_pool(g.conv(x, 8))), 3))


def selected() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    return pooled(g, g.relu(g.conv(g.gather(image(g, 12), ORDER), 12, 3, groups=3)))


def selected_twice() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.batch_norm(g.gather(g.gather(image(g, 12), ORDER), ORDER[::-1]))
    return pooled(g, g.conv(g.relu(x), 12, 3, groups=3))


def selected_behind_depthwise() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.conv(image(g, 12), 12, 3, groups=12)
    return pooled(g, g.conv(g.relu(g.gather(x, ORDER)), 18, 3, groups=3))


def selected_and_as_they_were() -> onnx.ModelProto:
    """The permuted lanes feed a plain convolution, too."""
    g = GraphBuilder(opset=17)
    x = image(g, 12)
    y = g.conv(g.gather(x, ORDER), 12, 3, groups=3)
    return pooled(g, g.concat(y, g.conv(x, 5)))


def permuted_around_a_residual() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = image(g, 12)
    x = g.add(x, g.conv(g.relu(x), 12))
    return pooled(g, g.conv(g.gather(x, ORDER), 12, 3, groups=2))


def shuffled_concatenation() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 3, 6, 6))
    joined = g.relu(g.concat(g.conv(x, 8), g.conv(x, 4)))
    return pooled(g, g.conv(shuffled(g, joined, 2), 12, 3, groups=3))


def shuffles_in_a_row() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.conv(shuffled(g, image(g, 12), 2), 12, groups=2)
    x = g.conv(shuffled(g, g.relu(g.batch_norm(x)), 2), 12, 3, groups=12)
    return pooled(g, g.conv(shuffled(g, x, 3), 12, groups=2))


def reversed_groups() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.slice(image(g, 12), -1, step=-1)
    return pooled(g, g.conv(x, 12, 3, groups=3))


PERMUTED = {
    "selected": (selected, 2),
    "selected twice": (selected_twice, 2),
    "behind depthwise": (selected_behind_depthwise, 2),
    "and as they were": (selected_and_as_they_were, 2),
    "around a residual": (permuted_around_a_residual, 2),
    "a concatenation": (shuffled_concatenation, 0),
    "shuffles in a row": (shuffles_in_a_row, 1),
    "reversed": (reversed_groups, 2),
}


@pytest.mark.parametrize("case", sorted(PERMUTED))
def test_groups_of_permuted_lanes_may_keep_lanes_of_their_own(case: str) -> None:
    made, least = PERMUTED[case]
    model = made()
    analysis = spa_onnx.analyze(model)
    assert sum(d.rows is not None for d in analysis.dims) >= least
    for seed in range(4):
        plan = half_result(model, seed=seed).plan
        assert any(len(set(cut.keep)) > 1 for cut in plan.cuts) == (least > 0)


def test_a_group_convolution_of_permuted_lanes_loses_lanes_of_every_group() -> None:
    result = half_result(selected())
    assert {cut.size for cut in result.plan.cuts} == {4, 8}
    assert attribute(result.model, "Conv", "group", 1) == 3
    assert shape(result.model, "Conv", index=1)[:2] == (6, 2)


def test_a_permutation_in_each_row_makes_rows_even() -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 5, 6))
    q, k = (heads_of(g, x, 2, 12) for _ in range(2))
    scores = g.softmax(g.matmul(g.gather(q, ORDER, 3), g.transpose(k, 0, 1, 3, 2)))
    v = heads_of(g, x, 2, 8)
    mixed = g.transpose(g.matmul(scores, v), 0, 2, 1, 3)
    model = g.model(g.linear(g.reshape(mixed, (0, 0, 16)), 3))
    for dim in spa_onnx.analyze(model).dims:
        assert (dim.rows is None) == (dim.dim.size == 12)
    half(model)


def test_permuted_rows_keep_their_lanes() -> None:
    """Heads are reordered, the lanes of each stay what they were."""
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 5, 6))
    q, k, v = (g.gather(heads_of(g, x, 12, 4), ORDER) for _ in range(3))
    scores = g.softmax(g.matmul(q, g.transpose(k, 0, 1, 3, 2)))
    mixed = g.transpose(g.matmul(scores, v), 0, 2, 1, 3)
    model = g.model(g.linear(g.reshape(mixed, (0, 0, 48)), 3))
    assert rows_by_size(spa_onnx.analyze(model, granularity=("head-dims",))) == {4: 12}
    for seed in range(3):
        half(model, seed=seed, granularity=("head-dims",))
