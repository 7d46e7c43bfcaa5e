"""Fused attention and what stands around it: rotary positions, skips, fused contractions."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.builders import GraphBuilder
from tests.spa_onnx.ops.cases.case import NEWEST, Case, end, forms, image, tokens
from tests.spa_onnx.untracked import like, shaped

Build = Callable[[GraphBuilder], str]
MICROSOFT = "com.microsoft"


def contrib(
    g: GraphBuilder, op: str, inputs: list[str], outputs: int = 1, **attributes: Any
) -> str:
    """Add an operator of ONNX Runtime's own domain and return its first output."""
    made = g.node(op, inputs, outputs, domain=MICROSOFT, **attributes)
    return made if isinstance(made, str) else made[0]


def _packed(**attributes: Any) -> Build:
    """Attention of the contrib domain, query, key and value in one weight."""

    def build(g: GraphBuilder) -> str:
        sizes = attributes.get("qkv_hidden_sizes", [8, 8, 8])
        total = sum(sizes)
        inputs = [tokens(g), g.weight(8, total, fan_in=8), g.bias(total)]
        y = contrib(g, "Attention", inputs, num_heads=2, **attributes)
        return end(g, shaped(g, y, (2, 5, sizes[2])))

    return build


def _multi_head(bias: bool, value: int = 8) -> Build:
    def build(g: GraphBuilder) -> str:
        x = tokens(g)
        parts = [g.linear(x, 8), g.linear(x, 8), g.linear(x, value)]
        more = [g.bias(16 + value)] if bias else []
        y = contrib(g, "MultiHeadAttention", [*parts, *more], num_heads=2)
        return end(g, shaped(g, y, (2, 5, value)))

    return build


def _grouped_queries(g: GraphBuilder) -> str:
    x = tokens(g)
    q, k, v = g.linear(x, 16), g.linear(x, 8), g.linear(x, 8)
    lengths = g.constant(np.full(2, 4, np.int32))
    total = g.constant(np.array(5, np.int32))
    caches = [g.constant(np.zeros((2, 1, 0, 8), np.float32)) for _ in range(2)]
    y = contrib(
        g, "GroupQueryAttention", [q, k, v, *caches, lengths, total], 3, num_heads=2, kv_num_heads=1
    )
    return end(g, shaped(g, y, (2, 5, 16)))


def _standard(heads: int, kv_heads: int, **attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        x = tokens(g)
        q, k, v = g.linear(x, heads * 4), g.linear(x, kv_heads * 4), g.linear(x, kv_heads * 6)
        counts = {"q_num_heads": heads, "kv_num_heads": kv_heads}
        y = g.node("Attention", [q, k, v], **counts, **attributes)
        return end(g, shaped(g, y, (2, 5, heads * 6)))

    return build


def _standard_split(g: GraphBuilder) -> str:
    x = tokens(g)

    def heads() -> str:
        return g.transpose(g.reshape(g.linear(x, 8), (0, 0, 2, 4)), 0, 2, 1, 3)

    y = shaped(g, g.node("Attention", [heads(), heads(), heads()]), (2, 2, 5, 4))
    return end(g, g.reshape(g.transpose(y, 0, 2, 1, 3), (0, 0, 8)))


def _rotary(domain: str, interleaved: int) -> Build:
    def build(g: GraphBuilder) -> str:
        x = tokens(g, 16)
        angles = np.arange(5)[:, None] / 10 ** np.arange(4)[None]
        tables = [g.constant(f(angles)) for f in (np.cos, np.sin)]
        if domain:
            positions = g.constant(np.tile(np.arange(5), (2, 1)))
            inputs = [x, positions, *tables]
            y = contrib(g, "RotaryEmbedding", inputs, num_heads=2, interleaved=interleaved)
        else:
            tables = [g.node("Expand", [t, g.constant([2, 5, 4])]) for t in tables]
            inputs = [x, *tables]
            y = g.node("RotaryEmbedding", inputs, num_heads=2, interleaved=interleaved)
        return end(g, like(g, y, x))

    return build


def _skip(op: str, bias: bool) -> Build:
    def build(g: GraphBuilder) -> str:
        x = tokens(g)
        beta = [g.bias(8)] if op == "SkipLayerNormalization" else []
        more = [g.bias(8)] if bias else []
        y = contrib(g, op, [x, g.linear(g.relu(x), 8), g.scale(8), *beta, *more])
        return end(g, like(g, y, x))

    return build


def _skip_with_sum(g: GraphBuilder) -> str:
    x = tokens(g)
    inputs = [x, g.linear(g.relu(x), 8), g.scale(8), g.bias(8)]
    names = g.node("SkipLayerNormalization", inputs, 4, domain=MICROSOFT)
    return end(g, g.add(like(g, names[0], x), like(g, names[3], x)))


def _fused_conv(added: bool) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        inputs = [x, g.weight(6, 8, 3, 3), g.bias(6), *([g.conv(x, 6)] if added else [])]
        pads: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1] * 4, "activation": "Relu"}
        return end(g, shaped(g, contrib(g, "FusedConv", inputs, **pads), (2, 6, 6, 6)))

    return build


