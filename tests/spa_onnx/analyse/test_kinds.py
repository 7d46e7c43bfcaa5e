"""Kinds of dims on hand-made graphs: what somebody who knows the architecture would call them."""

from collections import Counter

import onnx
import pytest

import spa_onnx
from spa_onnx.granularity import KINDS
from tests.builders import GraphBuilder
from tests.random_graphs import random_model
from tests.spa_onnx.pruned_models import half_result
from tests.spa_onnx.untracked import shaped

TOKENS, WIDTH, HEADS, HEAD = 5, 12, 2, 8


def kinds(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Return lanes by kind, those of dims that another factor spares included."""
    analysis = spa_onnx.analyze(model)
    found: dict[str, list[int]] = {}
    for d in (*analysis.dims, *analysis.spared):
        found.setdefault(d.kind, []).append(d.dim.size)
    return {kind: sorted(sizes) for kind, sizes in found.items()}


def lanes_after(model: onnx.ModelProto, *granularity: str) -> Counter[tuple[int, int]]:
    """Return ``(lanes before, after)`` of the dims that the granularity cuts in half."""
    report = half_result(model, granularity=granularity).report
    return Counter((d.before, d.after) for d in report.dims)


def rows(g: GraphBuilder, x: str, heads: int, width: int = HEAD) -> str:
    """Project to heads, ``(B, h, T, d)``."""
    y = g.reshape(g.linear(x, heads * width), (0, 0, heads, width))
    return g.transpose(y, 0, 2, 1, 3)


def attend(g: GraphBuilder, q: str, k: str, v: str) -> str:
    scores = g.softmax(g.matmul(q, g.transpose(k, 0, 1, 3, 2)), 3)
    return g.matmul(scores, v)


def merge(g: GraphBuilder, x: str, out: int) -> str:
    heads, width = g.shape(x)[1], g.shape(x)[3]
    return g.linear(g.reshape(g.transpose(x, 0, 2, 1, 3), (0, 0, heads * width)), out)


def block(repeats: int = 1) -> onnx.ModelProto:
    """A pre-norm transformer block; every key serves ``repeats`` queries."""
    g = GraphBuilder(opset=17)
    x = g.linear(g.input("x", (2, TOKENS, 3)), WIDTH)
    y = g.layer_norm(x)
    k, v = (rows(g, y, HEADS) for _ in range(2))
    if repeats > 1:
        k, v = (
            g.reshape(
                g.expand(g.unsqueeze(t, 2), (2, HEADS, repeats, TOKENS, HEAD)),
                (2, HEADS * repeats, TOKENS, HEAD),
            )
            for t in (k, v)
        )
    x = g.add(x, merge(g, attend(g, rows(g, y, HEADS * repeats), k, v), WIDTH))
    hidden = g.relu(g.linear(g.layer_norm(x), 20))
    x = g.add(x, g.linear(hidden, WIDTH))
    return g.model(g.linear(g.layer_norm(x), 3))


# -- attention -------------------------------------------------------------------------------------


def test_a_transformer_block_has_the_kinds_that_people_name() -> None:
    assert kinds(block()) == {
        "residual": [WIDTH],
        "heads": [HEADS],
        "head-dims": [HEAD, HEAD],
        "ffn": [20],
    }


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("residual", {(WIDTH, WIDTH // 2): 1}),
        ("heads", {(HEADS, HEADS // 2): 1}),
        ("head-dims", {(HEAD, HEAD // 2): 2}),
        ("ffn", {(20, 10): 1}),
    ],
)
def test_each_kind_is_cut_alone(kind: str, expected: dict[tuple[int, int], int]) -> None:
    assert lanes_after(block(), kind) == expected


def test_widths_of_heads_are_uneven_by_head_with_whole_heads() -> None:
    """The heads are not cut here, but they are the rows that keep lanes of their own."""
    report = half_result(block(), granularity=("head-dims",)).report
    assert all(d.uneven for d in report.dims)


def test_of_heads_and_widths_one_is_cut_where_both_are_asked_for() -> None:
    assert lanes_after(block(), "heads", "head-dims") == {(HEAD, HEAD // 2): 2}


def test_without_the_residual_stream_everything_else_goes() -> None:
    model = block()
    assert lanes_after(model, "no-residual") == lanes_after(model, "ffn", "head-dims", "heads")
    assert (WIDTH, WIDTH // 2) not in lanes_after(model, "no-residual")


def test_grouped_queries_go_with_their_key() -> None:
    found = kinds(block(repeats=3))
    assert found["heads"] == [HEADS, 3]  # groups, and the queries of one group
    pruned = half_result(block(repeats=3), granularity=("heads",)).model
    widths = {tuple(t.dims)[1] for t in pruned.graph.initializer if len(t.dims) == 2}
    assert {HEAD, 3 * HEAD} <= widths  # one group is left: its key and its three queries


def test_heads_that_share_one_key_are_heads() -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, TOKENS, 6))
    q, k, v = rows(g, x, 4), rows(g, x, 1), rows(g, x, 1)
    model = g.model(merge(g, attend(g, q, k, v), 3))
    assert kinds(model) == {"heads": [4], "head-dims": [HEAD, HEAD]}
    assert lanes_after(model, "heads") == {(4, 2): 1}


def test_linear_attention_has_no_heads_in_its_widths() -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, TOKENS, 6))
    q, k, v = rows(g, x, 3), rows(g, x, 3), rows(g, x, 3, 10)
    context = g.matmul(g.transpose(g.softmax(k, 2), 0, 1, 3, 2), v)
    model = g.model(merge(g, g.matmul(q, context), 3))
    assert kinds(model) == {"heads": [3], "head-dims": [HEAD, 10]}


def test_lanes_against_lanes_are_widths() -> None:
    """Cross-covariance attention of a fused projection: scores are ``(h, d, d)``."""
    g = GraphBuilder(opset=17)
    y = g.reshape(g.linear(g.input("x", (2, TOKENS, 6)), 3 * 2 * HEAD), (2, TOKENS, 3, 2, HEAD))
    y = g.transpose(y, 2, 0, 3, 4, 1)
    q, k, v = (g.gather(y, n, axis=0) for n in range(3))
    scores = g.softmax(g.matmul(q, g.transpose(k, 0, 1, 3, 2)), 3)
    mixed = g.transpose(g.matmul(scores, v), 0, 1, 3, 2)
    model = g.model(merge(g, mixed, 3))
    assert kinds(model) == {"heads": [2], "head-dims": [HEAD]}


def test_heads_that_talk_to_each_other_are_heads() -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, TOKENS, 6))
    q, k, v = (rows(g, x, 4) for _ in range(3))
    scores = g.transpose(g.matmul(q, g.transpose(k, 0, 1, 3, 2)), 0, 2, 3, 1)
    talked = g.linear(scores, 6)
    scores = g.transpose(g.linear(g.softmax(talked, 2), 4), 0, 3, 1, 2)
    model = g.model(merge(g, g.matmul(scores, v), 3))
    assert kinds(model) == {"heads": [4, 4, 6], "head-dims": [HEAD, HEAD]}


def test_queries_from_constants_are_queries() -> None:
    """The first layer of a detector's decoder sees nothing but learnt queries."""
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, TOKENS, 6))
    queries = g.weight(1, 4, 6)
    learnt = attend(g, rows(g, queries, 2), rows(g, queries, 2), rows(g, queries, 2))
    model = g.model(merge(g, attend(g, learnt, rows(g, x, 2), rows(g, x, 2)), 3))
    assert set(kinds(model)) == {"heads", "head-dims"}


