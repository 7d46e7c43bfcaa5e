"""Nodes that multiply activations with stored weights, seen as ``Y = W X + b`` in every group.

A *sample* is one position of the output (a pixel, a token); its *features* are all numbers that the
layer multiplies for it, a whole receptive field of a convolution. Source: ONNX Conv-22, Gemm-13 and
MatMul-13; matrix view of convolutions as in Frantar and Alistarh, "Optimal Brain Compression",
NeurIPS 2022, section 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product as combinations
from math import prod
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.algebra.expression import IntArray
from spa_onnx.graph.node import Node
from spa_onnx.normalise.graph import Graph
from spa_onnx.ops.window import Window

Array = NDArray[Any]
Places = tuple[IntArray, ...]
"""Indices of samples along the axes of the output that do not hold its channels."""

FLOATS = frozenset(
    {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.BFLOAT16,
        onnx.TensorProto.DOUBLE,
    }
)


class Layer(Protocol):
    """One linear node."""

    @property
    def node(self) -> Node:
        """Return the node."""
        ...

    @property
    def axis(self) -> int:
        """Return the axis of the input that holds the features."""
        ...

    @property
    def width(self) -> int:
        """Return the number of outputs, all groups together."""
        ...

    @property
    def passes_through(self) -> bool:
        """Say whether every channel is only multiplied with itself, as in depthwise layers."""
        ...

    @property
    def key(self) -> tuple[object, ...]:
        """Return what layers have in common that see the same features."""
        ...

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the lengths along which samples lie, for an input of this shape."""
        ...

    def grid_of_output(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the same for an output of this shape."""
        ...

    def places(self, grid: tuple[int, ...], count: int, rng: np.random.Generator) -> Places:
        """Return up to about ``count`` samples of a grid, in its order, each at most once."""
        ...

    def features(self, x: Array, places: Places) -> Array:
        """Return ``(samples, groups, features)`` of an input."""
        ...

    def outputs(self, y: Array, places: Places) -> Array:
        """Return ``(samples, groups, outputs per group)`` of an output."""
        ...

    def matrix(self, weight: Array) -> Array:
        """Return a stored weight as ``(groups, outputs per group, features)``."""
        ...

    def stored(self, matrix: Array) -> Array:
        """Return a matrix in the form in which the file holds the weight."""
        ...

    def positions(self) -> IntArray:
        """Return ``(groups, features)``: the position along the input's axis of every feature."""
        ...


@dataclass(frozen=True, slots=True)
class Convolution:
    """A Conv over any number of axes; a feature is one channel at one kernel position."""

    node: Node
    groups: int
    shape: tuple[int, ...]
    window: Window
    axis: int = 1

    @property
    def width(self) -> int:
        """Return the number of output channels."""
        return self.shape[0]

    @property
    def passes_through(self) -> bool:
        """Say whether groups have one channel each."""
        return self.shape[1] == 1

    @property
    def key(self) -> tuple[object, ...]:
        """Return input, kernel, groups and window."""
        return self.node.inputs[0], self.shape[1:], self.groups, self.window

    @staticmethod
    def of(node: Node, shape: tuple[int, ...]) -> Convolution:
        """Return the layer of a node whose weight has this shape."""
        window = Window.of(node, shape[2:])
        return Convolution(node, node.integer("group", 1), shape, window)

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the items of the batch and the output's spatial lengths."""
        lengths = (self.window.length(k, n) for k, n in enumerate(shape[2:]))
        return (shape[0], *(int(n) for n in lengths))  # type: ignore[arg-type]

    def grid_of_output(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return all axes but the channels."""
        return (shape[0], *shape[2:])

    def places(self, grid: tuple[int, ...], count: int, rng: np.random.Generator) -> Places:
        """Return as many positions of every item of the batch."""
        items, positions = grid[0], prod(grid[1:])
        each = min(positions, -(-count // max(1, items)))
        chosen = np.argsort(rng.random((items, positions)), axis=1)[:, :each]
        where = np.unravel_index(chosen.reshape(-1), grid[1:])
        return (np.repeat(np.arange(items), each), *where)

    def features(self, x: Array, places: Places) -> Array:
        """Cut the receptive fields out of the padded input."""
        item, *where = places
        x = np.pad(x, [(0, 0), (0, 0), *self._pads(x.shape[2:])])
        starts = [w * s for w, s in zip(where, self.window.strides, strict=True)]
        fields = np.empty((len(item), x.shape[1], prod(self.shape[2:])), x.dtype)
        for tap, offset in enumerate(combinations(*map(range, self.shape[2:]))):
            steps = zip(starts, offset, self.window.dilations, strict=True)
            at = [start + k * dilation for start, k, dilation in steps]
            index: tuple[Any, ...] = (item, slice(None), *at)
            fields[:, :, tap] = x[index]
        return fields.reshape(len(item), self.groups, -1)

    def _pads(self, lengths: tuple[int, ...]) -> list[tuple[int, int]]:
        """Return zeros in front of and behind every spatial axis."""
        window, rank = self.window, len(lengths)
        if not window.auto_pad.startswith("SAME"):
            return list(zip(window.pads[:rank], window.pads[rank:], strict=True))
        found = []
        for k, length in enumerate(lengths):
            reach = (self.shape[2 + k] - 1) * window.dilations[k] + 1
            needed = (-(-length // window.strides[k]) - 1) * window.strides[k] + reach - length
            less = max(0, needed) // 2
            more = max(0, needed) - less
            found.append((less, more) if window.auto_pad == "SAME_UPPER" else (more, less))
        return found

    def outputs(self, y: Array, places: Places) -> Array:
        """Read all channels at the places."""
        item, *where = places
        index: tuple[Any, ...] = (item, slice(None), *where)
        values: Array = y[index]
        return values.reshape(len(item), self.groups, -1)

    def matrix(self, weight: Array) -> Array:
        """Lay channels and kernel out as features."""
        return weight.reshape(self.groups, self.shape[0] // self.groups, -1)

    def stored(self, matrix: Array) -> Array:
        """Undo :meth:`matrix`."""
        return matrix.reshape(self.shape)

    def positions(self) -> IntArray:
        """Return the channel of every feature."""
        inside = np.repeat(np.arange(self.shape[1]), prod(self.shape[2:]))
        return np.arange(self.groups)[:, None] * self.shape[1] + inside


@dataclass(frozen=True, slots=True)
class Product:
    """A MatMul or Gemm with a stored matrix on its right; a sample is one row of the left side.

    Attributes:
        transposed: the file holds ``(outputs, features)`` instead of ``(features, outputs)``.
    """

    node: Node
    shape: tuple[int, ...]
    transposed: bool
    axis: int = -1

    @property
    def width(self) -> int:
        """Return the number of columns of the result."""
        return self.shape[0] if self.transposed else self.shape[1]

    @property
    def passes_through(self) -> bool:
        """Say no: every feature reaches every output."""
        return False

    @property
    def key(self) -> tuple[object, ...]:
        """Return the input."""
        return (self.node.inputs[0],)

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return all axes but the last."""
        return shape[:-1]

    def grid_of_output(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return all axes but the last."""
        return shape[:-1]

    def places(self, grid: tuple[int, ...], count: int, rng: np.random.Generator) -> Places:
        """Return rows of the batch."""
        return (np.sort(rng.permutation(prod(grid))[:count]),)

    def features(self, x: Array, places: Places) -> Array:
        """Return rows of the left side."""
        return x.reshape(-1, x.shape[-1])[places[0]][:, None]

    def outputs(self, y: Array, places: Places) -> Array:
        """Return rows of the result."""
        return y.reshape(-1, y.shape[-1])[places[0]][:, None]

    def matrix(self, weight: Array) -> Array:
        """Return ``(1, outputs, features)``."""
        return (weight if self.transposed else weight.T)[None]

    def stored(self, matrix: Array) -> Array:
        """Undo :meth:`matrix`."""
        plain: Array = matrix[0]
        return plain if self.transposed else plain.T

    def positions(self) -> IntArray:
        """Return the column of every feature."""
        found: IntArray = np.arange(self.shape[1] if self.transposed else self.shape[0])[None]
        return found


def layers_of(graph: Graph) -> Iterator[Layer]:
    """Yield the linear layers of the main graph, in the order in which they run.

    Left out are weights that another node reads too, for what suits one use spoils another.
    """
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    for node in graph.nodes:
        if node.scope or len(node.inputs) < 2 or node.inputs[0] in graph.tensors:
            continue
        tensor = graph.tensors.get(node.inputs[1])
        if tensor is None or tensor.data_type not in FLOATS or uses[tensor.name] > 1:
            continue
        if tensor.name in graph.captured or tensor.name in graph.outputs:
            continue
        layer = _layer(node, tuple(tensor.dims))
        if layer is not None and _has_plain_bias(layer, graph):
            yield layer


def _has_plain_bias(layer: Layer, graph: Graph) -> bool:
    """Say whether a layer's bias is absent, or stored with one number for each output."""
    name = layer.node.inputs[2] if len(layer.node.inputs) > 2 else ""
    tensor = graph.tensors.get(name)
    return not name or (tensor is not None and prod(tensor.dims) in (1, layer.width))


def _layer(node: Node, shape: tuple[int, ...]) -> Layer | None:
    match node.op:
        case "Conv" if len(shape) > 2:
            return Convolution.of(node, shape)
        case "MatMul" if len(shape) == 2:
            return Product(node, shape, transposed=False)
        case "Gemm" if not node.integer("transA", 0) and _is_plain(node):
            return Product(node, shape, transposed=bool(node.integer("transB", 0)))
        case _:
            return None


def _is_plain(gemm: Node) -> bool:
    factors = (gemm.attributes.get(name, 1.0) for name in ("alpha", "beta"))
    return all(float(f) == 1.0 for f in factors)
