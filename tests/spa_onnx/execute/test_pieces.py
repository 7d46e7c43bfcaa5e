"""A model cut into pieces: what fits, what is handed on, what is computed again."""

import math
from collections.abc import Sequence

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from spa_onnx.execute.pieces import Piece, cut, session_bytes
from spa_onnx.graph.tensors import captured_names
from tests.builders import GraphBuilder
from tests.random_graphs import models

WIDTH = 8
MATRIX = 4 * WIDTH * WIDTH


def chain(layers: int) -> onnx.ModelProto:
    g = GraphBuilder(opset=13)
    x = g.input("x", (2, WIDTH))
    for _ in range(layers):
        x = g.relu(g.matmul(x, g.weight(WIDTH, WIDTH)))
    return g.model(x)


def operators(model: onnx.ModelProto, pieces: Sequence[Piece]) -> list[list[str]]:
    return [[model.graph.node[k].op_type for k in piece.nodes] for piece in pieces]


def weight_bytes(model: onnx.ModelProto, piece: Piece) -> int:
    return sum(
        len(t.raw_data) or t.ByteSize()
        for t in model.graph.initializer
        if t.name in piece.tensors and len(t.dims) > 1
    )


@pytest.mark.parametrize(("held", "count"), [(1, 6), (2, 3), (3, 2), (4, 2), (6, 1)])
def test_as_many_layers_in_a_row_as_fit_are_one_piece(held: int, count: int) -> None:
    model = chain(6)
    limit = held * max(t.ByteSize() for t in model.graph.initializer)
    pieces = cut(model.graph, limit)
    assert len(pieces) == count
    assert all(weight_bytes(model, p) <= limit for p in pieces)
    assert max(weight_bytes(model, p) for p in pieces) == held * MATRIX


def test_a_weight_above_the_limit_is_a_piece_of_its_own() -> None:
    g = GraphBuilder(opset=13)
    x = g.matmul(g.input("x", (2, 4)), g.weight(4, 4))
    x = g.matmul(g.matmul(x, g.weight(4, 1000)), g.weight(1000, 4))
    model = g.model(g.matmul(x, g.weight(4, 4)))
    assert operators(model, cut(model.graph, 1000)) == [["MatMul"]] * 4
    assert operators(model, cut(model.graph, 17_000)) == [["MatMul"] * 2, ["MatMul"] * 2]


def test_half_precision_counts_with_its_float32_copy() -> None:
    half = helper.make_tensor("w", onnx.TensorProto.FLOAT16, [10, 10], bytes(200), raw=True)
    model = helper.make_model(helper.make_graph([], "g", [], [], [half]))
    assert 600 <= session_bytes(model) < 640


def test_a_tied_weight_is_in_every_piece_that_reads_it() -> None:
    g = GraphBuilder(opset=13)
    tied = g.weight(WIDTH, WIDTH)
    x = g.matmul(g.input("x", (2, WIDTH)), tied)
    x = g.matmul(x, g.weight(WIDTH, WIDTH))
    pieces = cut(g.model(g.matmul(x, tied)).graph, 1)
    assert [tied in p.tensors for p in pieces] == [True, False, True]


def test_arithmetic_on_weights_is_done_where_its_result_is_read() -> None:
    g = GraphBuilder(opset=13)
    turned = g.transpose(g.weight(WIDTH, WIDTH), 1, 0)
    x = g.matmul(g.input("x", (2, WIDTH)), g.weight(WIDTH, WIDTH))
    x = g.matmul(g.matmul(x, turned), g.weight(WIDTH, WIDTH))
    model = g.model(g.matmul(x, turned))
    pieces = cut(model.graph, 1)
    kinds = [["MatMul"], ["Transpose", "MatMul"], ["MatMul"], ["Transpose", "MatMul"]]
    assert operators(model, pieces) == kinds
    assert all(len(p.inputs) == 1 for p in pieces), "weights are never handed on"


def test_numbers_that_are_drawn_are_handed_on() -> None:
    g = GraphBuilder(opset=13)
    noise = g.node("RandomNormal", [], shape=[2, WIDTH])
    x = g.add(g.matmul(g.input("x", (2, WIDTH)), g.weight(WIDTH, WIDTH)), noise)
    model = g.model(g.add(g.matmul(x, g.weight(WIDTH, WIDTH)), noise))
    pieces = cut(model.graph, 1)
    assert sum("RandomNormal" in ops for ops in operators(model, pieces)) == 1
    assert noise in pieces[-1].inputs


@given(model=models(), share=st.floats(0.01, 1.0))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_pieces_of_any_graph_fit_together(model: onnx.ModelProto, share: float) -> None:
    limit = math.ceil(share * session_bytes(model))
    pieces = cut(model.graph, limit)
    known = {v.name for v in model.graph.input}
    placed: set[int] = set()
    for piece in pieces:
        assert known.issuperset(piece.inputs)
        inside = known | piece.tensors
        for k in piece.nodes:
            node = model.graph.node[k]
            bodies = [a.g for a in node.attribute if a.HasField("g")]
            assert inside.issuperset(
                {*node.input, *(n for b in bodies for n in captured_names(b))} - {""}
            )
            inside |= set(node.output)
        assert inside.issuperset(piece.outputs)
        known |= set(piece.outputs)
        placed |= set(piece.nodes)
    assert known.issuperset(v.name for v in model.graph.output)
    read = {n for node in model.graph.node for n in node.input}
    unread = {k for k, node in enumerate(model.graph.node) if not read.intersection(node.output)}
    assert placed | unread == set(range(len(model.graph.node)))