def _fused_gemm(g: GraphBuilder) -> str:
    x = g.gemm(g.input("x", (2, 4)), 8)
    inputs = [x, g.weight(6, 8), g.bias(6)]
    y = contrib(g, "FusedGemm", inputs, transB=1, activation="Relu")
    return end(g, shaped(g, y, (2, 6)))


def _fused_matmul(side: str) -> Build:
    def build(g: GraphBuilder) -> str:
        x = tokens(g)
        a = g.transpose(x, 0, 2, 1) if side == "transA" else x
        w = g.weight(6, 8) if side == "transB" else g.weight(8, 6, fan_in=8)
        y = contrib(g, "FusedMatMul", [a, w], alpha=0.5, **{side: 1})
        return end(g, g.relu(shaped(g, y, (2, 5, 6))))

    return build


CASES = (
    Case("com.microsoft::Attention", "packed", 17, _packed()),
    Case("com.microsoft::Attention", "narrow values", 17, _packed(qkv_hidden_sizes=[8, 8, 4])),
    Case("com.microsoft::Attention", "causal", 17, _packed(unidirectional=1)),
    Case("com.microsoft::MultiHeadAttention", "projected", 17, _multi_head(bias=False)),
    Case("com.microsoft::MultiHeadAttention", "packed bias", 17, _multi_head(bias=True)),
    Case("com.microsoft::MultiHeadAttention", "narrow values", 17, _multi_head(True, value=4)),
    Case("com.microsoft::GroupQueryAttention", "cached", 17, _grouped_queries),
    *forms("Attention", "heads as attributes", (23, NEWEST), _standard(2, 2)),
    *forms("Attention", "grouped queries", (23,), _standard(4, 2)),
    *forms("Attention", "own scale", (23,), _standard(2, 2, scale=0.3)),
    *forms("Attention", "heads as axis", (23, NEWEST), _standard_split),
    *forms("RotaryEmbedding", "halves", (23, NEWEST), _rotary("", 0)),
    *forms("RotaryEmbedding", "neighbours", (23,), _rotary("", 1)),
    Case("com.microsoft::RotaryEmbedding", "halves", 17, _rotary(MICROSOFT, 0)),
    Case("com.microsoft::RotaryEmbedding", "neighbours", 17, _rotary(MICROSOFT, 1)),
    *(
        Case(f"com.microsoft::{op}", form, 17, _skip(op, bias))
        for op in ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
        for form, bias in (("plain", False), ("with bias", True))
    ),
    Case("com.microsoft::SkipLayerNormalization", "sum as output", 17, _skip_with_sum),
    Case("com.microsoft::FusedConv", "activation", 17, _fused_conv(added=False)),
    Case("com.microsoft::FusedConv", "added", 17, _fused_conv(added=True)),
    Case("com.microsoft::FusedGemm", "activation", 17, _fused_gemm),
    *(
        Case("com.microsoft::FusedMatMul", side, 17, _fused_matmul(side))
        for side in ("transA", "transB")
    ),
)
