import pytest

from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import half, reasons, shape, widths


@pytest.mark.parametrize("transposed", [True, False])
def test_both_layouts_of_a_gemm_lose_the_right_axes(transposed: bool) -> None:
    g = GraphBuilder(opset=13)
    x = g.gemm(g.input("x", (2, 4)), 8, transposed=transposed)
    small = half(g.model(g.gemm(g.relu(x), 3, transposed=transposed)))
    shapes = [shape(small, "Gemm", index=k) for k in (0, 1)]
    assert shapes == ([(4, 4), (3, 4)] if transposed else [(4, 4), (4, 3)])
    assert shape(small, "Gemm", 2) == (4,)


def test_inner_lanes_of_attention_go_from_queries_and_keys() -> None:
    g = GraphBuilder(opset=13)
    x = g.input("x", (2, 5, 6))
    q, k, v = (g.linear(x, 8) for _ in range(3))
    scores = g.softmax(g.matmul(q, g.transpose(k, 0, 2, 1)))
    model = g.model(g.linear(g.matmul(scores, v), 3))
    assert widths(model) == [8, 8]
    small = half(model)
    assert [shape(small, "MatMul", index=n) for n in range(3)] == [(6, 4)] * 3


def test_a_matrix_for_every_head_may_keep_other_lanes_in_every_head() -> None:
    g = GraphBuilder(opset=13)
    x = g.reshape(g.linear(g.input("x", (2, 5, 4)), 24), (0, 0, 3, 8))
    y = g.matmul(g.transpose(x, 0, 2, 1, 3), g.weight(3, 8, 6, fan_in=8))
    model = g.model(g.linear(g.reshape(g.transpose(y, 0, 2, 1, 3), (0, 0, 18)), 3))
    assert half(model).graph.node


def test_vectors_are_contracted_as_numpy_does() -> None:
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    small = half(g.model(g.matmul(x, g.weight(8, fan_in=8))))
    assert shape(small, "MatMul", index=1) == (4,)


def test_einsum_letters_are_dims() -> None:
    g = GraphBuilder(opset=13)
    x = g.einsum("bnd,dhk->bhnk", g.input("x", (2, 5, 6)), g.weight(6, 4, 8, fan_in=6))
    model = g.model(g.einsum("bhnk,hkd->bnd", x, g.weight(4, 8, 3, fan_in=32)))
    small = half(model)
    (_, heads, depth), second = shape(small, "Einsum"), shape(small, "Einsum", index=1)
    assert second[:2] == (heads, depth)
    assert (heads, depth) == (4, 4)  # one weight makes both, so a ratio must not apply twice


@pytest.mark.parametrize(
    ("equation", "weight"),
    [
        ("...d,de->...e", (8, 6)),
        ("bnd,ed->bne", (6, 8)),
        ("abc,cd", (8, 6)),
        ("b n d,d e->b n e", (8, 6)),
    ],
)
def test_every_way_to_write_a_linear_layer_is_one(equation: str, weight: tuple[int, int]) -> None:
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    small = half(g.model(g.linear(g.relu(g.einsum(equation, x, g.weight(*weight, fan_in=8))), 3)))
    assert sorted(shape(small, "Einsum")) == [3, 4]


def test_a_diagonal_cannot_be_cut() -> None:
    g = GraphBuilder(opset=13)
    weight = g.einsum("ii->i", g.weight(8, 8, name="square"))
    x = g.mul(g.gemm(g.input("x", (2, 4)), 8), weight)
    model = g.model(g.gemm(x, 3))
    assert widths(model) == []
    assert "a diagonal in einsum" in reasons(model, "square", 1)
