"""Blocks on sequences ``(N, T, C)`` other than attention."""

import numpy as np
from onnx import numpy_helper

from tests.random_graphs.canvas import Canvas, Copy
from tests.random_graphs.norms import layer_norm
from tests.random_graphs.pointwise import activate


def mlp(c: Canvas, x: str) -> str:
    """Norm, widen, activate, narrow, sometimes a scale per channel, add."""
    y = c.linear(activate(c, c.linear(layer_norm(c, x), c.width())), c.features(x))
    if c.chance(0.3):
        y = c.graph.mul(y, c.graph.scale(c.features(x)))
    return c.graph.add(x, y)


def plain_linear(c: Canvas, x: str) -> str:
    """One matrix to another width."""
    return activate(c, c.linear(x, c.width()))


def swiglu(c: Canvas, x: str) -> str:
    """down(silu(gate(x)) * up(x)), gate and up from two matrices or from one."""
    g, inner, y = c.graph, c.width(most=20), layer_norm(c, x)
    if c.variant("swiglu", "separate", "fused") == "separate":
        gate, up = c.linear(y, inner), c.linear(y, inner)
    else:
        gate, up = g.split(c.linear(y, 2 * inner), [inner, inner], axis=2)
    product = g.mul(g.mul(gate, g.sigmoid(gate)), up)
    return g.add(x, c.linear(product, c.features(x)))


def recurrent(c: Canvas, x: str) -> str:
    """LSTM or GRU, in one or both directions, time first."""
    op = c.variant("recurrent", "LSTM", "GRU")
    both = c.variant("directions", "one", "both") == "both"
    hidden = c.width(most=11)
    states = _zero_states(c, x, op, 1 + both, hidden) if c.chance(0.4) else []
    steps = c.graph.transpose(x, 1, 0, 2)
    y = c.graph.recurrent(op, steps, hidden, bidirectional=both, initial=states)
    if both:
        y = c.graph.transpose(y, 2, 0, 1, 3)
        return c.reshape(y, [Copy(0), Copy(1), 2 * hidden])
    return c.graph.transpose(c.graph.squeeze(y, 1), 1, 0, 2)


def _zero_states(c: Canvas, x: str, op: str, directions: int, hidden: int) -> list[str]:
    """Return initial states as exporters write them: zeros of a computed shape."""
    sizes = [c.graph.constant([directions]), c.size_of(x, 0), c.graph.constant([hidden])]
    zero = numpy_helper.from_array(np.zeros(1, np.float32))
    shape = c.graph.concat(*sizes, axis=0)
    return [c.graph.node("ConstantOfShape", [shape], value=zero)] * (1 + (op == "LSTM"))


def convolution(c: Canvas, x: str) -> str:
    """1-D convolution over tokens: plain, in groups, or gated and depthwise."""
    g, signal = c.graph, c.graph.transpose(x, 0, 2, 1)
    form = c.variant("conv_1d", "plain", "grouped", "gated")
    if form == "gated":
        inner = c.width(most=14)
        value, gate = g.split(c.conv(signal, 2 * inner), [inner, inner])
        y = g.mul(value, g.sigmoid(gate))
        y = c.conv(activate(c, g.batch_norm(c.conv(y, inner, 3, groups=inner))), c.channels(signal))
        return g.add(x, g.transpose(y, 0, 2, 1))
    groups = c.number(2, 3) if form == "grouped" else 1
    y = g.relu(c.conv(signal, groups * c.number(4, 5), 3))
    return g.transpose(c.conv(y, groups * c.number(4, 6), 3, groups=groups), 0, 2, 1)


def roll_features(c: Canvas, x: str) -> str:
    """Rotate the last axis, add the input."""
    k = c.number(*range(1, c.features(x)))
    rolled = c.graph.concat(c.graph.slice(x, k, axis=2), c.graph.slice(x, 0, k, axis=2), axis=2)
    return c.linear(c.graph.add(x, rolled), c.width())


def shift_tokens(c: Canvas, x: str) -> str:
    """Half of the features come from the neighbouring token."""
    g, half = c.graph, c.features(x) // 2
    rolled = g.concat(g.slice(x, 1, axis=1), g.slice(x, 0, 1, axis=1), axis=1)
    both = g.concat(g.slice(x, 0, half, axis=2), g.slice(rolled, half, axis=2), axis=2)
    return c.linear(both, c.width())


def mix_tokens(c: Canvas, x: str) -> str:
    """MLP-Mixer: matrices over the token axis, add."""
    y = c.graph.transpose(layer_norm(c, x), 0, 2, 1)
    y = c.linear(activate(c, c.linear(y, c.width(most=12))), c.shape(x)[1])
    return c.graph.add(x, c.graph.transpose(y, 0, 2, 1))


def positions(c: Canvas, x: str) -> str:
    """Add a learnt table of positions."""
    return c.graph.add(x, c.graph.weight(1, *c.shape(x)[1:], fan_in=4))


def experts(c: Canvas, x: str) -> str:
    """Two MLPs mixed by a softmax gate per token."""
    g, gates = c.graph, c.graph.softmax(c.linear(x, 2), 2)
    outputs = [c.linear(activate(c, c.linear(x, c.width())), c.features(x)) for _ in range(2)]
    mixed = [g.mul(y, g.slice(gates, k, k + 1, axis=2)) for k, y in enumerate(outputs)]
    return g.add(x, g.add(*mixed))


def concat_skip(c: Canvas, x: str) -> str:
    """U-ViT: concatenate input and features on the last axis, then a matrix."""
    y = activate(c, c.linear(x, c.width(most=14)))
    return c.linear(c.graph.concat(x, y, axis=2), c.width())


def merge_tokens(c: Canvas, x: str) -> str:
    """Swin: two neighbouring tokens become one of twice the width, then a matrix."""
    tokens, width = c.shape(x)[1:]
    if tokens % 2:
        x = c.graph.concat(x, c.graph.slice(x, 0, 1, axis=1), axis=1)
    pairs = c.reshape(x, [Copy(0), (tokens + 1) // 2, 2 * width])
    return c.linear(layer_norm(c, pairs), c.width())