def test_fused_attention_names_its_lanes() -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, TOKENS, 6))
    q, k, v = (g.linear(x, width) for width in (2 * HEAD, 2 * HEAD, 2 * 10))
    y = g.node("MultiHeadAttention", [q, k, v], domain="com.microsoft", num_heads=2)
    y = shaped(g, y, (2, TOKENS, 20))
    assert kinds(g.model(g.linear(y, 3))) == {"heads": [2], "head-dims": [HEAD, 10]}


def einsum_attention() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, TOKENS, 6))
    q, k, v = (g.einsum("btc,chd->bthd", x, g.weight(6, 4, HEAD, fan_in=6)) for _ in range(3))
    scores = g.softmax(g.einsum("bthd,bshd->bhts", q, k), 3)
    mixed = g.einsum("bhts,bshd->bthd", scores, v)
    return g.model(g.einsum("bthd,hdc->btc", mixed, g.weight(4, HEAD, 3, fan_in=4 * HEAD)))


def test_axes_of_one_weight_are_a_product() -> None:
    """Heads and widths stand on axes of their own, yet a ratio must not apply twice."""
    assert kinds(einsum_attention()) == {"heads": [4], "head-dims": [HEAD, HEAD]}
    assert lanes_after(einsum_attention()) == {(HEAD, HEAD // 2): 2}
    assert lanes_after(einsum_attention(), "heads") == {(4, 2): 1}


# -- no attention ----------------------------------------------------------------------------------


def test_similarities_are_no_attention() -> None:
    """Two towers meet in one product; nothing reads values with it."""
    g = GraphBuilder(opset=17)
    towers = [g.relu(g.linear(g.input(n, (2, 6)), 10)) for n in ("user", "item")]
    left, right = (g.linear(t, 8) for t in towers)
    model = g.model(g.matmul(left, g.transpose(right, 1, 0)))
    assert kinds(model) == {"ffn": [10, 10], "channels": [8]}


def test_weights_of_low_rank_are_no_attention() -> None:
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, TOKENS, 6))
    first = g.matmul(g.weight(6, 4, fan_in=6), g.weight(4, 10, fan_in=4))
    second = g.matmul(g.weight(10, 4, fan_in=10), g.weight(4, 3, fan_in=4))
    model = g.model(g.matmul(g.relu(g.matmul(x, first)), second))
    assert set(kinds(model)) == {"ffn"}


