"""The graph a random model is drawn on: a builder, a generator of choices, and what was used."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import numpy_helper

from tests.builders import GraphBuilder

# Small and often awkward: primes, odd numbers, few powers of two.
WIDTHS = (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 18, 19, 20, 21, 24, 27, 29, 32)

BATCH = 2


@dataclass(frozen=True, slots=True)
class Copy:
    """In a shape: the size that the reshaped tensor has on this axis."""

    axis: int


@dataclass
class Canvas:
    """State shared by the blocks of one model.

    Attributes:
        graph: the graph being built.
        random: choices of the block at work.
        symbolic: the batch axis, and the token axis of sequence inputs, have no static length.
        token_axis_is_symbolic: whether that holds for the tokens at the current feature.
        table: name of the embedding table, if there is one, for a tied output head.
        used: labels of blocks and variants that occur in the model.
    """

    graph: GraphBuilder
    random: np.random.Generator
    symbolic: bool = False
    token_axis_is_symbolic: bool = False
    table: str | None = None
    used: set[str] = field(default_factory=set[str])
    _inputs: int = 0
    _zeros: dict[int, str] = field(default_factory=dict[int, str])

    def input(self, stem: str, *dims: int | str, dtype: type[np.generic] = np.float32) -> str:
        """Add a graph input of shape ``(N, *dims)`` with a name of its own."""
        self._inputs += 1
        batch = "N" if self.symbolic else BATCH
        return self.graph.input(f"{stem}_{self._inputs}", (batch, *dims), dtype)

    def chance(self, probability: float) -> bool:
        """Toss a coin."""
        return bool(self.random.random() < probability)

    def number(self, *options: int) -> int:
        """Pick one of some numbers."""
        return int(self.random.choice(options))

    def variant(self, family: str, *options: str) -> str:
        """Pick a variant of a family and note it as used."""
        choice = str(self.random.choice(options))
        self.used.add(f"{family}:{choice}")
        return choice

    def width(self, least: int = 4, most: int = 32) -> int:
        """Pick a number of channels."""
        return self.number(*[width for width in WIDTHS if least <= width <= most])

    def shape(self, x: str) -> tuple[int, ...]:
        """Return the shape of a tensor, symbolic axes at their given size."""
        return self.graph.shape(x)

    def channels(self, x: str) -> int:
        """Return the length of axis 1."""
        return self.shape(x)[1]

    def features(self, x: str) -> int:
        """Return the length of the last axis."""
        return self.shape(x)[-1]

    def conv(self, x: str, out: int, kernel: int = 1, *, groups: int = 1, stride: int = 1) -> str:
        """Convolution with a weight and bias of random origin."""
        shape = (out, self.channels(x) // groups, *[kernel] * (len(self.shape(x)) - 2))
        weight = self.weight(shape, fan_in=int(np.prod(shape[1:])))
        return self.graph.conv(
            x, out, kernel, groups=groups, stride=stride, weight=weight, bias=self._bias(out)
        )

    def project(self, x: str, out: int, kernel: int = 1) -> str:
        """Mix channels on axis 1: a convolution of images, a matrix on vectors."""
        return self.linear(x, out) if len(self.shape(x)) == 2 else self.conv(x, out, kernel)

    def linear(self, x: str, out: int) -> str:
        """Fully connected layer over the last axis: Gemm on matrices, or MatMul and Add."""
        width = self.features(x)
        if len(self.shape(x)) == 2 and self.variant("linear", "gemm", "matmul") == "gemm":
            transposed = self.chance(0.7)
            weight = self.weight((out, width) if transposed else (width, out), fan_in=width)
            bias = self._bias(out)
            return self.graph.gemm(x, out, transposed=transposed, weight=weight, bias=bias)
        weight = self.weight((width, out), fan_in=width)
        return self.graph.linear(x, out, weight=weight, bias=self._bias(out))

    def weight(self, shape: Sequence[int], fan_in: int) -> str:
        """Return a weight: an initializer, or a few operators that compute it from some."""
        form = "initializer"
        if self.chance(0.2):
            form = self.variant("weight", "transposed", "reshaped", "scaled", "constant_node")
        g = self.graph
        if form == "transposed":
            reverse = range(len(shape))[::-1]
            return g.transpose(g.weight(*shape[::-1], fan_in=fan_in), *reverse)
        if form == "reshaped":
            return g.reshape(g.weight(int(np.prod(shape)), fan_in=fan_in), shape)
        values = g.weight_values(*shape, fan_in=fan_in)
        if form == "constant_node":
            return g.node("Constant", [], value=numpy_helper.from_array(values))
        weight = g.constant(values)
        if form == "scaled":
            weight = g.mul(weight, g.reshape(g.scale(shape[0]), [-1, *[1] * (len(shape) - 1)]))
        return weight

    def reshape(self, x: str, dims: Sequence[int | Copy]) -> str:
        """Reshape by constants, by copied axes, or by a subgraph that computes the shape."""
        copies = {k: dim.axis for k, dim in enumerate(dims) if isinstance(dim, Copy)}
        forms = ["subgraph"]
        if all(k == axis for k, axis in copies.items()):
            forms.append("zeros")
        if not self.symbolic:
            forms += ["constant"] * 2
        form = self.variant("reshape", *forms)
        if form == "subgraph" and copies:
            return self.graph.node("Reshape", [x, self._computed_shape(x, dims)])
        fill = self.shape(x) if form == "constant" else (0,) * len(self.shape(x))
        return self.graph.reshape(x, [fill[d.axis] if isinstance(d, Copy) else d for d in dims])

    def size_of(self, x: str, axis: int) -> str:
        """Return a computed vector of length 1 that holds the size of an axis."""
        g = self.graph
        size = g.node("Gather", [g.node("Shape", [x]), g.constant(axis)], axis=0)
        return g.unsqueeze(size, 0)

    def _computed_shape(self, x: str, dims: Sequence[int | Copy]) -> str:
        parts = [
            self.size_of(x, dim.axis) if isinstance(dim, Copy) else self.graph.constant([dim])
            for dim in dims
        ]
        return self.graph.concat(*parts, axis=0)

    def _bias(self, length: int) -> str | bool:
        """Own bias mostly; sometimes none, zeros shared by all users, or a computed one."""
        if self.chance(0.65):
            return True
        form = self.variant("bias", "none", "shared_zeros", "filled")
        if form == "filled":
            value = numpy_helper.from_array(np.array([0.125], np.float32))
            shape = self.graph.constant([length])
            return self.graph.node("ConstantOfShape", [shape], value=value)
        if form == "shared_zeros":
            if length not in self._zeros:
                self._zeros[length] = self.graph.constant(np.zeros(length, np.float32))
            return self._zeros[length]
        return False
