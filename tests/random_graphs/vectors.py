"""Blocks on vectors ``(N, C)``."""

from tests.random_graphs.canvas import Canvas, Copy
from tests.random_graphs.pointwise import activate, activate_channels


def dense(c: Canvas, x: str) -> str:
    """Matrix, sometimes batch norm, activation."""
    y = c.linear(x, c.width())
    return activate_channels(c, c.graph.batch_norm(y) if c.chance(0.4) else y)


def residual(c: Canvas, x: str) -> str:
    """x + f(x)."""
    return c.graph.add(x, c.linear(activate(c, c.linear(x, c.width())), c.features(x)))


def gated(c: Canvas, x: str) -> str:
    """One half of the columns gated by the other, by Split or by Slice."""
    width = c.width(most=16)
    both = c.linear(x, 2 * width)
    if c.variant("gate", "split", "slice") == "split":
        value, gate = c.graph.split(both, [width, width])
    else:
        value, gate = c.graph.slice(both, 0, width), c.graph.slice(both, -width)
    return c.graph.mul(value, c.graph.sigmoid(gate))


def maxout(c: Canvas, x: str) -> str:
    """Largest of every two or three columns, by a reshape."""
    pieces, width = c.number(2, 3), c.width(most=14)
    grid = c.reshape(c.linear(x, pieces * width), [Copy(0), width, pieces])
    return c.graph.reduce("ReduceMax", grid, 2, keepdims=False)


def outer_product(c: Canvas, x: str) -> str:
    """All products of the entries of two short vectors, then a matrix."""
    a, b = c.linear(x, c.number(4, 5)), c.linear(x, c.number(3, 6))
    grid = c.graph.matmul(c.graph.unsqueeze(a, 2), c.graph.unsqueeze(b, 1))
    return c.linear(c.graph.flatten(c.graph.tanh(grid)), c.width())


def second_vector(c: Canvas, x: str) -> str:
    """Concatenate a further graph input."""
    return c.linear(c.graph.concat(x, c.input("vector", c.number(2, 3, 5))), c.width())


def normalised(c: Canvas, x: str) -> str:
    """Divide by the Euclidean norm."""
    length = c.graph.reduce("ReduceL2", x, 1)
    return c.linear(c.graph.div(x, c.graph.add(length, c.graph.constant(0.1))), c.width())


def soft_gate(c: Canvas, x: str) -> str:
    """Multiply by a softmax over the same columns."""
    y = c.linear(x, c.width())
    return c.linear(c.graph.mul(y, c.graph.softmax(c.linear(x, c.features(y)), 1)), c.width())


def tied(c: Canvas, x: str) -> str:
    """Autoencoder whose decoder is the encoder's matrix, transposed."""
    g, width = c.graph, c.features(x)
    weight = g.weight(width, c.width(), fan_in=width)
    code = activate(c, g.matmul(x, weight))
    return g.add(x, g.matmul(code, g.transpose(weight, 1, 0)))