# -- residual streams ------------------------------------------------------------------------------


def test_terms_that_are_only_added_up_are_no_stream() -> None:
    """A gate of two inputs: neither term is computed from the other."""
    g = GraphBuilder(opset=17)
    x, h = g.input("x", (2, 6)), g.input("h", (2, 7))
    y = g.tanh(g.add(g.linear(x, 8), g.linear(h, 8)))
    assert kinds(g.model(g.linear(y, 3), g.linear(g.relu(y), 4))) == {"ffn": [8]}


def test_a_skip_inside_a_gate_is_no_stream() -> None:
    """A state space model adds its input, scaled, to what came of the same lanes."""
    g = GraphBuilder(opset=17)
    x = g.linear(g.input("x", (2, 6)), 8)
    step = g.linear(g.linear(x, 4), 8)
    y = g.add(g.mul(x, g.scale(8)), g.mul(x, step))
    assert kinds(g.model(g.linear(y, 3))) == {"ffn": [4, 8]}


def test_a_stream_without_norms_is_a_stream() -> None:
    g = GraphBuilder(opset=17)
    x = g.linear(g.input("x", (2, 6)), 8)
    x = g.add(x, g.linear(g.relu(g.linear(x, 16)), 8))
    assert kinds(g.model(g.linear(x, 3))) == {"residual": [8], "ffn": [16]}


