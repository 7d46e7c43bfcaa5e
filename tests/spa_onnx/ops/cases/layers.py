"""Contractions, convolutions and recurrences: the operators with weights."""

from collections.abc import Callable
from typing import Any

from tests.builders import GraphBuilder
from tests.spa_onnx.ops.cases.case import NEWEST, Case, end, forms, image, rows, tokens

# -- MatMul, Gemm, Einsum --------------------------------------------------------------------------


def _matmul(g: GraphBuilder) -> str:
    return g.matmul(g.relu(tokens(g)), g.weight(8, 3, fan_in=8))


def _matmul_from_the_left(g: GraphBuilder) -> str:
    x = g.transpose(tokens(g), 0, 2, 1)
    return g.matmul(g.weight(6, 8), x)


def _matmul_with_a_vector(g: GraphBuilder) -> str:
    return g.matmul(tokens(g), g.weight(8, fan_in=8))


def _attention(g: GraphBuilder) -> str:
    x = g.input("x", (2, 5, 6))
    q, k, v = (g.linear(x, 12) for _ in range(3))
    heads = [g.transpose(g.reshape(t, (0, 0, 3, 4)), 0, 2, 1, 3) for t in (q, k, v)]
    scores = g.softmax(g.matmul(heads[0], g.transpose(heads[1], 0, 1, 3, 2)))
    mixed = g.transpose(g.matmul(scores, heads[2]), 0, 2, 1, 3)
    return g.linear(g.reshape(mixed, (0, 0, 12)), 3)


def _batched_weight(g: GraphBuilder) -> str:
    """One matrix for every head."""
    x = g.transpose(g.reshape(tokens(g, 12), (0, 0, 3, 4)), 0, 2, 1, 3)
    y = g.transpose(g.matmul(x, g.weight(3, 4, 6, fan_in=4)), 0, 2, 1, 3)
    return g.linear(g.reshape(y, (0, 0, 18)), 3)


def _gemm(**attributes: Any) -> Callable[[GraphBuilder], str]:
    def build(g: GraphBuilder) -> str:
        x = rows(g)
        shape = (6, 8) if attributes.get("transB") else (8, 6)
        a = g.transpose(x, 1, 0) if attributes.get("transA") else x
        inputs = [a, g.weight(*shape, fan_in=8), g.bias(6)]
        return end(g, g.relu(g.node("Gemm", inputs, **attributes)))

    return build


def _gemm_bias(*shape: int) -> Callable[[GraphBuilder], str]:
    def build(g: GraphBuilder) -> str:
        inputs = [rows(g), g.weight(8, 6, fan_in=8), g.constant(g.random.uniform(0, 1, shape))]
        return end(g, g.relu(g.node("Gemm", inputs)))

    return build


def _gemm_without_bias(g: GraphBuilder) -> str:
    return end(g, g.gemm(g.relu(rows(g)), 6, bias=False))


def _einsum(equation: str, *shape: int) -> Callable[[GraphBuilder], str]:
    def build(g: GraphBuilder) -> str:
        y = g.einsum(equation, tokens(g), g.weight(*shape, fan_in=8))
        return end(g, g.relu(y))

    return build


def _einsum_heads(g: GraphBuilder) -> str:
    x = tokens(g)
    q, k = (g.einsum("bnd,dhk->bhnk", x, g.weight(8, 2, 4, fan_in=8)) for _ in range(2))
    scores = g.softmax(g.einsum("bhik,bhjk->bhij", q, k))
    v = g.einsum("bnd,dhk->bhnk", x, g.weight(8, 2, 4, fan_in=8))
    return g.einsum("bhij,bhjk,hkd->bid", scores, v, g.weight(2, 4, 3, fan_in=8))


def _einsum_diagonal(g: GraphBuilder) -> str:
    y = g.einsum("bii->bi", g.linear(g.input("x", (2, 5, 4)), 5))
    return g.gemm(y, 3)


# -- convolutions ----------------------------------------------------------------------------------


def _conv(out: int = 6, kernel: int = 3, **facts: Any) -> Callable[[GraphBuilder], str]:
    def build(g: GraphBuilder) -> str:
        return end(g, g.relu(g.conv(g.relu(image(g)), out, kernel, **facts)))

    return build


