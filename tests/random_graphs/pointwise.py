"""Activations: functions of one lane at a time, fused, decomposed or with weights."""

from tests.random_graphs.canvas import Canvas

PLAIN = ("relu", "sigmoid", "tanh", "leaky_relu", "clip", "silu", "hard_swish", "gelu")


def activate(c: Canvas, x: str) -> str:
    """Apply a random activation; PRelu only where the channels are on axis 1."""
    name = c.variant("activation", *PLAIN)
    match name:
        case "relu":
            return c.graph.relu(x)
        case "sigmoid":
            return c.graph.sigmoid(x)
        case "tanh":
            return c.graph.tanh(x)
        case "leaky_relu":
            return c.graph.node("LeakyRelu", [x], alpha=0.1)
        case "clip":
            return c.graph.clip(x, -1.0, 6.0)
        case "silu":
            return c.graph.mul(x, c.graph.sigmoid(x))
        case "hard_swish":
            return hard_swish(c, x)
        case _:
            return gelu(c, x)


def activate_channels(c: Canvas, x: str) -> str:
    """Apply a random activation to channels on axis 1, PRelu included."""
    if c.chance(0.15):
        c.used.add("activation:prelu")
        return c.graph.prelu(x)
    return activate(c, x)


def hard_swish(c: Canvas, x: str) -> str:
    """x * relu6(x + 3) / 6, as one operator, by HardSigmoid, or by Clip."""
    forms = ["hard_sigmoid", "clip"] + ["fused"] * (c.graph.opset >= 14)
    form = c.variant("hard_swish", *forms)
    if form == "fused":
        return c.graph.node("HardSwish", [x])
    if form == "hard_sigmoid":
        return c.graph.mul(x, c.graph.node("HardSigmoid", [x], alpha=1 / 6, beta=0.5))
    gate = c.graph.clip(c.graph.add(x, c.graph.constant(3.0)), 0.0, 6.0)
    return c.graph.div(c.graph.mul(x, gate), c.graph.constant(6.0))


def gelu(c: Canvas, x: str) -> str:
    """x * Phi(x), as one operator, or from Erf as exporters write it."""
    g = c.graph
    if g.opset >= 20 and c.variant("gelu", "fused", "decomposed") == "fused":
        return g.node("Gelu", [x])
    erf = g.node("Erf", [g.div(x, g.constant(2**0.5))])
    return g.mul(g.mul(x, g.add(erf, g.constant(1.0))), g.constant(0.5))


def pass_through(c: Canvas, x: str) -> str:
    """Operators without effect at inference, then an activation."""
    y = c.graph.node("Dropout", [c.graph.node("Identity", [x])])
    return activate(c, y)