@pytest.mark.parametrize(("normalised", "kind"), [(False, "channels"), (True, "residual")])
def test_streams_of_convolutions_count_where_a_layer_norm_reads_them(
    normalised: bool, kind: str
) -> None:
    g = GraphBuilder(opset=17)
    x = g.conv(g.input("x", (2, 3, 6, 6)), 8, 3)
    y = g.transpose(g.layer_norm(g.transpose(x, 0, 2, 3, 1)), 0, 3, 1, 2) if normalised else x
    x = g.add(x, g.conv(g.relu(g.conv(y, 16)), 8))
    model = g.model(g.conv(x, 3))
    assert kinds(model) == ({"channels": [16], kind: [8]} if normalised else {kind: [8, 16]})


# -- the rest --------------------------------------------------------------------------------------


def test_recurrent_states_and_embeddings_are_channels() -> None:
    g = GraphBuilder(opset=17)
    x = g.embedding(g.input("ids", (4, 2), dtype="int64"), 9, 6)
    y = g.squeeze(g.recurrent("LSTM", x, 8), 1)
    assert kinds(g.model(g.linear(y, 3))) == {"channels": [6, 8]}


def dense_mixture(gate: str = "softmax") -> onnx.ModelProto:
    """Four experts, each run on every token, weighted by a router."""
    g = GraphBuilder(opset=17)
    x = g.linear(g.input("x", (2, TOKENS, 3)), 6)
    logits = g.linear(x, 4)
    gates = g.softmax(logits, 2) if gate == "softmax" else g.sigmoid(logits)
    hidden = g.relu(g.matmul(g.unsqueeze(x, 1), g.weight(4, 6, 10, fan_in=6)))
    hidden = g.add(hidden, g.weight(4, 1, 10))
    y = g.matmul(hidden, g.weight(4, 10, 6, fan_in=10))
    weighted = g.mul(y, g.unsqueeze(g.transpose(gates, 0, 2, 1), 3))
    return g.model(g.linear(g.reduce("ReduceSum", weighted, 1, keepdims=False), 3))


@pytest.mark.parametrize("gate", ["softmax", "sigmoid"])
def test_experts_go_with_their_rows_of_the_router(gate: str) -> None:
    model = dense_mixture(gate)
    assert kinds(model)["experts"] == [4]
    pruned = half_result(model, granularity=("experts",)).model
    shapes = {tuple(t.dims) for t in pruned.graph.initializer}
    assert {(6, 2), (2, 6, 10), (2, 10, 6)} <= shapes


def test_experts_and_their_neurons_are_a_product() -> None:
    """But no factor of the residual stream, which all experts read and write."""
    cut = [d.dim.size for d in spa_onnx.analyze(dense_mixture()).dims]
    assert cut.count(4) + cut.count(10) == 1
    assert lanes_after(dense_mixture(), "experts", "residual")[4, 2] == 1
    assert lanes_after(dense_mixture(), "ffn")[10, 5] == 1


# -- random graphs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_every_kind_of_a_random_graph_is_cut_alone_and_proved(first: int) -> None:
    """The proof runs inside ``prune``; what is left belongs to the kind that was asked for."""
    for seed in range(first, first + 10):
        model = random_model(seed)
        try:
            found = spa_onnx.analyze(model).kinds()
        except spa_onnx.NothingToPruneError:
            continue
        for kind in KINDS:
            analysis = spa_onnx.analyze(model, granularity=(kind,))
            assert {d.kind for d in analysis.dims} <= {kind}
            assert bool(analysis.dims) == (kind in found)
            if kind in found:
                half_result(model, seed=seed, granularity=(kind,))


def test_fixed_axes_that_agree_by_chance_make_no_experts() -> None:
    """Kernel and image are three wide, and a second weight makes the same lanes alone."""
    g = GraphBuilder()
    x = g.input("x", (1, 5, 3, 3))
    y = g.conv(x, 8, 3, padding=1)
    scale = g.conv(g.relu(g.conv(g.global_average_pool(y), 4)), 8)
    y = g.conv(g.node("Mul", [y, g.node("Sigmoid", [scale])]), 6)
    assert "experts" not in kinds(g.model(g.global_average_pool(y)))