def _conv_node(kernel: int, **attributes: Any) -> Callable[[GraphBuilder], str]:
    def build(g: GraphBuilder) -> str:
        x = g.relu(image(g, size=9))
        y = g.node("Conv", [x, g.weight(6, 8, kernel, kernel), g.bias(6)], **attributes)
        return end(g, g.relu(y))

    return build


def _conv_of_rank(rank: int) -> Callable[[GraphBuilder], str]:
    def build(g: GraphBuilder) -> str:
        x = g.conv(g.input("x", (2, 3, *[5] * rank)), 8, 3)
        return g.conv(g.relu(g.conv(x, 6, 3, groups=2)), 3)

    return build


def _transposed(out: int = 6, **facts: Any) -> Callable[[GraphBuilder], str]:
    def build(g: GraphBuilder) -> str:
        return end(g, g.relu(g.conv_transpose(g.relu(image(g)), out, **facts)))

    return build


def _transposed_node(**attributes: Any) -> Callable[[GraphBuilder], str]:
    def build(g: GraphBuilder) -> str:
        weight = g.weight(8, 6, 3, 3, fan_in=72)
        y = g.node("ConvTranspose", [g.relu(image(g)), weight, g.bias(6)], **attributes)
        return end(g, g.relu(y))

    return build


# -- recurrences -----------------------------------------------------------------------------------


def _recurrent(op: str, **facts: Any) -> Callable[[GraphBuilder], str]:
    def build(g: GraphBuilder) -> str:
        x = g.tanh(g.linear(g.input("x", (5, 2, 4)), 8))
        y = g.recurrent(op, x, 6, **facts)
        directions = g.shape(y)[1]
        return g.linear(g.reshape(g.transpose(y, 0, 2, 1, 3), (0, 0, directions * 6)), 3)

    return build


def _with_state(op: str) -> Callable[[GraphBuilder], str]:
    def build(g: GraphBuilder) -> str:
        x = g.tanh(g.linear(g.input("x", (5, 2, 4)), 8))
        states = [g.unsqueeze(g.tanh(g.gemm(g.input(f"s{k}", (2, 3)), 6)), 0) for k in range(2)]
        y = g.recurrent(op, x, 6, initial=states[: 1 + (op == "LSTM")])
        return g.linear(g.squeeze(y, 1), 3)

    return build


def _lstm_with_peepholes(g: GraphBuilder) -> str:
    x = g.tanh(g.linear(g.input("x", (5, 2, 4)), 8))
    inputs = [x, g.weight(1, 24, 8, fan_in=8), g.weight(1, 24, 6, fan_in=6), "", "", "", ""]
    peepholes = g.constant(g.random.uniform(-0.5, 0.5, (1, 18)))
    _, last, cell = g.node("LSTM", [*inputs, peepholes], 3, hidden_size=6)
    return g.linear(g.squeeze(g.concat(last, cell, axis=2), 0), 3)


def _gru_reset_after(g: GraphBuilder) -> str:
    x = g.tanh(g.linear(g.input("x", (5, 2, 4)), 8))
    inputs = [x, g.weight(1, 18, 8, fan_in=8), g.weight(1, 18, 6, fan_in=6)]
    inputs.append(g.constant(g.random.uniform(-0.5, 0.5, (1, 36))))
    _, last = g.node("GRU", inputs, 2, hidden_size=6, linear_before_reset=1)
    return g.linear(g.squeeze(last, 0), 3)


