"""Blocks that cut, move, repeat or pair channels on axis 1; some also work on vectors."""

from tests.random_graphs.canvas import Canvas, Copy
from tests.random_graphs.pointwise import activate, activate_channels
from tests.random_graphs.residuals import conv_norm_act


def pad_channels(c: Canvas, x: str) -> str:
    """Pad channels with zeros on both sides, then convolve."""
    padded = c.graph.pad(x, {1: (c.number(0, 1, 2), c.number(1, 2, 3))})
    return activate_channels(c, c.conv(padded, c.width(), 3))


def strided_slices(c: Canvas, x: str) -> str:
    """Even and odd channels processed apart and concatenated."""
    even, odd = (c.graph.slice(x, start, step=2) for start in (0, 1))
    return c.graph.concat(conv_norm_act(c, even, c.width(most=12), 1), c.graph.relu(odd))


def negative_slices(c: Canvas, x: str) -> str:
    """The last channels by a negative start, and all but the last by a negative stop."""
    count = c.number(*range(1, c.channels(x) // 2 + 1))
    tail, body = c.graph.slice(x, -count), c.graph.slice(x, 0, -count)
    return c.graph.concat(c.project(body, c.width(most=16)), activate(c, tail))


def flip(c: Canvas, x: str) -> str:
    """Channels in reverse order, added to themselves or convolved."""
    reverse = c.graph.slice(x, -1, None, step=-1)
    if c.variant("flip", "added", "convolved") == "added":
        return c.graph.add(x, c.graph.sigmoid(reverse))
    return c.project(reverse, c.width())


def overlapping_slices(c: Canvas, x: str) -> str:
    """Two slices that share channels, added."""
    each = 2 * c.channels(x) // 3
    first, second = c.graph.slice(x, 0, each), c.graph.slice(x, -each)
    return c.project(c.graph.add(first, activate(c, second)), c.width())


def roll(c: Canvas, x: str) -> str:
    """Rotate channels by two slices and a concatenation; add the input or convolve."""
    k = c.number(*range(1, c.channels(x)))
    rolled = c.graph.concat(c.graph.slice(x, k), c.graph.slice(x, 0, k))
    if c.variant("roll", "added", "convolved") == "added":
        return c.graph.add(x, c.graph.tanh(rolled))
    return c.project(rolled, c.width(), 3)


def permute_channels(c: Canvas, x: str) -> str:
    """Gather all channels in another order."""
    order = c.random.permutation(c.channels(x))
    permuted = c.graph.gather(x, order)
    if c.variant("permutation", "added", "convolved") == "added":
        return c.graph.add(x, c.graph.sigmoid(permuted))
    return c.project(permuted, c.width())


def select_channels(c: Canvas, x: str) -> str:
    """Gather some channels, some of them twice."""
    chosen = c.random.integers(0, c.channels(x), c.width(most=14))
    return c.project(c.graph.gather(x, chosen), c.width(), 3)


def crelu(c: Canvas, x: str) -> str:
    """Concatenation of x and -x under a ReLU, sometimes into a group convolution."""
    both = c.graph.relu(c.graph.concat(x, c.graph.node("Neg", [x])))
    groups = 2 if c.variant("crelu", "plain", "grouped") == "grouped" else 1
    return c.conv(both, 2 * c.width(most=14), 3, groups=groups)


def maxout(c: Canvas, x: str) -> str:
    """Largest of each group of channels, the group being the outer or the inner factor."""
    pieces, width = c.number(2, 3), c.width(most=14)
    y = c.conv(x, pieces * width)
    form = c.variant("maxout", "inner", "outer", "slices")
    if form == "slices":
        return c.graph.node("Max", c.graph.split(y, [width] * pieces))
    factors, axis = ([width, pieces], 2) if form == "inner" else ([pieces, width], 1)
    grid = c.reshape(y, [Copy(0), *factors, *c.shape(y)[2:]])
    return c.graph.reduce("ReduceMax", grid, axis, keepdims=False)


def glu(c: Canvas, x: str) -> str:
    """One half of the channels gated by the other."""
    width = c.width(most=16)
    value, gate = c.graph.split(c.conv(x, 2 * width, 3), [width, width])
    return c.graph.mul(value, c.graph.sigmoid(gate))


def repeat_channels(c: Canvas, x: str) -> str:
    """Tile channels, add to a wider convolution of them."""
    times = c.number(2, 3)
    x = c.conv(x, c.width(most=9))
    tiled = c.graph.node("Tile", [x, c.graph.constant([1, times, 1, 1])])
    return c.graph.add(tiled, c.conv(x, times * c.channels(x), 3))
