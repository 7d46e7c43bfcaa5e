"""Blocks from one kind of feature to another: image, sequence, vector."""

from tests.random_graphs.attention import attention_fused
from tests.random_graphs.canvas import Canvas, Copy
from tests.random_graphs.pixels import shrink
from tests.random_graphs.pointwise import activate


def flatten_image(c: Canvas, x: str) -> str:
    """Flatten channels and pixels into a matrix."""
    x = c.conv(shrink(c, x), c.width(most=8))
    if c.variant("flatten", "flatten", "reshape") == "flatten":
        flat = c.graph.flatten(x)
    else:
        size = c.shape(x)[1] * c.shape(x)[2] * c.shape(x)[3]
        flat = c.reshape(x, [Copy(0), size])
    return activate(c, c.linear(flat, c.width()))


def pool_image(c: Canvas, x: str) -> str:
    """Mean or maximum over pixels, then a matrix."""
    match c.variant("pool", "global", "mean", "max"):
        case "global":
            pooled = c.graph.flatten(c.graph.global_average_pool(x))
        case "mean":
            pooled = c.graph.reduce("ReduceMean", x, 2, 3, keepdims=False)
        case _:
            pooled = c.graph.squeeze(c.graph.node("GlobalMaxPool", [x]), 2, 3)
    return c.linear(pooled, c.width())


def gram(c: Canvas, x: str) -> str:
    """Products of all pairs of channels, averaged over pixels, then a matrix."""
    g, width = c.graph, c.number(4, 5, 6)
    rows = c.reshape(c.graph.tanh(c.conv(x, width)), [Copy(0), width, -1])
    product = g.matmul(rows, g.transpose(rows, 0, 2, 1))
    return c.linear(g.flatten(g.mul(product, g.constant(0.1))), c.width())


def pixels_as_tokens(c: Canvas, x: str) -> str:
    """Every pixel a token, transposed before or after the reshape."""
    c.token_axis_is_symbolic = False
    x = shrink(c, x)
    if c.variant("tokens", "reshape_first", "transpose_first") == "reshape_first":
        return c.graph.transpose(c.reshape(x, [Copy(0), c.channels(x), -1]), 0, 2, 1)
    y = c.graph.transpose(x, 0, 2, 3, 1)
    return c.reshape(y, [Copy(0), c.shape(x)[2] * c.shape(x)[3], c.channels(x)])


def patches_and_class(c: Canvas, x: str) -> str:
    """Vision transformer: patches, a learnt token in front, positions, one attention."""
    c.token_axis_is_symbolic = False
    g, width = c.graph, c.width()
    patches = g.conv(x, width, 2, stride=2, padding=0)
    tokens = g.transpose(c.reshape(patches, [Copy(0), width, -1]), 0, 2, 1)
    first = g.weight(1, 1, width, fan_in=4)
    ones = [g.constant([1]), g.constant([width])]
    shape = g.concat(c.size_of(tokens, 0), *ones, axis=0)
    y = g.concat(g.node("Expand", [first, shape]), tokens, axis=1)
    # Without the attention a head on the learnt token would not see the image.
    return attention_fused(c, g.add(y, g.weight(1, *c.shape(y)[1:], fan_in=4)))


def mean_token(c: Canvas, x: str) -> str:
    """Mean or maximum over tokens."""
    op = c.variant("token_pool", "ReduceMean", "ReduceMax")
    return c.linear(c.graph.reduce(op, x, 1, keepdims=False), c.width())


def one_token(c: Canvas, x: str) -> str:
    """The first token, by Gather or Slice, or the last."""
    match c.variant("token", "gather", "slice", "last"):
        case "gather":
            return c.linear(c.graph.gather(x, 0, axis=1), c.width())
        case "slice":
            token = c.graph.slice(x, 0, 1, axis=1)
        case _:
            token = c.graph.slice(x, -1, axis=1)
    return c.linear(c.graph.squeeze(token, 1), c.width())


def flatten_tokens(c: Canvas, x: str) -> str:
    """All tokens of a sequence of known length side by side, then a matrix."""
    return c.linear(c.graph.flatten(c.linear(x, c.width(most=8))), c.width())


def tokens_as_row(c: Canvas, x: str) -> str:
    """Tokens become the pixels of four rows by a matrix, features the channels."""
    y = c.graph.transpose(c.linear(x, 4 * c.width(most=8)), 0, 2, 1)
    depth, tokens = c.channels(y) // 4, c.shape(y)[2]
    return c.reshape(y, [Copy(0), depth, 4, tokens])


def vector_as_image(c: Canvas, x: str) -> str:
    """Matrix to channels times pixels, reshaped, as in generators."""
    side, width = c.number(3, 4), c.width(most=12)
    return c.reshape(c.linear(x, width * side * side), [Copy(0), width, side, side])


def vector_as_tokens(c: Canvas, x: str) -> str:
    """Matrix to tokens times features, reshaped."""
    c.token_axis_is_symbolic = False
    tokens, width = c.number(3, 4, 6), c.width(most=12)
    return c.reshape(c.linear(x, tokens * width), [Copy(0), tokens, width])