CASES = (
    *forms("MatMul", "weight", (7, 9, 13, NEWEST), _matmul),
    *forms("MatMul", "weight on the left", (9, NEWEST), _matmul_from_the_left),
    *forms("MatMul", "vector", (9, NEWEST), _matmul_with_a_vector),
    *forms("MatMul", "attention", (13, NEWEST), _attention),
    *forms("MatMul", "weight for every head", (13, NEWEST), _batched_weight),
    *forms("Gemm", "plain", (7, 9, 11, 13, NEWEST), _gemm()),
    *forms("Gemm", "transposed weight", (7, NEWEST), _gemm(transB=1)),
    *forms("Gemm", "transposed input", (7, NEWEST), _gemm(transA=1)),
    *forms("Gemm", "scaled", (9, NEWEST), _gemm(alpha=0.5, beta=2.0, transB=1)),
    *forms("Gemm", "bias row", (7, NEWEST), _gemm_bias(1, 6)),
    *forms("Gemm", "bias column", (7, NEWEST), _gemm_bias(2, 1)),
    *forms("Gemm", "scalar bias", (7, NEWEST), _gemm_bias()),
    *forms("Gemm", "without bias", (11, NEWEST), _gemm_without_bias),
    *forms("Einsum", "weight", (12, NEWEST), _einsum("bnd,de->bne", 8, 6)),
    *forms("Einsum", "ellipsis", (12,), _einsum("...d,de->...e", 8, 6)),
    *forms("Einsum", "implicit result", (12,), _einsum("abc,cd", 8, 6)),
    *forms("Einsum", "spaces", (12,), _einsum("b n d , e d -> b n e", 6, 8)),
    *forms("Einsum", "transposed result", (12,), _einsum("bnd,de->ebn", 8, 6)),
    *forms("Einsum", "attention", (12, NEWEST), _einsum_heads),
    Case("Einsum", "diagonal", 12, _einsum_diagonal, cut=False),
    *forms("Conv", "plain", (7, 11, NEWEST), _conv()),
    *forms("Conv", "without bias", (7, NEWEST), _conv(bias=False)),
    *forms("Conv", "strided", (11, NEWEST), _conv(stride=2)),
    *forms("Conv", "grouped", (7, NEWEST), _conv(groups=2)),
    *forms("Conv", "depthwise", (7, NEWEST), _conv(8, groups=8)),
    *forms("Conv", "depthwise with multiplier", (7, NEWEST), _conv(16, groups=8)),
    *forms("Conv", "pointwise grouped", (11,), _conv(12, 1, groups=4)),
    *forms("Conv", "same upper", (11,), _conv_node(3, auto_pad="SAME_UPPER", strides=[2, 2])),
    *forms("Conv", "same lower", (11,), _conv_node(2, auto_pad="SAME_LOWER")),
    *forms("Conv", "valid", (11,), _conv_node(3, auto_pad="VALID", strides=[2, 2])),
    *forms("Conv", "dilated", (11,), _conv_node(3, dilations=[2, 2], pads=[1, 0, 1, 2])),
    *forms("Conv", "one dimension", (11, NEWEST), _conv_of_rank(1)),
    *forms("Conv", "three dimensions", (11, NEWEST), _conv_of_rank(3)),
    *forms("ConvTranspose", "plain", (7, 11, NEWEST), _transposed()),
    *forms("ConvTranspose", "grouped", (11, NEWEST), _transposed(groups=2)),
    *forms("ConvTranspose", "depthwise", (11,), _transposed(8, groups=8)),
    *forms("ConvTranspose", "depthwise with multiplier", (11,), _transposed(16, groups=8)),
    *forms("ConvTranspose", "without bias", (11,), _transposed(bias=False)),
    *forms(
        "ConvTranspose", "output padding", (11,),
        _transposed_node(strides=[2, 2], output_padding=[1, 1], pads=[1, 1, 1, 1]),
    ),
    *forms(
        "ConvTranspose", "output shape", (11,),
        _transposed_node(strides=[2, 2], output_shape=[12, 13]),
    ),
    *forms(
        "ConvTranspose", "same upper", (11,),
        _transposed_node(strides=[2, 2], auto_pad="SAME_UPPER"),
    ),
    *forms("ConvTranspose", "dilated", (11,), _transposed_node(dilations=[2, 2])),
    *(
        case
        for op in ("LSTM", "GRU", "RNN")
        for case in (
            *forms(op, "forward", (7, 14, NEWEST), _recurrent(op)),
            *forms(op, "bidirectional", (7, NEWEST), _recurrent(op, bidirectional=True)),
            *forms(op, "initial state", (11,), _with_state(op)),
        )
    ),
    *forms("LSTM", "peepholes and last states", (7, NEWEST), _lstm_with_peepholes),
    *forms("GRU", "linear before reset", (7, NEWEST), _gru_reset_after),
)  # fmt: skip
