"""Queries and keys of networks: lanes that others tell are not missed in their products."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx.report.report import RepairReport
from tests.builders import GraphBuilder
from tests.graph_writer import AnyArray
from tests.onnx_runs import random_feeds
from tests.spa_onnx.calibrate.listed import Listed
from tests.spa_onnx.untracked import shaped

HEADS, WIDTH, RANK, SIZE = 2, 8, 3, 12


def redundant(g: GraphBuilder, heads: int = HEADS) -> AnyArray:
    """Return a matrix whose outputs in each head are combinations of three."""
    base = g.random.standard_normal((SIZE, heads, RANK))
    mix = g.random.standard_normal((heads, RANK, WIDTH))
    made: AnyArray = np.einsum("ihr,hrd->ihd", base, mix).reshape(SIZE, -1) / 4
    return made.astype(np.float32)


def _split(g: GraphBuilder, x: str, heads: int = HEADS) -> str:
    return g.transpose(g.reshape(x, (0, 0, heads, WIDTH)), 0, 2, 1, 3)


def _finished(g: GraphBuilder, logits: str, x: str) -> onnx.ModelProto:
    v = _split(g, g.linear(x, HEADS * WIDTH))
    mixed = g.transpose(g.matmul(g.softmax(logits), v), 0, 2, 1, 3)
    return g.model(g.linear(g.reshape(mixed, (0, 0, HEADS * WIDTH)), 3))


def _start() -> tuple[GraphBuilder, str]:
    g = GraphBuilder(opset=17)
    return g, g.input("x", ("N", 5, SIZE))


def _plain() -> onnx.ModelProto:
    g, x = _start()
    q, k = (_split(g, g.matmul(x, g.constant(redundant(g)))) for _ in range(2))
    return _finished(g, g.matmul(q, g.transpose(k, 0, 1, 3, 2)), x)


def _scaled() -> onnx.ModelProto:
    g, x = _start()
    q = g.mul(_split(g, g.matmul(x, g.constant(redundant(g)))), g.constant(np.float32(0.35)))
    k = _split(g, g.linear(x, HEADS * WIDTH))
    return _finished(g, g.matmul(q, g.div(g.transpose(k, 0, 1, 3, 2), g.constant(2.0))), x)


def _packed() -> onnx.ModelProto:
    g, x = _start()
    w = g.constant(np.concatenate([redundant(g) for _ in range(3)], axis=1))
    y = g.reshape(g.matmul(x, w), (0, 0, 3, HEADS, WIDTH))
    y = g.transpose(y, 2, 0, 3, 1, 4)
    q, k, v = (g.gather(y, np.array(n), axis=0) for n in range(3))
    mixed = g.matmul(g.softmax(g.matmul(q, g.transpose(k, 0, 1, 3, 2))), v)
    mixed = g.transpose(mixed, 0, 2, 1, 3)
    return g.model(g.linear(g.reshape(mixed, (0, 0, HEADS * WIDTH)), 3))


def _einsum() -> onnx.ModelProto:
    g, x = _start()
    q, k = (
        g.reshape(g.matmul(x, g.constant(redundant(g))), (0, 0, HEADS, WIDTH)) for _ in range(2)
    )
    return _finished(g, g.einsum("nqhd,nkhd->nhqk", q, k), x)


def _multi_query() -> onnx.ModelProto:
    """One key for all heads, so keys keep their lanes and queries make up for it."""
    g, x = _start()
    q = _split(g, g.matmul(x, g.constant(redundant(g))))
    k = _split(g, g.matmul(x, g.constant(redundant(g, 1))), 1)
    return _finished(g, g.matmul(q, g.transpose(k, 0, 1, 3, 2)), x)


def _repeated_key() -> onnx.ModelProto:
    g, x = _start()
    q = _split(g, g.matmul(x, g.constant(redundant(g))))
    k = _split(g, g.matmul(x, g.constant(redundant(g, 1))), 1)
    k = g.concat(k, k, axis=1)
    return _finished(g, g.matmul(q, g.transpose(k, 0, 1, 3, 2)), x)


def _expanded_key() -> onnx.ModelProto:
    g, x = _start()
    q = _split(g, g.matmul(x, g.constant(redundant(g))))
    k = _split(g, g.matmul(x, g.constant(redundant(g, 1))), 1)
    shape = g.constant(np.array([1, HEADS, 1, 1]))
    k = g.node("Expand", [k, shape])
    return _finished(g, g.matmul(q, g.transpose(k, 0, 1, 3, 2)), x)


def _fused() -> onnx.ModelProto:
    g, x = _start()
    q, k = (g.matmul(x, g.constant(redundant(g))) for _ in range(2))
    inputs = [q, k, g.linear(x, HEADS * WIDTH)]
    y = g.node("MultiHeadAttention", inputs, domain="com.microsoft", num_heads=HEADS)
    return g.model(g.linear(shaped(g, y, ("N", 5, HEADS * WIDTH)), 3))


def _grouped_queries() -> onnx.ModelProto:
    g = GraphBuilder(opset=23)
    x = g.input("x", ("N", 5, SIZE))
    q, k = g.matmul(x, g.constant(redundant(g))), g.matmul(x, g.constant(redundant(g, 1)))
    inputs = [q, k, g.linear(x, WIDTH)]
    y = g.node("Attention", inputs, q_num_heads=HEADS, kv_num_heads=1)
    return g.model(g.linear(y, 3))


MODELS = (
    _plain, _scaled, _packed, _einsum, _multi_query, _expanded_key, _fused, _grouped_queries,
)  # fmt: skip


def batches(model: onnx.ModelProto) -> Listed:
    return Listed([dict(random_feeds(model, k, {"N": n})) for k, n in enumerate((16, 16, 16, 7))])


def repaired(
    model: onnx.ModelProto, importance: str = "random", memory: int = 10**9
) -> RepairReport:
    """Prune lanes of queries and keys alone, and return the report of the repair."""
    first, *others = (d.name for d in spa_onnx.analyze(model, granularity=("head-dims",)).dims)
    config = spa_onnx.PruneConfig(
        spa_onnx.Ratio(0.5), importance=importance, compensation="ridge",
        calibration=batches(model), granularity=("head-dims",),
        exclude=tuple(name.split(":")[0] + "*" for name in others), statistics_memory=memory,
    )  # fmt: skip
    result = spa_onnx.prune(model, config)
    onnx.checker.check_model(result.model, full_check=True)
    assert {d.name for d in result.report.dims if d.after < d.before} == {first}
    assert result.report.repair is not None
    return result.report.repair


@pytest.mark.parametrize("build", MODELS)
def test_redundant_lanes_of_queries_and_keys_are_not_missed(
    build: Callable[[], onnx.ModelProto],
) -> None:
    report = repaired(build())
    assert report.before > 0.01
    assert report.products == 1
    assert report.left == ()
    assert report.after < 1e-3 * report.before  # the ridge's


def test_the_memory_holds_for_both_sides_together() -> None:
    both = 2 * (HEADS * WIDTH) ** 2 * 8
    assert repaired(_plain(), memory=both).products == 1
    report = repaired(_plain(), memory=both - 1)
    assert report.products == 0
    assert "more than the statistics memory" in report.left[0].reason


def test_products_above_the_memory_are_scored_by_weights() -> None:
    kept = repaired(_plain(), "obspa", memory=10**9), repaired(_plain(), "obspa", memory=100)
    assert kept[0].before < kept[1].before


def _rotated(g: GraphBuilder, x: str) -> str:
    """Rotate halves of each head by an angle of each step."""
    angles = np.outer(np.arange(5), 1 / 3.0 ** np.arange(WIDTH // 2)).astype(np.float32)
    cos, sin = (g.constant(np.tile(f(angles), (1, 2))) for f in (np.cos, np.sin))
    a, b = g.split(x, [WIDTH // 2] * 2, axis=3)
    turned = g.concat(g.node("Neg", [b]), a, axis=3)
    return g.add(g.mul(x, cos), g.mul(turned, sin))


def _rotary() -> onnx.ModelProto:
    g, x = _start()
    q, k = (_rotated(g, _split(g, g.matmul(x, g.constant(redundant(g))))) for _ in range(2))
    return _finished(g, g.matmul(q, g.transpose(k, 0, 1, 3, 2)), x)


def _squashed() -> onnx.ModelProto:
    g, x = _start()
    q, k = (_split(g, g.tanh(g.matmul(x, g.constant(redundant(g))))) for _ in range(2))
    return _finished(g, g.matmul(q, g.transpose(k, 0, 1, 3, 2)), x)


def _one_for_both() -> onnx.ModelProto:
    """Queries that are the keys: no side can change without the other."""
    g, x = _start()
    q = _split(g, g.matmul(x, g.constant(redundant(g))))
    return _finished(g, g.matmul(q, g.transpose(q, 0, 1, 3, 2)), x)


@pytest.mark.parametrize("build", [_rotary, _squashed, _repeated_key, _one_for_both])
def test_other_nodes_in_between_and_other_readers_are_no_obstacle_to_the_rest(
    build: Callable[[], onnx.ModelProto],
) -> None:
    report = repaired(build())
    assert report.before > 0.01
    assert report.after < 1.01 * report.before
    assert report.products == 0
    (left,) = report.left
    assert (left.operator, left.count) == ("MatMul", 1)
    reader = "others read" if build is _one_for_both else "more than moves"
    assert reader in left.reason


def test_heads_that_keep_different_lanes_are_repaired_each_for_itself() -> None:
    """Values by the projection behind them, queries and keys by the layers in front."""
    g, x = _start()
    q, k, v = (_split(g, g.matmul(x, g.constant(redundant(g)))) for _ in range(3))
    mixed = g.matmul(g.softmax(g.matmul(q, g.transpose(k, 0, 1, 3, 2))), v)
    y = g.reshape(g.transpose(mixed, 0, 2, 1, 3), (0, 0, HEADS * WIDTH))
    model = g.model(g.linear(y, 3))
    config = spa_onnx.PruneConfig(
        spa_onnx.Ratio(0.5), importance="random", compensation="ridge", calibration=batches(model)
    )
    report = spa_onnx.prune(model, config).report
    assert [(d.before, d.after, d.uneven) for d in report.dims] == [(WIDTH, WIDTH // 2, True)] * 2
    assert report.repair is not None
    assert report.repair.before > 0.1
    assert report.repair.after < 1e-5


def test_lanes_are_worth_what_the_product_loses_whatever_their_weights() -> None:
    """Half of the lanes have large keys and queries of nearly nothing."""
    g, x = _start()
    scale = np.tile(np.repeat(np.array([1e-4, 1], np.float32), WIDTH // 2), HEADS)
    w, v = g.random.standard_normal((2, SIZE, HEADS * WIDTH)).astype(np.float32) / 4
    q = _split(g, g.tanh(g.matmul(x, g.constant(w * scale))))
    k = _split(g, g.matmul(x, g.constant(v / np.maximum(scale, 0.05))))
    model = _finished(g, g.matmul(q, g.transpose(k, 0, 1, 3, 2)), x)
    assert repaired(model, "obspa").before < 1e-4 < 0.01 < repaired(model, "l2").before


def test_curves_of_queries_and_keys_are_measured_with_their_repair() -> None:
    model = _plain()
    config = spa_onnx.PruneConfig.of_recipe(
        "calibrated", budget=spa_onnx.KeepFlops(0.9), calibration=batches(model),
        granularity=("head-dims",), exclude=("bias*",),
    )  # fmt: skip
    report = spa_onnx.prune(model, config).report
    (width,) = (d.after for d in report.dims if d.after < d.before)
    assert width < WIDTH
    assert report.repair is not None
    assert report.repair.after < 1e-6
