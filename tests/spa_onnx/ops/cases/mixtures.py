"""Mixtures of experts as ONNX Runtime fuses them."""

from typing import Any

import numpy as np

from tests.builders import GraphBuilder
from tests.spa_onnx.ops.cases.case import Build, Case
from tests.spa_onnx.untracked import like

MICROSOFT = "com.microsoft"
EXPERTS, WIDTH, HIDDEN = 6, 8, 16


def _start(g: GraphBuilder) -> tuple[str, str]:
    """Return tokens and the logits of their experts."""
    x = g.linear(g.input("x", (5, 4)), WIDTH)
    return x, g.linear(g.relu(g.linear(x, 10)), EXPERTS)


def _mixture(fused: bool = False, third: bool = False, bias: bool = True, **more: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        x, router = _start(g)
        rows = 2 * HIDDEN if fused else HIDDEN

        def offset(n: int) -> str:
            return g.constant(g.random.normal(size=(EXPERTS, n))) if bias else ""

        inputs = [x, router, g.weight(EXPERTS, rows, WIDTH, fan_in=WIDTH), offset(rows)]
        inputs += [g.weight(EXPERTS, WIDTH, HIDDEN, fan_in=HIDDEN), offset(WIDTH)]
        if third:
            inputs += [g.weight(EXPERTS, HIDDEN, WIDTH, fan_in=WIDTH), offset(HIDDEN)]
        y = g.node("MoE", inputs, domain=MICROSOFT, **more)
        return g.linear(like(g, y, x), 3)

    return build


def _quantised(**more: Any) -> Build:
    """Weights of eight bits with a scale for every row."""

    def build(g: GraphBuilder) -> str:
        x, router = _start(g)

        def packed(rows: int, columns: int) -> list[str]:
            weight = g.random.integers(0, 255, (EXPERTS, rows, columns)).astype(np.uint8)
            scale = g.constant(g.random.uniform(0.002, 0.01, (EXPERTS, rows)))
            return [g.constant(weight), scale, ""]

        inputs = [g.relu(x), router, *packed(HIDDEN, WIDTH), *packed(WIDTH, HIDDEN)]
        facts: dict[str, Any] = {"expert_weight_bits": 8} | more
        y = g.node("QMoE", inputs, domain=MICROSOFT, **facts)
        return g.linear(like(g, y, x), 3)

    return build


SWIGLU: dict[str, Any] = {
    "activation_type": "swiglu",
    "activation_alpha": 1.702,
    "activation_beta": 1.0,
}

CASES = (
    *(
        Case("com.microsoft::MoE", form, 17, build)
        for form, build in (
            ("best one", _mixture(k=1, activation_type="relu")),
            ("best two", _mixture(k=2, activation_type="gelu")),
            ("normalised", _mixture(k=2, activation_type="silu", normalize_routing_weights=1)),
            ("without biases", _mixture(bias=False, k=2, activation_type="silu")),
            ("interleaved gates", _mixture(True, k=2, swiglu_fusion=1, **SWIGLU)),
        )
    ),
    # The CPU provider has no kernel for these forms.
    Case("com.microsoft::MoE", "gates side by side", 17,
         _mixture(True, k=2, swiglu_fusion=2, **SWIGLU), runs=False),
    Case("com.microsoft::MoE", "third weight", 17,
         _mixture(third=True, k=2, activation_type="silu"), runs=False),
    Case("com.microsoft::QMoE", "eight bits", 17, _quantised(k=2, activation_type="relu"),
         cut=False),
)  # fmt: skip
