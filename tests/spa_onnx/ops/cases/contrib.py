"""What ONNX Runtime's optimiser fuses: domain com.microsoft."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.builders import GraphBuilder
from tests.spa_onnx.ops.cases.case import Case, end, image, rows, tokens
from tests.spa_onnx.untracked import like, shaped

Build = Callable[[GraphBuilder], str]
MICROSOFT = "com.microsoft"


def _fused_conv(added: bool = False, groups: int = 1, **attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        inputs = [x, g.weight(8, 8 // groups, 3, 3), g.bias(8), *([x] if added else [])]
        y = g.node(
            "FusedConv", inputs, domain=MICROSOFT, group=groups, pads=[1, 1, 1, 1], **attributes
        )
        return end(g, like(g, y, x))

    return build


def _fused_gemm(**attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        shape = (6, 8) if attributes.get("transB") else (8, 6)
        inputs = [rows(g), g.weight(*shape, fan_in=8), g.bias(6)]
        y = g.node("FusedGemm", inputs, domain=MICROSOFT, **attributes)
        return end(g, shaped(g, y, (2, 6)))

    return build


def _fused_matmul(**attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        shape = (6, 8) if attributes.get("transB") else (8, 6)
        x = tokens(g)
        a = g.transpose(x, 0, 2, 1) if attributes.get("transA") else x
        y = g.node("FusedMatMul", [a, g.weight(*shape, fan_in=8)], domain=MICROSOFT, **attributes)
        return end(g, shaped(g, y, (2, 5, 6)))

    return build


def _fused_scores(g: GraphBuilder) -> str:
    """Attention without Transpose in front of its logits."""
    x = tokens(g)
    q, k = g.linear(x, 6), g.linear(x, 6)
    y = g.node("FusedMatMul", [q, k], domain=MICROSOFT, transB=1, alpha=0.4)
    return end(g, g.matmul(g.softmax(shaped(g, y, (2, 5, 5))), x))


def _fused_batches(g: GraphBuilder) -> str:
    x = g.transpose(tokens(g), 1, 0, 2)
    weight = g.weight(5, 8, 6, fan_in=8)
    y = g.node("FusedMatMul", [x, weight], domain=MICROSOFT, transBatchA=0, transBatchB=0)
    return end(g, shaped(g, y, (5, 2, 6)))


def _skip(op: str, outputs: int = 1, bias: bool = True, table: bool = False) -> Build:
    def build(g: GraphBuilder) -> str:
        x = tokens(g)
        skip = g.constant(g.random.uniform(-1, 1, (5, 8))) if table else g.linear(x, 8)
        beta = [g.bias(8)] if op == "SkipLayerNormalization" else []
        inputs = [x, skip, g.scale(8), *beta, *([g.bias(8)] if bias else [])]
        if outputs == 1:
            y = g.node(op, inputs, domain=MICROSOFT, epsilon=1e-5)
            return end(g, like(g, y, x))
        y, *_, total = g.node(op, inputs, outputs, domain=MICROSOFT, epsilon=1e-5)
        return g.add(end(g, like(g, y, x)), end(g, like(g, total, x)))

    return build


def _skip_sum_only(op: str) -> Build:
    """The statistics are not outputs, as the optimiser leaves them."""

    def build(g: GraphBuilder) -> str:
        build_all = _skip(op, 4)
        result = build_all(g)
        fused = next(n for n in g._nodes if n.op_type == op)  # pyright: ignore[reportPrivateUsage]
        fused.output[1] = fused.output[2] = ""
        return result

    return build


SKIPS = ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
LEAKY: dict[str, Any] = {
    "activation": "LeakyRelu",
    "activation_params": np.array([0.1], np.float32),
}
CASES = (
    *(
        Case(f"com.microsoft::{op}", form, 17, build)
        for op, form, build in (
            ("FusedConv", "leaky activation", _fused_conv(**LEAKY)),
            ("FusedConv", "grouped", _fused_conv(groups=2, activation="Relu")),
            ("FusedConv", "depthwise", _fused_conv(groups=8, activation="Sigmoid")),
            ("FusedGemm", "plain", _fused_gemm(activation="Relu")),
            (
                "FusedGemm", "transposed weight",
                _fused_gemm(transB=1, activation="LeakyRelu", activation_alpha=0.1),
            ),
            ("FusedMatMul", "plain", _fused_matmul(alpha=0.5)),
            ("FusedMatMul", "transposed weight", _fused_matmul(transB=1, alpha=0.5)),
            ("FusedMatMul", "transposed input", _fused_matmul(transA=1)),
            ("FusedMatMul", "both transposed", _fused_matmul(transA=1, transB=1)),
            ("FusedMatMul", "logits of attention", _fused_scores),
            ("FusedMatMul", "weight for every batch", _fused_batches),
        )
    ),
    *(
        Case(f"com.microsoft::{op}", form, 17, build)
        for op in SKIPS
        for form, build in (
            ("bias", _skip(op)),
            ("no bias", _skip(op, bias=False)),
            ("table", _skip(op, table=True)),
            ("sum as an output", _skip_sum_only(op)),
        )
    ),
)  # fmt: skip
