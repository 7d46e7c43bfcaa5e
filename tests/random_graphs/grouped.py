"""Image blocks with group convolutions, channel shuffles and channel gates."""

from tests.random_graphs.canvas import Canvas, Copy
from tests.random_graphs.norms import normalise_channels
from tests.random_graphs.pointwise import activate, activate_channels, hard_swish
from tests.random_graphs.residuals import conv_norm_act


def group_conv(c: Canvas, x: str) -> str:
    """1x1, group convolution, 1x1."""
    groups = c.number(2, 3, 4, 5)
    y = conv_norm_act(c, x, groups * c.number(2, 3, 5), 1)
    y = activate(c, c.conv(y, groups * c.number(2, 3, 4), 3, groups=groups))
    return c.conv(y, c.width())


def group_conv_stack(c: Canvas, x: str) -> str:
    """Two group convolutions in a row, the second with another number of groups, plus input."""
    first, second = c.number(2, 4), c.number(3, 2, 6)
    inner = 12 * c.number(1, 2)
    y = conv_norm_act(c, x, inner, 1)
    z = c.graph.relu(c.conv(y, inner, 3, groups=first))
    z = c.conv(z, inner, 3, groups=second)
    return c.graph.add(z, y) if c.chance(0.5) else z


def group_conv_of_concat(c: Canvas, x: str) -> str:
    """Group convolution whose groups do not respect the borders of a concatenation."""
    groups = c.number(2, 3, 4)
    total = groups * c.number(3, 4, 5, 6)
    first = c.number(*range(2, total - 1))
    joined = c.graph.concat(conv_norm_act(c, x, first), conv_norm_act(c, x, total - first, 1))
    return activate(c, c.conv(joined, groups * c.number(2, 3, 4), 3, groups=groups))


def depthwise(c: Canvas, x: str) -> str:
    """Depthwise separable convolution, the depthwise part with a multiplier of 1 to 3."""
    channels = c.channels(x)
    y = c.conv(x, channels * c.number(1, 2, 3), 3, groups=channels)
    return c.conv(activate_channels(c, normalise_channels(c, y)), c.width())


def inverted_residual(c: Canvas, x: str) -> str:
    """MobileNet: widen, depthwise, gate, narrow, add."""
    inner = c.channels(x) * 2
    y = conv_norm_act(c, x, inner, 1)
    y = activate_channels(c, normalise_channels(c, c.conv(y, inner, 3, groups=inner)))
    return c.graph.add(x, c.conv(squeeze_excite(c, y), c.channels(x)))


def ghost(c: Canvas, x: str) -> str:
    """Features and a depthwise convolution of them, concatenated."""
    half = c.width(most=14)
    y = conv_norm_act(c, x, half, 1)
    return c.graph.concat(y, c.graph.relu(c.conv(y, half, 3, groups=half)))


def squeeze_excite(c: Canvas, x: str) -> str:
    """Gate channels by their spatial mean, through 1x1 convolutions or matrices."""
    channels, inner = c.channels(x), c.width(most=8)
    form = c.variant("squeeze", "conv", "linear")
    if form == "conv":
        mean = c.graph.global_average_pool(x)
        gate = c.conv(activate(c, c.conv(mean, inner)), channels)
    else:
        mean = c.graph.reduce("ReduceMean", x, 2, 3, keepdims=False)
        gate = c.linear(activate(c, c.linear(mean, inner)), channels)
    gate = c.graph.node("HardSigmoid", [gate]) if c.chance(0.3) else c.graph.sigmoid(gate)
    return c.graph.mul(x, gate if form == "conv" else c.reshape(gate, [Copy(0), channels, 1, 1]))


def selective_kernels(c: Canvas, x: str) -> str:
    """Two branches weighed against each other per channel by a softmax."""
    g, width = c.graph, c.width(most=16)
    a, b = conv_norm_act(c, x, width), conv_norm_act(c, x, width, 1)
    mean = g.reduce("ReduceMean", g.add(a, b), 2, 3, keepdims=False)
    logits = c.linear(activate(c, c.linear(mean, c.width(most=9))), 2 * width)
    # Softmax over the pair stands last, where it means the same in every opset.
    pairs = g.transpose(c.reshape(logits, [Copy(0), 2, width]), 0, 2, 1)
    gates = c.reshape(g.softmax(pairs, 2), [Copy(0), width, 2, 1])
    first, second = (g.slice(gates, k, k + 1, axis=2) for k in (0, 1))
    return g.add(g.mul(a, first), g.mul(b, second))


def shuffle(c: Canvas, x: str, groups: int) -> str:
    """Exchange channels between groups: ``(g, k)`` to ``(k, g)``."""
    channels, height, width = c.shape(x)[1:]
    y = c.reshape(x, [Copy(0), groups, channels // groups, height, width])
    return c.reshape(c.graph.transpose(y, 0, 2, 1, 3, 4), [Copy(0), channels, height, width])


def permuted_group_conv(c: Canvas, x: str) -> str:
    """Channels in an order of no pattern, in front of a group convolution."""
    groups = c.number(2, 3, 4)
    width = groups * c.number(3, 4, 5)
    x = c.graph.relu(c.conv(x, width))
    y = c.graph.gather(x, c.random.permutation(width))
    y = c.conv(y, groups * c.number(2, 3, 4), 3, groups=groups)
    return c.graph.relu(y)


def shuffle_v1(c: Canvas, x: str) -> str:
    """ShuffleNet v1: group convolution, shuffle, depthwise, group convolution, add."""
    groups = c.number(2, 3)
    width = groups * groups * c.number(2, 3)
    x = conv_norm_act(c, x, width, 1)
    y = shuffle(c, c.graph.relu(c.conv(x, width, groups=groups)), groups)
    y = normalise_channels(c, c.conv(y, width, 3, groups=width))
    return c.graph.relu(c.graph.add(x, c.conv(y, width, groups=groups)))


def shuffle_v2(c: Canvas, x: str) -> str:
    """ShuffleNet v2, two units: split, process one half, concatenate, shuffle."""
    half = c.number(4, 5, 6, 8, 9)
    x = conv_norm_act(c, x, 2 * half, 1)
    for _ in range(c.number(1, 2)):
        a, b = c.graph.split(x, [half, half])
        b = c.graph.relu(c.conv(b, half))
        b = c.conv(c.conv(b, half, 3, groups=half), half)
        x = shuffle(c, c.graph.concat(a, hard_swish(c, b)), 2)
    return x
