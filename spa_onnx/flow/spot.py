"""What a rule of the flow sees of a node, and what it says: linear maps between tensors.

Every operator is taken as a map of degree one, ``y = sum of L x`` over its inputs, where ``L`` is
non-negative. Such a map and its transpose are an *edge*. What enters at the edges of a cut through
the network is then what leaves it: the same number at every cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from spa_onnx.algebra.expression import Axes, IntArray, sizes_of
from spa_onnx.algebra.size import Polynomial, Size
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.flow.values import FloatArray, Flow, summed
from spa_onnx.graph.node import Node
from spa_onnx.ops.values import is_symbolic

ArrayMap = Callable[[FloatArray], FloatArray]


class BlockedError(Exception):
    """The flow does not get through a node."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What one input of a node brings to one output.

    Attributes:
        source: tensor that is read; empty where the node makes flow of its own.
        target: tensor that is written.
        flow: what is brought; the output is the sum over all edges.
        pull: turns the gradient at what is brought into the gradient at the source.
    """

    source: str
    target: str
    flow: Flow
    pull: Callable[[Flow], Flow]


@dataclass(frozen=True, slots=True)
class Spot:
    """A node with the flow at its inputs."""

    node: Node
    state: Propagation
    flows: Mapping[str, Flow]

    def name(self, position: int) -> str:
        """Return the name of an input, empty where it is left out."""
        names = self.node.inputs
        return names[position] if position < len(names) else ""

    def flow(self, position: int) -> Flow | None:
        """Return the flow at an input; None for constants, and where none arrives."""
        return self.flows.get(self.name(position))

    def axes(self, name: str) -> Axes:
        """Return the axes of a tensor.

        Raises:
            BlockedError: its rank is unknown.
        """
        axes = self.state.axes_of(name) if name else None
        if axes is None:
            raise BlockedError
        return axes

    def shape(self, name: str) -> tuple[Size, ...]:
        """Return the shape of a tensor, dynamic lengths as symbols."""
        return sizes_of(self.axes(name))

    def length(self, name: str, axis: int) -> int:
        """Return the length of an axis.

        Raises:
            BlockedError: inputs decide it.
        """
        return number(self.shape(name)[axis])

    def constant(self, position: int) -> FloatArray | None:
        """Return a stored or computed constant by absolute value; None where it is not known.

        Raises:
            BlockedError: it is empty.
        """
        name = self.name(position)
        if name in self.state.graph.tensors:
            value = self.state.graph.array(name)
        else:
            known = self.state.value_of(name) if name else None
            if known is None or is_symbolic(known):
                return None
            value = known
        if value.size == 0:
            raise BlockedError
        return np.abs(value.astype(np.float64))

    def integers(self, position: int, attribute: str) -> list[int] | None:
        """Return integers of an input, or of the attribute that old operators have instead.

        Raises:
            BlockedError: inputs of the model decide them.
        """
        if not self.name(position):
            return self.node.ints(attribute) if attribute in self.node.attributes else None
        value = self.state.value_of(self.name(position))
        if value is None or is_symbolic(value):
            raise BlockedError
        return [int(n) for n in value.reshape(-1)]

    def linear(self, position: int, forward: ArrayMap, back: ArrayMap, output: int = 0) -> Edge:
        """Return the edge of a linear map and its transpose.

        Raises:
            BlockedError: no flow arrives.
        """
        source = self.flow(position)
        if source is None:
            raise BlockedError
        shape = source.values.shape
        made = Flow.of(forward(source.values), source.exponent)

        def pull(g: Flow) -> Flow:
            return Flow.of(summed(back(g.values), shape), g.exponent)

        return Edge(self.name(position), self.node.outputs[output], made, pull)

    def identity(self, position: int, output: int = 0) -> Edge:
        """Return an edge that changes nothing."""
        return self.linear(position, same, same, output)

    def picked(self, position: int, axis: int, places: IntArray, output: int = 0) -> Edge:
        """Return the edge that takes positions of an axis, each any number of times."""
        source = self.flow(position)
        if source is None or source.values.shape[axis] == 1:
            return self.identity(position, output)
        length = source.values.shape[axis]

        def back(g: FloatArray) -> FloatArray:
            front = np.zeros((length, *np.delete(g.shape, axis)))
            np.add.at(front, places, np.moveaxis(g, axis, 0))
            return np.moveaxis(front, 0, axis)

        return self.linear(position, lambda x: np.take(x, places, axis), back, output)


def number(size: Size) -> int:
    """Return a length that inputs do not decide.

    Raises:
        BlockedError: they do.
    """
    if isinstance(size, Polynomial):
        raise BlockedError
    return size


def same(x: FloatArray) -> FloatArray:
    """Return the array."""
    return x
