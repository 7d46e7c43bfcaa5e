"""Image blocks that reduce or normalise over channels, or treat them as the last axis."""

from tests.random_graphs.canvas import Canvas, Copy
from tests.random_graphs.norms import layer_norm
from tests.random_graphs.pointwise import activate


def channels_last_mlp(c: Canvas, x: str) -> str:
    """ConvNeXt: depthwise, channels last, norm, two matrices, scale per channel, add."""
    g, channels = c.graph, c.channels(x)
    y = c.conv(x, channels, 3, groups=channels)
    y = layer_norm(c, g.transpose(y, 0, 2, 3, 1))
    y = c.linear(activate(c, c.linear(y, c.width())), channels)
    y = g.mul(y, g.scale(channels))
    return g.add(x, g.transpose(y, 0, 3, 1, 2))


def spatial_gate(c: Canvas, x: str) -> str:
    """CBAM: gate pixels by the mean and the maximum over channels."""
    mean, largest = (c.graph.reduce(op, x, 1) for op in ("ReduceMean", "ReduceMax"))
    gate = c.graph.sigmoid(c.conv(c.graph.concat(mean, largest), 1, 3))
    return c.graph.mul(x, gate)


def unit_length(c: Canvas, x: str) -> str:
    """Divide pixels by their Euclidean norm over channels."""
    length = c.graph.reduce("ReduceL2", x, 1)
    return c.conv(c.graph.div(x, c.graph.add(length, c.graph.constant(0.1))), c.width())


def summary_channels(c: Canvas, x: str) -> str:
    """Sum and log-sum-exp over channels, appended as two more channels."""
    total = c.graph.tanh(c.graph.reduce("ReduceSum", x, 1))
    soft = c.graph.reduce("ReduceLogSumExp", x, 1)
    return c.conv(c.graph.concat(x, total, soft), c.width())


def channel_softmax(c: Canvas, x: str) -> str:
    """Softmax over channels, in place from opset 13, else between transposes."""
    y, g = c.conv(x, c.width()), c.graph
    if g.opset >= 13 and c.variant("channel_softmax", "direct", "transposed") == "direct":
        y = g.softmax(y, 1)
    else:
        y = g.transpose(g.softmax(g.transpose(y, 0, 2, 3, 1), 3), 0, 3, 1, 2)
    # Probabilities of many channels are small; the next layer should still see them.
    return c.conv(g.mul(y, g.constant(float(c.channels(y)))), c.width())


def efficient_channel_attention(c: Canvas, x: str) -> str:
    """Gate channels by a 1-D convolution along them, which keeps their neighbourhood."""
    mean = c.graph.reduce("ReduceMean", x, 2, 3, keepdims=False)
    row = c.graph.conv(c.graph.unsqueeze(mean, 1), 1, 3)
    gate = c.graph.sigmoid(c.reshape(row, [Copy(0), c.channels(x), 1, 1]))
    return c.conv(c.graph.mul(x, gate), c.width())


def cross_covariance(c: Canvas, x: str) -> str:
    """Attention between channels: softmax(q kT) v over pixels."""
    g, width, sides = c.graph, c.width(most=14), c.shape(x)[2:]
    q, k, v = (c.reshape(c.conv(x, width), [Copy(0), width, -1]) for _ in range(3))
    scores = g.mul(g.matmul(q, g.transpose(k, 0, 2, 1)), g.constant(0.2))
    y = c.reshape(g.matmul(g.softmax(scores, 2), v), [Copy(0), width, *sides])
    return g.add(x, c.conv(y, c.channels(x)))


def masked_image(c: Canvas, x: str) -> str:
    """Replace pixels by a learnt vector where a constant mask says so."""
    mask = c.graph.constant(c.random.random(c.shape(x)[2:]) < 0.7)
    token = c.graph.weight(1, c.channels(x), 1, 1, fan_in=4)
    return c.graph.node("Where", [mask, x, token])
