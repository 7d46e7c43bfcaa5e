"""First and last layers: graph inputs, and heads that turn a feature into a graph output."""

import numpy as np

from tests.random_graphs.canvas import Canvas
from tests.random_graphs.pointwise import activate
from tests.random_graphs.residuals import conv_norm_act

VOCABULARY = 23


def image_stem(c: Canvas) -> str:
    """Convolve an image of three channels."""
    side = c.number(6, 8, 9)
    return conv_norm_act(c, c.input("image", 3, side, side), c.width())


def token_stem(c: Canvas) -> str:
    """Look up int64 token numbers in a table, which a tied head may use again."""
    ids = c.input("ids", _length(c), dtype=np.int64)
    width = c.width(least=8)
    c.table = c.graph.weight(VOCABULARY, width, fan_in=1)
    return c.graph.embedding(ids, VOCABULARY, width, c.table)


def frame_stem(c: Canvas) -> str:
    """Project frames of float features."""
    return c.linear(c.input("frames", _length(c), c.number(3, 5, 8)), c.width(least=8))


def vector_stem(c: Canvas) -> str:
    """Project a vector."""
    return activate(c, c.linear(c.input("vector", c.number(3, 6, 11)), c.width()))


def head(c: Canvas, x: str) -> str:
    """Turn a feature of any kind into an output."""
    rank = len(c.shape(x))
    forms = ["classes"] * 4 + ["raw", "dense"]
    if c.table and rank == 3:
        forms += ["tied"] * 6
    form = c.variant("head", *forms)
    if form == "raw":
        return x
    if form == "tied" and c.table:
        return _tied_head(c, x, c.table)
    if form == "classes" and rank == 4:
        x = c.graph.flatten(c.graph.global_average_pool(x))
    elif rank == 4:
        return c.conv(x, c.number(2, 3, 5))
    logits = c.linear(x, c.number(3, 5, 7))
    if c.chance(0.2):
        # A high temperature keeps probabilities away from 0 and 1.
        return c.graph.softmax(c.graph.mul(logits, c.graph.constant(0.3)), len(c.shape(x)) - 1)
    return logits


def _tied_head(c: Canvas, x: str, table: str) -> str:
    """Logits over the vocabulary with the embedding's own table."""
    width = c.features(table)
    if c.features(x) != width:
        x = c.linear(x, width)
    return c.graph.matmul(x, c.graph.transpose(table, 1, 0))


def _length(c: Canvas) -> int | str:
    c.token_axis_is_symbolic = c.symbolic
    return "T" if c.symbolic else c.number(4, 5, 6, 8)
