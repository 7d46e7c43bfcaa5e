"""More forms of attention: caches, masks, other sequences, rotary tables."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.builders import GraphBuilder
from tests.spa_onnx.ops.cases.case import NEWEST, Case, forms
from tests.spa_onnx.untracked import like, shaped

Build = Callable[[GraphBuilder], str | tuple[str, ...]]
MICROSOFT = "com.microsoft"
STEPS, HEADS, SIZE = 5, 4, 6
WIDTH = HEADS * SIZE


def _input(g: GraphBuilder) -> str:
    return g.input("x", (2, STEPS, 4))


def _heads(g: GraphBuilder, x: str, count: int = HEADS) -> str:
    """``(2, T, h*d)`` as ``(2, h, T, d)``."""
    return g.transpose(g.reshape(x, (0, 0, count, -1)), 0, 2, 1, 3)


def _together(g: GraphBuilder, x: str) -> str:
    y = g.transpose(x, 0, 2, 1, 3)
    return g.reshape(y, (0, 0, g.shape(y)[2] * g.shape(y)[3]))


# -- Attention-23 ----------------------------------------------------------------------------------


def _standard(
    kept: int = HEADS, split: bool = False, value: int = SIZE, **attributes: Any
) -> Build:
    def build(g: GraphBuilder) -> str:
        x = _input(g)
        layers = [g.linear(x, n) for n in (WIDTH, kept * SIZE, kept * value)]
        if split:
            parts = [_heads(g, y, n) for y, n in zip(layers, (HEADS, kept, kept), strict=True)]
            return g.linear(_together(g, g.node("Attention", parts, **attributes)), 3)
        y = g.node("Attention", layers, q_num_heads=HEADS, kv_num_heads=kept, **attributes)
        return g.linear(shaped(g, y, (2, STEPS, HEADS * value)), 3)

    return build


def _standard_masked(g: GraphBuilder) -> str:
    x = _input(g)
    mask = g.constant(np.triu(np.full((STEPS, STEPS), -5.0), 1))
    inputs = [*(g.linear(x, WIDTH) for _ in range(3)), mask]
    return g.linear(g.node("Attention", inputs, q_num_heads=HEADS, kv_num_heads=HEADS), 3)


def _standard_cached(g: GraphBuilder) -> tuple[str, ...]:
    x = _input(g)
    past = [g.input(f"past_{k}", (2, HEADS, 3, SIZE)) for k in range(2)]
    layers = [g.linear(x, WIDTH) for _ in range(3)]
    inputs = [*layers, "", *past]
    y, key, value = g.node("Attention", inputs, 3, q_num_heads=HEADS, kv_num_heads=HEADS)
    return g.linear(y, 3), key, value


# -- rotary positions ------------------------------------------------------------------------------


def _tables(g: GraphBuilder, batch: bool) -> list[str]:
    angles = np.outer(np.arange(STEPS) + 1, 1.0 / 3.0 ** np.arange(SIZE // 2))
    shape = (2, STEPS, SIZE // 2) if batch else angles.shape
    return [g.constant(np.broadcast_to(f(angles), shape)) for f in (np.cos, np.sin)]


def _positions(g: GraphBuilder) -> str:
    return g.constant(np.tile(np.arange(STEPS), (2, 1)))


def _rotary(split: bool = False, positions: bool = False, **attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        x = g.linear(_input(g), WIDTH)
        ids = [_positions(g)] if positions else []
        tables = _tables(g, not positions)
        if split:
            y = g.node("RotaryEmbedding", [_heads(g, x), *tables, *ids], **attributes)
            return g.linear(_together(g, y), 3)
        y = g.node("RotaryEmbedding", [x, *tables, *ids], num_heads=HEADS, **attributes)
        return g.linear(y, 3)

    return build


def _contrib_rotary(split: bool = False, **attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        x = g.linear(_input(g), WIDTH)
        x = _heads(g, x) if split else x
        inputs = [x, _positions(g), *_tables(g, False)]
        y = g.node("RotaryEmbedding", inputs, domain=MICROSOFT, **attributes)
        return g.linear(_together(g, like(g, y, x)) if split else like(g, y, x), 3)

    return build


def _rotated_attention(g: GraphBuilder) -> str:
    """Queries of four heads and keys of two, both rotated."""
    x = _input(g)
    q, k, v = g.linear(x, WIDTH), g.linear(x, 2 * SIZE), g.linear(x, 2 * SIZE)
    tables = _tables(g, True)
    q = g.node("RotaryEmbedding", [q, *tables], num_heads=HEADS)
    k = g.node("RotaryEmbedding", [k, *tables], num_heads=2)
    return g.linear(g.node("Attention", [q, k, v], q_num_heads=HEADS, kv_num_heads=2), 3)


# -- com.microsoft ---------------------------------------------------------------------------------


def _packed(value: int = WIDTH, bias: bool = True, mask: bool = False, **attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        x = g.linear(_input(g), 8)
        total = 2 * WIDTH + value
        inputs = [x, g.weight(8, total, fan_in=8), g.bias(total) if bias else ""]
        inputs += [g.constant(np.array([5, 3], np.int32))] if mask else []
        if value != WIDTH:
            attributes["qkv_hidden_sizes"] = [WIDTH, WIDTH, value]
        y = g.node("Attention", inputs, domain=MICROSOFT, num_heads=HEADS, **attributes)
        return g.linear(shaped(g, y, (2, STEPS, value)), 3)

    return build


def _multi_head(value: int = WIDTH, bias: bool = False, mask: bool = False, **more: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        x = _input(g)
        inputs = [g.linear(x, n) for n in (WIDTH, WIDTH, value)]
        inputs += [g.bias(2 * WIDTH + value)] if bias else []
        if mask:
            added = g.constant(np.triu(np.full((1, 1, STEPS, STEPS), -5.0), 1))
            inputs = [*inputs, *[""] * (5 - len(inputs)), added]
        y = g.node("MultiHeadAttention", inputs, domain=MICROSOFT, num_heads=HEADS, **more)
        return g.linear(shaped(g, y, (2, STEPS, value)), 3)

    return build


def _cross(g: GraphBuilder) -> str:
    """Keys and values of another sequence."""
    x, other = g.linear(_input(g), 8), g.input("other", (2, 7, 4))
    inputs = [g.linear(x, WIDTH), g.linear(other, WIDTH), g.linear(other, WIDTH)]
    y = g.node("MultiHeadAttention", inputs, domain=MICROSOFT, num_heads=HEADS)
    return g.linear(shaped(g, y, (2, STEPS, WIDTH)), 3)


def _group_query(g: GraphBuilder) -> tuple[str, ...]:
    x = g.input("x", (1, STEPS, 4))
    size = 8
    layers = [g.linear(x, n * size) for n in (HEADS, 2, 2)]
    past = [g.input(f"past_{k}", (1, 2, 3, size)) for k in range(2)]
    lengths = [g.constant(np.full(1, STEPS + 2, np.int32)), g.constant(np.int32(STEPS + 3))]
    inputs = [*layers, *past, *lengths]
    y, key, value = g.node(
        "GroupQueryAttention", inputs, 3, domain=MICROSOFT, num_heads=HEADS, kv_num_heads=2
    )
    y = g.linear(g.relu(g.linear(shaped(g, y, (1, STEPS, HEADS * size)), 8)), 3)
    return y, *(shaped(g, name, (1, 2, STEPS + 3, size)) for name in (key, value))


def _quantised(per_lane: bool, zero_points: bool = True) -> Build:
    def build(g: GraphBuilder) -> str:
        x = g.linear(_input(g), 8)
        parameters = [g.constant(0.05), g.constant(np.uint8(120 if zero_points else 0))]
        q = g.node("QuantizeLinear", [x if zero_points else g.relu(x), *parameters])
        lanes = 3 * WIDTH if per_lane else ()
        weight = g.random.integers(-127, 127, (8, 3 * WIDTH)).astype(np.int8)
        scale = g.constant(g.random.uniform(0.002, 0.01, lanes))
        inputs = [q, g.constant(weight), g.bias(3 * WIDTH), parameters[0], scale]
        if zero_points:
            inputs += ["", parameters[1], g.constant(np.zeros(lanes, np.int8))]
        y = g.node("QAttention", inputs, domain=MICROSOFT, num_heads=HEADS)
        return g.linear(shaped(g, y, (2, STEPS, WIDTH)), 3)

    return build


CASES = (
    *forms("Attention", "three axes", (23, NEWEST), _standard()),
    *forms("Attention", "causal and scaled", (23, NEWEST), _standard(is_causal=1, scale=0.3)),
    *forms("Attention", "four axes", (23, NEWEST), _standard(split=True)),
    *forms("Attention", "four axes and grouped queries", (23, NEWEST), _standard(2, True)),
    *forms("Attention", "values of another width", (23, NEWEST), _standard(value=3)),
    *forms("Attention", "mask", (23, NEWEST), _standard_masked),
    *forms("Attention", "cache", (23, NEWEST), _standard_cached, cut=False),
    *forms("Attention", "rotated", (23, NEWEST), _rotated_attention),
    *forms("RotaryEmbedding", "three axes", (23, NEWEST), _rotary()),
    *forms("RotaryEmbedding", "four axes", (23, NEWEST), _rotary(True)),
    *forms("RotaryEmbedding", "interleaved", (23, NEWEST), _rotary(interleaved=1)),
    *forms("RotaryEmbedding", "position numbers", (23, NEWEST), _rotary(positions=True)),
    *(
        Case(f"com.microsoft::{op}", form, 17, build, cut=cut)
        for op, form, build, cut in (
            ("RotaryEmbedding", "three axes", _contrib_rotary(), True),
            ("RotaryEmbedding", "number of heads", _contrib_rotary(num_heads=HEADS), True),
            ("RotaryEmbedding", "four axes", _contrib_rotary(True), True),
            ("RotaryEmbedding", "interleaved", _contrib_rotary(interleaved=1), True),
            ("Attention", "plain", _packed(), True),
            ("Attention", "lengths", _packed(mask=True), True),
            ("Attention", "causal and scaled", _packed(unidirectional=1, scale=0.3), True),
            ("Attention", "values of another width", _packed(value=HEADS * 3), True),
            ("MultiHeadAttention", "plain", _multi_head(), True),
            ("MultiHeadAttention", "added mask", _multi_head(mask=True), True),
            ("MultiHeadAttention", "scaled", _multi_head(scale=0.3), True),
            ("MultiHeadAttention", "values of another width",
             _multi_head(HEADS * 3, bias=True), True),
            ("MultiHeadAttention", "other sequence", _cross, True),
            ("GroupQueryAttention", "cache", _group_query, False),
            ("QAttention", "plain", _quantised(False), True),
            ("QAttention", "without zero points", _quantised(False, False), True),
            ("QAttention", "scale for every column", _quantised(True), True),
        )
    ),
    # ONNX Runtime 1.31 crashes without a bias, which its schema calls optional.
    Case("com.microsoft::Attention", "without bias", 17, _packed(bias=False), runs=False),
)  # fmt: skip
